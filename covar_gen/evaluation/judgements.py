"""What judges said of the classes that errors confuse, as an evaluation keeps it.

DIR/judged.parquet           the judge whose word the shares of errors rest on
DIR/judges/<judge>.parquet   every judge that was asked to be compared with others

The name of a judge's file ends with the beginning of the digest of all that decides its answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from covar_gen.core.errors import DamagedRunError
from covar_gen.evaluation.explained import JUDGED
from covar_gen.evaluation.results import Results

JUDGES = "judges"
DIGITS = 8
"""Of that digest."""

SCHEMA = pa.schema(
    {
        "truth": pa.int32(),
        "predicted": pa.int32(),
        "truth_name": pa.string(),
        "predicted_name": pa.string(),
        "similar": pa.bool_(),
        "score": pa.float64(),
        "reason": pa.string(),
        "judge": pa.string(),
    }
)
"""One row per pair of classes: what was said, or why nothing was, and by whom."""


@dataclass(frozen=True)
class Judgement:
    """What one judge said.

    Attributes:
        judge: who; no two of an evaluation have the same name.
        similar: (true class, predicted class) -> True, False, or None where it was not scored.
            Pairs of one name, about which nobody is asked, are left out.
    """

    judge: str
    similar: dict[tuple[int, int], bool | None]


def judgements(results: Results) -> list[Judgement]:
    """All judges that spoke about an evaluation, the one that its shares rest on first.

    Raises:
        DamagedRunError: one of the files cannot be read.
    """
    found: dict[str, Judgement] = {}
    for path in sorted((results.root / JUDGES).glob("*.parquet")):
        for one in _judgement(path):
            # The same model, asked in other words, answers as another judge.
            name = one.judge if one.judge not in found else f"{one.judge} [{path.stem[-DIGITS:]}]"
            found[name] = Judgement(name, one.similar)
    path = results.root / JUDGED
    first = _judgement(path) if path.is_file() else []
    chosen = [found.pop(one.judge, one) for one in first]
    return [*chosen, *found.values()]


def _judgement(path: Path) -> list[Judgement]:
    """What a file holds; nothing where no pair was put to the judge."""
    rows = _read(path)
    said = {
        (row["truth"], row["predicted"]): row["similar"]
        for row in rows
        if row["reason"] != "same_name"
    }
    return [Judgement(str(rows[0]["judge"]), said)] if rows else []


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        return list(pq.read_table(path, partitioning=None).to_pylist())
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        mend = "Remove it and type the same `covar-gen judge` command again"
        raise DamagedRunError("the file is damaged", where=path, mend=mend) from error

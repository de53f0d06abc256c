"""How the tables of the analyses are put together: typed columns that say what they mean.

Accuracies, shares and probabilities are in percent, differences of accuracies in percentage
points; an interval's ends are null where it cannot be said (fewer than two photographs).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

TEXT, WHOLE, REAL, FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()

MODEL = "name of the model"
SUBSET = "which variation, or `average`: the plain mean over those of the eight that are there"
N_IMAGES = "images evaluated"
N_REJECTED = "images that could not be read, which are left out"
N_SOURCES = "source photographs that the images evaluated come from"
LABEL = "the class's index in the label set"
CLASS_NAME = "the class's name in the label set"


def columns(**named: tuple[pa.DataType, str]) -> pa.Schema:
    """A table's columns: name = (type, meaning)."""
    return pa.schema(
        [
            pa.field(name, kind, metadata={"meaning": meaning})
            for name, (kind, meaning) in named.items()
        ]
    )


def measured(name: str, meaning: str) -> dict[str, tuple[pa.DataType, str]]:
    """Columns of a number and of the ends of its interval."""
    end = "end of its 95% interval, photographs drawn with replacement"
    return {
        name: (REAL, meaning),
        f"{name}_low": (REAL, f"lower {end}"),
        f"{name}_high": (REAL, f"upper {end}"),
    }


def table(schema: pa.Schema, rows: Mapping[str, Sequence[Any] | np.ndarray[Any, Any]]) -> pa.Table:
    """A table of columns; a NaN becomes a null.

    Args:
        schema: its columns.
        rows: name -> values, for each of them.
    """
    arrays = []
    for field in schema:
        values = rows[field.name]
        if pa.types.is_floating(field.type):
            found = np.asarray(values, np.float64)
            arrays.append(pa.array(found, field.type, mask=np.isnan(found)))
        else:
            listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
            arrays.append(pa.array(listed, field.type))
    return pa.table(arrays, schema=schema)


def stack(schema: pa.Schema, parts: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A table of parts that follow each other.

    Args:
        schema: its columns.
        parts: in each, name -> one value for all rows of the part, or one for each row; at least
            one of them is not a single value.
    """
    gathered: dict[str, list[Any]] = {name: [] for name in schema.names}
    for part in parts:
        wide = [v for v in part.values() if isinstance(v, (np.ndarray, list, tuple))]
        length = len(wide[0])
        for name in schema.names:
            value = part[name]
            single = not isinstance(value, (np.ndarray, list, tuple))
            gathered[name].extend([value] * length if single else value)
    return table(schema, gathered)

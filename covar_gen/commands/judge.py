"""`covar-gen judge`: what several judges say of the confused classes, and whether they agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from covar_gen.core.errors import PluginError
from covar_gen.core.files import make_folder
from covar_gen.core.values import unknown
from covar_gen.evaluation.analyses.judge_agreement import judge_agreement
from covar_gen.evaluation.judges import (
    Imported,
    Judge,
    VerdictFile,
    export_questions,
    import_answers,
    pending,
    verdicts_file,
)
from covar_gen.evaluation.judges.choosing import without_key
from covar_gen.evaluation.judging import Asked, ask, confused, look_up, ready
from covar_gen.evaluation.preparing import stored_classes
from covar_gen.evaluation.results import Results, open_results

BATCHED = "openai"
"""The judge whose questions go into a file where none is named."""

Options = Mapping[str, Any]
"""Options of judges: NAME.KEY -> value."""


def judge(
    folder: Path,
    *,
    judges: str | None = None,
    options: Options | None = None,
    verdicts: Path | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> list[Asked]:
    """Have the classes that object-driven errors confuse judged by several judges.

    Every judge is made ready before the first is asked: a misspelt option or a missing key costs
    nothing.

    Args:
        folder: an evaluation folder whose errors were explained.
        judges: names, separated by commas; None: those that need no key and can judge here.
        options: of the judges.
        verdicts: the file in which verdicts are kept; None: the one in the cache.
        say: is told of each judge when it is done, and of those that cannot be asked here.

    Returns:
        What became of each judge's questions.

    Raises:
        CovarError: whatever stops it.
    """
    results = open_results(folder)
    names = _names(judges)
    if not names:
        names, lacking = without_key(results.classes.wnids)
        for line in lacking:
            say(line)
    asked = _ready(results, names, options or {})
    classes, cache = stored_classes(results), VerdictFile(verdicts or verdicts_file())
    pairs = confused(results, classes)
    for one in asked:
        # Without a key the first judge would be asked for nothing.
        if pending(pairs, one, cache, classes.groups):
            one.setup()
    found = []
    for one in asked:
        found.append(ask(results, one, cache))
        say(found[-1].line())
    return found


def write_questions(
    folder: Path,
    path: Path,
    *,
    judges: str | None = None,
    options: Options | None = None,
    verdicts: Path | None = None,
) -> int:
    """Write the questions that a judge has not answered yet, for a batch endpoint.

    Args:
        folder: an evaluation folder whose errors were explained.
        path: the JSONL file; one that is there is replaced.
        judges: the judge's name; None: `openai`.
        options: of the judge.
        verdicts: the file in which verdicts are kept; None: the one in the cache.

    Returns:
        The number of questions.

    Raises:
        CovarError: whatever stops it.
    """
    results = open_results(folder)
    one, cache = _single(results, judges, options or {}, verdicts)
    classes = stored_classes(results)
    if path.is_dir():
        raise PluginError("a folder, not a file", where=path, mend="Name a .jsonl file")
    make_folder(path.parent, "--export")
    return export_questions(path, confused(results, classes), one, cache, classes.groups)


def read_answers(
    folder: Path,
    path: Path,
    *,
    judges: str | None = None,
    options: Options | None = None,
    verdicts: Path | None = None,
) -> tuple[Imported, Asked]:
    """Put a batch endpoint's answers into the file of verdicts and into the evaluation.

    Args:
        folder: the evaluation folder that the questions were written for, or another one.
        path: the JSONL file that the endpoint gave.
        judges: as the questions were written with.
        options: the same.
        verdicts: the file in which verdicts are kept; None: the one in the cache.

    Returns:
        What came back, and what the judge now says of the confused classes.

    Raises:
        CovarError: whatever stops it.
    """
    results = open_results(folder)
    one, cache = _single(results, judges, options or {}, verdicts)
    came = import_answers(path, confused(results, stored_classes(results)), one, cache)
    return came, look_up(results, one, cache)


def _single(
    results: Results, judges: str | None, options: Options, verdicts: Path | None
) -> tuple[Judge, VerdictFile]:
    names = _names(judges) or [BATCHED]
    if len(names) > 1:
        what = f"a file of questions is one judge's, not {len(names)}"
        raise PluginError(what, mend=f"Type: --judges {BATCHED}")
    return _ready(results, names, options)[0], VerdictFile(verdicts or verdicts_file())


def _names(judges: str | None) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in (judges or "").split(",") if name.strip()))


def _ready(results: Results, names: list[str], options: Options) -> list[Judge]:
    """The judges, checked, with what they want of the evaluation."""
    own: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, value in options.items():
        name, dot, option = key.partition(".")
        if not dot:
            mend = "Write NAME.KEY=VALUE, for example openai.model=gpt-4o"
            raise PluginError(f"the option {key!r} names no judge", mend=mend)
        if name not in own:
            raise unknown("judge", name, names, f"--judge-option {key}")
        own[name][option] = value
    classes = stored_classes(results)
    made = [ready(name, own[name], results, classes) for name in names]
    for one in made:
        one.check()
    return made


def agreement_lines(folder: Path) -> list[str]:
    """How far each two judges of an evaluation agree, in short."""
    said = []
    for row in judge_agreement(open_results(folder)).to_pylist():
        two = f"{row['judge_a']} and {row['judge_b']}"
        if row["kappa"] is None:
            said.append(f"{two}: no pair that both have judged")
            continue
        ends = ""
        if row["kappa_low"] is not None:
            ends = f" ({_two(row['kappa_low'])} to {_two(row['kappa_high'])})"
        agree = f"agree on {row['agreement']:.1f} % of {row['n_scored']} pairs"
        said.append(f"{two}: {agree}, kappa {_two(row['kappa'])}{ends}")
    return said


def _two(value: float) -> str:
    """Two decimals; nothing is minus zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def came_line(came: Imported) -> str:
    """What came back from a batch endpoint, in short."""
    parts = [f"{came.kept} new verdicts"]
    reasons = ", ".join(f"{name} {count}" for name, count in came.unscored.most_common())
    for count, words in (
        (came.known, "known before"),
        (came.unscored.total(), f"without a verdict ({reasons})"),
        (came.strangers, "about other pairs"),
        (came.damaged, "lines that are no answer"),
    ):
        if count:
            parts.append(f"{count} {words}")
    return ", ".join(parts)

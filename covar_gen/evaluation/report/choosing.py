"""An evaluation seen through some of its models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from covar_gen.core.errors import EvaluationFolderError, IncompleteInputError
from covar_gen.evaluation.models.base import public_name
from covar_gen.evaluation.results import Results


class Chosen(Results):
    """An evaluation folder of which only some models count.

    Attributes:
        names: of these models, all of them complete, in the order in which they are shown.
    """

    def __init__(self, results: Results, names: Sequence[str]) -> None:
        super().__init__(results.root, results.about)
        self.names = tuple(names)

    def models(self, *, complete: bool = True) -> list[str]:
        """The names; all of them are complete."""
        del complete
        return list(self.names)


def choose_models(
    results: Results,
    wanted: str | None,
    groups: Callable[[str], Sequence[str] | None],
    order: Sequence[str] = (),
) -> Chosen:
    """The complete models of an evaluation, or those of them that are wanted.

    Args:
        results: the evaluation folder.
        wanted: names and groups of the zoo, separated by commas; None: all. Of a group those
            count that were evaluated; a name that was not is an error.
        groups: the models of a group, None for what is not one.
        order: names that come first, and in this order, where all models are wanted.

    Raises:
        EvaluationFolderError: nothing was evaluated, or not what is wanted.
        IncompleteInputError: a model that is named is not complete, or none is.
    """
    there = results.models(complete=False)
    if not there:
        mend = f"Type: covar-gen evaluate DATA --models MODEL --out {results.root}"
        raise EvaluationFolderError("no model was evaluated here", where=results.root, mend=mend)
    complete = results.models()
    if wanted is None:
        listed = {name: place for place, name in enumerate(order)}
        names = sorted(complete, key=lambda name: (listed.get(name, len(listed)), name))
    else:
        names = []
        for one in filter(None, (part.strip() for part in wanted.split(","))):
            group = groups(one)
            if group is None:
                name = public_name(one)
                results.table(name, ["key"])
                names.append(name)
            else:
                names += [name for name in group if name in complete]
        names = list(dict.fromkeys(names))
    if names:
        return Chosen(results, names)
    if not complete:
        what = f"no model is complete; begun: {', '.join(there)}"
        mend = "Type the same `covar-gen evaluate` command again: it goes on from there"
        raise IncompleteInputError(what, where=results.root, mend=mend)
    what = f"none of the models {wanted!r} was evaluated here"
    mend = f"There are: {', '.join(complete)}"
    raise EvaluationFolderError(what, where=results.root, mend=mend)

"""Pairs that somebody has judged, from a CSV file: people, or a judge that is not here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from covar_gen.core.plugins import PluginOptions, RecipePath
from covar_gen.evaluation.judges._judged_pairs import JudgedPairs
from covar_gen.evaluation.judges.base import ClassPair, Judge, Verdict


class File(Judge):
    """What a CSV file with the columns truth, predicted and similar says; nothing else.

    A class is named by its name (whatever its case), its wnid, or its index in the class list;
    `similar` is 1, true, yes or similar, or 0, false, no or different.
    """

    class Options(PluginOptions):
        """Which file, and how it is read.

        Attributes:
            path: the CSV file.
            ordered: a line says nothing about the two classes the other way round.
        """

        path: RecipePath
        ordered: bool = False

    options: Options
    _pairs: JudgedPairs | None = None

    @property
    def ordered(self) -> bool:
        """As the option says."""
        return self.options.ordered

    @property
    def label(self) -> str:
        """The name, the file's name and, once it is read, the beginning of its SHA-256."""
        digest = f"@{self._pairs.digest[:8]}" if self._pairs else ""
        return f"{self.name()} {Path(self.options.path).name}{digest}"

    def check(self) -> None:
        """Read the file.

        Raises:
            PluginError: it cannot be read, or does not hold what it should.
        """
        self.setup()

    def setup(self) -> None:
        """Read the file.

        Raises:
            PluginError: it cannot be read, or does not hold what it should.
        """
        if self._pairs is None:
            path = Path(self.options.path).expanduser()
            self._pairs = JudgedPairs(path, ordered=self.options.ordered)

    def judge(self, pairs: Sequence[ClassPair]) -> list[Verdict]:
        """Look the pairs up.

        Raises:
            PluginError: the file cannot be read, or does not hold what it should.
        """
        self.setup()
        return [self._verdict(pair) for pair in pairs]

    def _verdict(self, pair: ClassPair) -> Verdict:
        assert self._pairs is not None
        said = self._pairs.said(pair)
        if not said:
            return self.unscored("not_in_file")
        if len(said) > 1:
            return self.unscored("contradicted")
        return Verdict(said.pop(), None, None, None, self.label)

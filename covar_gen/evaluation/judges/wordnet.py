"""How near two classes stand in WordNet: needs no model, no key and no network.

It knows kinds, not looks: a church and a mosque are near, a crab and a spider less so. Agreement
with a language model's verdicts: covar_gen.evaluation.metrics.agreement.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from covar_gen.core.errors import MissingExtraError
from covar_gen.core.plugins import PluginOptions, RecipePath
from covar_gen.evaluation.judges._wordnet_files import INSTALL, VERSION, Nouns, find_wordnet
from covar_gen.evaluation.judges.base import ClassPair, Judge, Verdict


class Wordnet(Judge):
    """Wu and Palmer's similarity over the hypernyms of nouns, at or above a threshold.

    Classes are found by wnid and never by name: a name has several senses, and a guess would be
    no verdict. ImageNet's wnids are places in WordNet 3.0, the only version that is read: Debian's
    wordnet-base or nltk's corpus.
    """

    class Options(PluginOptions):
        """Where WordNet is, and how near is similar.

        Attributes:
            folder: that holds data.noun, or nltk's wordnet.zip; left out: where WordNet's
                variables (WNSEARCHDIR, WNHOME), Debian or nltk keep it.
            threshold: similarity from which two classes count as similar. At 0.87, 3,023 of
                ImageNet's 499,500 pairs do (0.6%), the paper's siamang and chimpanzee (0.875)
                and moving van and trailer truck (0.889) among them.
        """

        folder: RecipePath | None = None
        threshold: Annotated[float, Field(gt=0, le=1)] = 0.87

    options: Options
    _nouns: Nouns | None = None

    @property
    def label(self) -> str:
        """The name, WordNet's version and the threshold."""
        return f"{self.name()} {VERSION} (Wu-Palmer >= {self.options.threshold:g})"

    def check(self) -> None:
        """See that there is a WordNet of the right version.

        Raises:
            MissingExtraError: there is none.
            PluginError: what `folder` names is none, or one of another version.
        """
        self.setup()

    def setup(self) -> None:
        """Read WordNet's nouns.

        Raises:
            MissingExtraError: there is none.
            PluginError: what `folder` names is none, or one of another version.
        """
        if self._nouns is None:
            given = self.options.folder
            place = Path(given).expanduser() if given else find_wordnet()
            if place is None:
                what = "judge 'wordnet' needs WordNet, which is not found here"
                raise MissingExtraError(what, mend=f"{INSTALL}; or choose another judge")
            self._nouns = Nouns(place)

    def judge(self, pairs: Sequence[ClassPair]) -> list[Verdict]:
        """Compare the synsets of each pair.

        Raises:
            MissingExtraError: there is no WordNet.
            PluginError: what `folder` names is none, or one of another version.
        """
        self.setup()
        return [self._verdict(pair) for pair in pairs]

    def _verdict(self, pair: ClassPair) -> Verdict:
        assert self._nouns is not None
        if pair.truth_wnid is None or pair.predicted_wnid is None:
            return self.unscored("no_wnid")
        unknown = [w for w in (pair.truth_wnid, pair.predicted_wnid) if w not in self._nouns]
        if unknown:
            return self.unscored("unknown_wnid", unknown[0])
        score = self._nouns.similarity(pair.truth_wnid, pair.predicted_wnid)
        return Verdict(score >= self.options.threshold, score, None, None, self.label)

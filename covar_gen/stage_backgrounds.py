"""Place the object of every photograph before each background.

Reads:  sources, masks_sources
Writes: backgrounds (subset bg_varied), images/backgrounds/<key>.png and, where the editor knows
        them, masks/backgrounds/<key>.png
Launch: accelerate launch covar_gen/stage_backgrounds.py --run RUN

An edit that redraws the object is measured against the photograph's: see `core.agreement`. Where
it does not keep the limits of the recipe's [backgrounds.agreement] it is refused, and made again as
often as the editor's `attempts` allow; its numbers stand on the refused row too.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from covar_gen.core import plugins
from covar_gen.core.arrays import Json, Rejected
from covar_gen.core.launch import stage_main
from covar_gen.core.prompts import load_prompt
from covar_gen.core.recipe import needed, without_paths
from covar_gen.core.rows import Row
from covar_gen.core.stage import Made, Stage, Work
from covar_gen.core.store import Run
from covar_gen.editors.base import Edit, Editor, EditRequest
from covar_gen.foreground import Foreground

log = logging.getLogger("covar_gen")


class BackgroundsStage(Stage):
    """Each photograph before each background of the recipe."""

    table = "backgrounds"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        section = needed(run.recipe.backgrounds, "backgrounds")
        self.tool = section.editor
        self.names = {c.folder: c.class_name for c in run.recipe.class_list}
        self.backgrounds = {b.background_id: b.description for b in run.recipe.background_list}
        self.prompt = section.prompt or load_prompt("background_edit").user
        where = "backgrounds.editor"
        options = section.options.get(section.editor)
        self.editor = plugins.make("editors", section.editor, Editor, options, where)
        self.follow(self.editor)
        for number, background in self.backgrounds.items():
            prompts = dict.fromkeys(self._prompt(number, name) for name in self.names.values())
            self.editor.check_prompts(number, background, list(prompts))
        self.is_limited = section.agreement is not None
        # What knows its masks keeps the object's pixels: there is nothing to measure.
        self.foreground = None
        if not self.editor.knows_masks:
            self.foreground = Foreground(section.agreement)
            if self.foreground.segmenter is not None:
                self.foreground.segmenter.check_names(self.names.values())
            # A service of others is not asked again for what is there already.
            if self.foreground.in_batches and self.repeatable:
                self.batch = run.recipe.block

    def identity(self) -> dict[str, Json]:
        """The editor, the instruction, the backgrounds, what is measured, and the run's seed."""
        measured: dict[str, Json] = {}
        if self.foreground is not None:
            measured["agreement"] = without_paths(self.foreground.identity())
        return {
            "editor": without_paths(self.editor.identity()),
            "prompt": self.prompt,
            "backgrounds": {str(number): text for number, text in self.backgrounds.items()},
            "seed": self.run.recipe.seed,
            **measured,
        }

    def setup(self) -> None:
        """Load the editor, and what measures its edits."""
        self.editor.setup()
        if self.foreground is not None:
            self.foreground.setup()
        elif self.is_limited:
            log.warning(
                "[backgrounds.agreement] is not used: %s keeps the object's pixels", self.tool
            )

    def outputs(self, parent: str) -> list[str]:
        """CLASS/PHOTO/07 for background 7."""
        photograph = parent.rpartition("/")[0]
        return [f"{photograph}/{number:02d}" for number in sorted(self.backgrounds)]

    def subset(self, key: str) -> str:  # noqa: ARG002 - all alike
        """All of them are bg_varied."""
        return "bg_varied"

    def columns(self, key: str) -> Row:
        """The background's number."""
        return {"background_id": int(key.rpartition("/")[2])}

    def make(self, batch: Sequence[Work]) -> list[Made | Rejected]:
        """Edit a batch, and measure what was redrawn."""
        requests = [self._request(work) for work in batch]
        answers = list(self.editor.edit(requests))
        if self.foreground is not None:
            redrawn = {
                place: (request, answer)
                for place, (request, answer) in enumerate(zip(requests, answers, strict=True))
                if isinstance(answer, Edit) and answer.known_pixel_max_diff is None
            }
            judged = self.foreground.judged(list(redrawn.values()))
            for place, answer in zip(redrawn, judged, strict=True):
                answers[place] = answer
        return [self._made(r, a) for r, a in zip(requests, answers, strict=True)]

    def _prompt(self, number: int, class_name: str) -> str:
        """The instruction for an object before a background."""
        prompt = self.prompt.replace("{background}", self.backgrounds[number])
        return prompt.replace("{class_name}", class_name)

    def _request(self, work: Work) -> EditRequest:
        class_name = self.names[work.key.partition("/")[0]]
        number = int(work.name)
        return EditRequest(
            key=work.key,
            image=work.image,
            mask=work.known_mask,
            class_name=class_name,
            background_id=number,
            background=self.backgrounds[number],
            prompt=self._prompt(number, class_name),
            seed=work.seed,
        )

    def _made(self, request: EditRequest, answer: Edit | Rejected) -> Made | Rejected:
        if isinstance(answer, Rejected):
            return answer
        return Made(
            answer.image,
            answer.mask,
            self.tool,
            self.editor.model,
            answer.transform,
            {
                "prompt": request.prompt,
                "known_pixel_max_diff": answer.known_pixel_max_diff,
                **answer.columns,
            },
            answer.params,
        )


def main() -> int:
    """Run the stage from the command line."""
    return stage_main(lambda run, _given: BackgroundsStage(run), __doc__)


if __name__ == "__main__":
    sys.exit(main())

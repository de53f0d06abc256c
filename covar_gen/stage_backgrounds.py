"""Place the object of every photograph before each background.

Reads:  sources, masks_sources
Writes: backgrounds (subset bg_varied), images/backgrounds/<key>.png and, where the editor knows
        them, masks/backgrounds/<key>.png
Launch: accelerate launch covar_gen/stage_backgrounds.py --run RUN
"""

from __future__ import annotations

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

    def identity(self) -> dict[str, Json]:
        """The editor, the instruction, the backgrounds and the run's seed."""
        return {
            "editor": without_paths(self.editor.identity()),
            "prompt": self.prompt,
            "backgrounds": {str(number): text for number, text in self.backgrounds.items()},
            "seed": self.run.recipe.seed,
        }

    def setup(self) -> None:
        """Load the editor."""
        self.editor.setup()

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
        """Edit a batch."""
        requests = [self._request(work) for work in batch]
        answers = self.editor.edit(requests)
        return [self._made(r, a) for r, a in zip(requests, answers, strict=True)]

    def _request(self, work: Work) -> EditRequest:
        class_name = self.names[work.key.partition("/")[0]]
        number = int(work.name)
        background = self.backgrounds[number]
        prompt = self.prompt.replace("{background}", background)
        return EditRequest(
            key=work.key,
            image=work.image,
            mask=work.known_mask,
            class_name=class_name,
            background_id=number,
            background=background,
            prompt=prompt.replace("{class_name}", class_name),
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

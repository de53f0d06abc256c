"""The masked editor keeps the object's pixels and paints the rest as it is told."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from covar_gen.core.arrays import Rejected
from covar_gen.core.errors import WeightsError
from covar_gen.core.plugins import make
from covar_gen.editors.base import Edit, Editor, EditRequest

SIZE = (48, 64)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, tiny_diffusion: ModuleType) -> Path:
    place = tmp_path_factory.mktemp("masked") / "tiny"
    return tiny_diffusion.save_stable_diffusion(place, channels=9)  # type: ignore[no-any-return]


def editor(weights: Path, **options: Any) -> Editor:
    given = {"weights": str(weights), "steps": 2, "batch": 4, **options}
    found = make("editors", "masked", Editor, given)  # type: ignore[type-abstract]
    found.setup()
    return found


@pytest.fixture(scope="module")
def tiny(weights: Path) -> Editor:
    return editor(weights)


def request(**changes: Any) -> EditRequest:
    rng = np.random.default_rng(0)
    mask = np.zeros(SIZE, np.bool_)
    mask[12:36, 20:44] = True
    given: dict[str, Any] = {
        "key": "a", "image": rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8), "mask": mask,
        "class_name": "cat", "background_id": 1, "background": "on a beach", "prompt": "ignored",
        "seed": 7,
    }  # fmt: skip
    return EditRequest(**{**given, **changes})


def edited(found: Editor, **changes: Any) -> Edit:
    (answer,) = found.edit([request(**changes)])
    assert isinstance(answer, Edit), answer
    return answer


def test_every_pixel_of_the_object_stays_and_the_rest_is_painted(tiny: Editor) -> None:
    asked, answer = request(), edited(tiny)
    assert answer.mask is not None
    assert (answer.mask == asked.mask).all()
    assert (answer.image[asked.mask] == asked.image[asked.mask]).all()
    assert answer.known_pixel_max_diff == 0
    assert (answer.transform == np.eye(3)).all()
    changed = (answer.image != asked.image).any(2)[~asked.mask]
    assert changed.mean() > 0.95
    assert answer.params["text"] == "on a beach"
    assert answer.params["steps"] == 2


def test_the_background_follows_description_class_object_and_seed(tiny: Editor) -> None:
    plain = edited(tiny)
    assert (edited(tiny).image == plain.image).all()
    other = request().image.copy()
    other[request().mask] = 0
    wider = request().mask.copy()
    wider[36:40, 20:44] = True
    background = ~wider
    for changes in (
        {"background": "in a kitchen"},
        {"class_name": "dog"},
        {"seed": 8},
        {"image": other},
        {"mask": wider},
    ):
        found = edited(tiny, **changes).image
        assert (found[background] != plain.image[background]).any(), changes


def test_the_recipes_instruction_is_not_what_is_painted(tiny: Editor) -> None:
    assert (edited(tiny, prompt="another sentence").image == edited(tiny).image).all()


def test_the_text_is_the_options(weights: Path, tiny: Editor) -> None:
    asked = editor(weights, text="a {class_name} {background}", avoid="")
    answer = edited(asked)
    assert answer.params["text"] == "a cat on a beach"
    assert (answer.image != edited(tiny).image).any()


def test_a_photograph_does_not_depend_on_those_painted_beside_it(tiny: Editor) -> None:
    requests = [request(key=str(seed), seed=seed) for seed in range(4)]
    together = tiny.edit(requests)
    for asked, answer in zip(requests, together, strict=True):
        (alone,) = tiny.edit([asked])
        assert isinstance(answer, Edit)
        assert isinstance(alone, Edit)
        assert np.abs(answer.image.astype(int) - alone.image).max() <= 1


def test_a_worn_mask_gives_its_rim_to_the_background(weights: Path) -> None:
    asked = request()
    answer = edited(editor(weights, erode=2))
    assert answer.mask is not None
    assert answer.mask[14:34, 22:42].any()
    assert not answer.mask[12:14].any()
    assert (answer.image[answer.mask] == asked.image[answer.mask]).all()
    cut = np.zeros(SIZE, np.bool_)
    cut[12:, 20:44] = True
    kept = edited(editor(weights, erode=2), mask=cut).mask
    assert kept is not None
    assert kept[-1].any(), "where the frame cuts the object, nothing is worn off"


def test_masks_without_object_or_without_background_are_refused(tiny: Editor) -> None:
    nothing, everything = np.zeros(SIZE, np.bool_), np.ones(SIZE, np.bool_)
    answers = tiny.edit([request(mask=nothing), request(), request(mask=everything)])
    assert [a.reason for a in answers if isinstance(a, Rejected)] == [
        "empty_mask",
        "no_background_left",
    ]
    assert isinstance(answers[1], Edit)


def test_a_black_picture_is_refused_and_asked_for_again(
    tiny: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Black:
        components = tiny.painter.pipe.components  # type: ignore[attr-defined]

        def __call__(self, **asked: Any) -> SimpleNamespace:
            shape = (len(asked["prompt"]), asked["height"], asked["width"], 3)
            return SimpleNamespace(images=np.zeros(shape, np.float32))

    monkeypatch.setattr(tiny.painter, "pipe", Black())  # type: ignore[attr-defined]
    (answer,) = tiny.edit([request()])
    assert isinstance(answer, Rejected)
    assert (answer.reason, answer.again) == ("bad_output", True)


def test_a_folder_that_fills_no_holes_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"masked\.weights: .* lacks model_index\.json"):
        editor(tmp_path)

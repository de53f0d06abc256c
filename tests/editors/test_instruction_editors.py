"""What holds of every editor that is told what to change, with tiny models of four families."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from covar_gen.core.arrays import Rejected
from covar_gen.core.errors import RecipeError, WeightsError
from covar_gen.core.plugins import make
from covar_gen.editors._instruction import InstructionEditor
from covar_gen.editors.base import Edit, Editor, EditRequest

SIZE, NATIVE = (60, 80), 80
FAMILIES = {
    "instruct_pix2pix": "pix2pix", "flux_kontext": "kontext", "flux2_klein": "klein",
    "qwen_image_edit": "qwen",
}  # fmt: skip
EDITS = [
    ("instruct_pix2pix", None), ("flux_kontext", "edit"), ("flux2_klein", "edit"),
    ("qwen_image_edit", "edit"), ("qwen_image_edit", "plus"),
]  # fmt: skip
INPAINTS = [(name, "inpaint") for name in FAMILIES if name != "instruct_pix2pix"]
CASES = [*EDITS, *INPAINTS]

Made = Callable[..., InstructionEditor]


@pytest.fixture(scope="module", autouse=True)
def _small_and_alone() -> Iterator[None]:
    """One thread; and Qwen's classes bring photographs to a small area instead of a million."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        for form in ("edit", "edit_plus", "edit_inpaint"):
            module = importlib.import_module(
                f"diffusers.pipelines.qwenimage.pipeline_qwenimage_{form}"
            )
            patch.setattr(module, "calculate_dimensions", _smaller(module.calculate_dimensions))
        yield
    torch.set_num_threads(before)


def _smaller(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda area, ratio: function(area * (NATIVE / 1024) ** 2, ratio)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tiny_diffusion: ModuleType) -> Path:
    place = tmp_path_factory.mktemp("instruction")
    tiny_diffusion.save_stable_diffusion(
        place / "pix2pix", channels=8, scheduler="EulerAncestralDiscreteScheduler"
    )
    tiny_diffusion.save_flux_kontext(place / "kontext")
    tiny_diffusion.save_flux2_klein(place / "klein")
    tiny_diffusion.save_qwen_image_edit(place / "qwen")
    tiny_diffusion.save_qwen_image_edit(place / "qwen-plus", plus=True)
    return place


@pytest.fixture(scope="module")
def made(folders: Path) -> Made:
    ready: dict[Any, InstructionEditor] = {}

    def make_one(name: str, form: str | None, **options: Any) -> InstructionEditor:
        key = (name, form, *sorted(options.items()))
        if key not in ready:
            ready[key] = loaded(folders, name, form, **options)
        return ready[key]

    return make_one


def loaded(folders: Path, name: str, form: str | None, **options: Any) -> InstructionEditor:
    folder = FAMILIES[name] + ("-plus" if form == "plus" else "")
    given = {"weights": str(folders / folder), "steps": 2, "batch": 8, **options}
    given |= {"form": form} if form else {}
    given |= {"native": NATIVE} if name != "qwen_image_edit" else {}
    found = make("editors", name, Editor, given)  # type: ignore[type-abstract]
    assert isinstance(found, InstructionEditor)
    found.options = found.options.model_copy(update={"native": NATIVE})
    found.setup()
    return found


def request(photograph: int = 0, **changes: Any) -> EditRequest:
    mask = np.zeros(SIZE, np.bool_)
    mask[15:45, 25:55] = True
    colours = np.random.default_rng(photograph).integers(0, 256, (6, 8, 3))
    levels = np.kron(colours, np.ones((10, 10, 1), np.int64)).astype(np.uint8)
    given: dict[str, Any] = {
        "key": "a", "image": levels, "mask": mask, "class_name": "cat", "background_id": 1,
        "background": "on a beach", "prompt": "Put the cat on a beach.", "seed": 7,
    }  # fmt: skip
    return EditRequest(**{**given, **changes})


def edits(found: InstructionEditor, *requests: EditRequest) -> list[Edit]:
    answers = found.edit(requests)
    assert all(isinstance(answer, Edit) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, Edit)]


class Recorder:
    """Stands for the pipeline: remembers what it is asked, answers the pictures it is shown."""

    def __init__(self, pipe: Any, picture: Callable[[Any, int, int], Any]) -> None:
        self.components, self.scheduler = pipe.components, pipe.scheduler
        self.asked: list[dict[str, Any]] = []
        self.picture = picture

    def __call__(self, **asked: Any) -> SimpleNamespace:
        self.asked.append(asked)
        number, shown = len(asked["prompt"]), asked["image"]
        pictures = [np.asarray(self.picture(shown, n, number)) for n in range(number)]
        return SimpleNamespace(images=np.stack(pictures))


def same(shown: Any, n: int, number: int) -> Any:
    return np.asarray(shown[n % len(shown)], np.float32) / 255


def recorded(
    found: InstructionEditor, patch: pytest.MonkeyPatch, picture: Callable[..., Any] = same
) -> Recorder:
    assert found._instructor is not None
    recorder = Recorder(found._instructor.pipe, picture)
    patch.setattr(found._instructor, "pipe", recorder)
    return recorder


@pytest.mark.parametrize(("name", "form"), CASES)
def test_the_edit_follows_photograph_sentence_mask_and_seed(
    made: Made, name: str, form: str | None
) -> None:
    found = made(name, form)
    mask = request().mask.copy()
    mask[15:45, 5:25] = True
    asked = [
        request(), request(1), request(prompt="Put the cat in a kitchen."), request(seed=8),
        request(mask=mask),
    ]  # fmt: skip
    plain, *others, masked = edits(found, *asked)
    background = ~mask
    for other in others:
        assert (other.image[background] != plain.image[background]).mean() > 0.1
    if form == "inpaint":
        assert (masked.image[background] != plain.image[background]).any()
    else:
        # Another canvas of the same call may be summed in another order.
        assert np.abs(masked.image.astype(int) - plain.image).max() <= 1
    (again,) = edits(found, request())
    (twice,) = edits(found, request())
    assert (again.image == twice.image).all()


@pytest.mark.parametrize(("name", "form"), CASES)
def test_a_photograph_does_not_depend_on_those_edited_beside_it(
    made: Made, name: str, form: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = made(name, form)
    instructor = found._instructor
    assert instructor is not None
    seen: list[Any] = []
    keep = instructor._answer
    monkeypatch.setattr(
        instructor, "_answer", lambda task, picture, about: (
            seen.append((task.key, picture)), keep(task, picture, about)
        )[1],
    )  # fmt: skip
    asked = [
        request(0, key="a", prompt="short", seed=1),
        request(1, key="b", prompt="a rather longer sentence, at last", seed=2),
        request(0, key="c", prompt="another for the first", seed=3),
    ]
    edits(found, *asked)
    together = dict(seen)
    seen.clear()
    for each in asked:
        edits(found, each)
    alone = dict(seen)
    for key in "abc":
        assert np.abs(together[key] - alone[key]).max() < 1e-4
    assert np.abs(alone["a"] - alone["b"]).max() > 0.05
    assert np.abs(alone["a"] - alone["c"]).max() > 0.05


@pytest.mark.parametrize(("name", "form"), INPAINTS)
def test_the_background_is_repainted_and_the_object_put_back(
    made: Made, name: str, form: str
) -> None:
    asked = request()
    (answer,) = edits(made(name, form), asked)
    assert answer.mask is not None
    assert (answer.mask == asked.mask).all()
    assert (answer.image[asked.mask] == asked.image[asked.mask]).all()
    assert answer.known_pixel_max_diff == 0
    assert (answer.transform == np.eye(3)).all()
    assert (answer.image != asked.image).any(2)[~asked.mask].mean() > 0.95
    assert answer.params["strength"] == 1.0


@pytest.mark.parametrize(("name", "form"), EDITS)
def test_a_redrawn_picture_promises_nothing_and_is_measured(
    made: Made, name: str, form: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = made(name, form)
    (answer,) = edits(found, request())
    assert (answer.mask, answer.transform, answer.known_pixel_max_diff) == (None, None, None)
    assert answer.params["unmeasured"] == "unlike"
    assert answer.params["steps"] == 2
    assert answer.params["dtype"] == "float32"
    assert answer.params["device"] == "cpu"
    assert "strength" not in answer.params
    recorded(found, monkeypatch)
    (kept,) = edits(found, request())
    assert kept.columns["object_scale"] == pytest.approx(1, abs=0.02)
    assert kept.columns["object_shift_x"] == pytest.approx(0, abs=0.02)


def test_a_sentence_of_which_only_the_beginning_is_read_is_said(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = made("instruct_pix2pix", None)
    recorded(found, monkeypatch)
    whole, cut = edits(found, request(), request(prompt="Put the cat on a beach, " * 5))
    assert "text_cut" not in whole.params
    assert cut.params["text_cut"] is True
    avoiding = made("instruct_pix2pix", None, avoid="dogs, " * 40)
    recorded(avoiding, monkeypatch)
    (answer,) = edits(avoiding, request())
    assert answer.params["text_cut"] is True


@pytest.mark.parametrize(
    ("name", "options", "known"),
    [
        ("flux_kontext", {"form": "edit"}, False),
        ("flux_kontext", {"form": "inpaint"}, True),
        ("qwen_image_edit", {"form": "inpaint", "paste_back": False}, False),
        ("instruct_pix2pix", {}, False),
    ],
)
def test_masks_are_known_where_the_object_is_put_back(
    name: str, options: dict[str, Any], *, known: bool
) -> None:
    assert make("editors", name, Editor, options).knows_masks is known  # type: ignore[type-abstract]


def test_an_object_that_is_not_found_is_refused_where_the_recipe_says_so(made: Made) -> None:
    (answer,) = made("instruct_pix2pix", None, alignment="refuse").edit([request()])
    assert isinstance(answer, Rejected)
    assert (answer.reason, answer.again) == ("object_not_found", True)


def test_a_repainted_object_that_is_not_put_back_is_measured(made: Made) -> None:
    (answer,) = edits(made("flux_kontext", "inpaint", paste_back=False), request())
    assert (answer.mask, answer.known_pixel_max_diff) == (None, None)
    assert "object_match" in answer.columns


@pytest.mark.parametrize(("name", "form"), CASES)
def test_the_sentence_is_asked_word_for_word_with_a_generator_for_each(
    made: Made, name: str, form: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = made(name, form)
    recorder = recorded(found, monkeypatch)
    asked = [request(0, seed=1), request(1, seed=2, prompt="'Quoted' {background}?"), request(0)]
    edits(found, *asked)
    told = [prompt for call in recorder.asked for prompt in call["prompt"]]
    assert sorted(told) == sorted(each.prompt for each in asked)
    draws = [torch.randn(1, generator=g).item() for c in recorder.asked for g in c["generator"]]
    assert len({*draws}) == 3
    calls = [(len(call["image"]), len(call["prompt"])) for call in recorder.asked]
    expected = {"plus": [(1, 1)] * 3}.get(str(form), [(3, 3)])
    if (name, form) == ("flux2_klein", "edit"):
        expected = [(1, 2), (1, 1)]
    assert calls == expected, "a list of pictures may mean several references for one answer"
    for call in recorder.asked:
        height, width = call.get("height", 64), call.get("width", 80)
        if name != "instruct_pix2pix":
            assert all(picture.size == (width, height) for picture in call["image"])
        if name == "flux_kontext":
            assert call["max_area"] == height * width
            assert call["_auto_resize"] is False
        for shown in call.get("mask_image", []):
            levels = np.asarray(shown)
            assert levels.shape == (height, width)
            assert (levels[0] == 255).all(), "the background is repainted"
            assert levels[height // 2, width // 2] == 0, "the object is not"


@pytest.mark.parametrize(
    ("name", "form", "options", "told"),
    [
        (
            "instruct_pix2pix", None, {"guidance": 2.5, "image_guidance": 1.25},
            {"guidance_scale": 2.5, "image_guidance_scale": 1.25},
        ),
        (
            "flux_kontext", "edit", {"guidance": 2.5, "true_guidance": 1.5, "avoid": "people"},
            {"guidance_scale": 2.5, "true_cfg_scale": 1.5, "negative_prompt": ["people"]},
        ),
        ("flux2_klein", "edit", {"guidance": 2.5}, {"guidance_scale": 2.5}),
        (
            "qwen_image_edit", "edit", {"guidance": 2.5},
            {"true_cfg_scale": 2.5, "negative_prompt": [" "]},
        ),
    ],
)  # fmt: skip
def test_a_class_is_told_the_guidance_under_its_own_names(
    made: Made, name: str, form: str | None, options: dict[str, Any], told: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    found = made(name, form, **options)
    recorder = recorded(found, monkeypatch)
    (edit,) = edits(found, request())
    (call,) = recorder.asked
    assert {key: call[key] for key in told} == told
    recorded_as = {key: edit.params[key] for key in told if key != "negative_prompt"}
    assert recorded_as == {key: told[key] for key in recorded_as}


@pytest.mark.parametrize(("name", "form"), INPAINTS)
@pytest.mark.parametrize("strength", [1.0, 0.6])
def test_as_many_steps_are_made_as_are_said(
    made: Made, name: str, form: str, strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"guidance": 1} if name == "qwen_image_edit" else {}
    found = made(name, form, steps=3, strength=strength, **given)
    assert found._instructor is not None
    network, calls = found._instructor.pipe.transformer, []
    forward = network.forward
    monkeypatch.setattr(network, "forward", lambda **k: (calls.append(1), forward(**k))[1])
    edits(found, request())
    assert len(calls) == 3


@pytest.mark.parametrize(("value", "output"), [(0.0, "black"), (np.nan, "not_finite")])
def test_a_useless_picture_is_refused_and_asked_for_again(
    made: Made, value: float, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = made("flux_kontext", "edit")

    def useless(shown: Any, n: int, number: int) -> Any:
        return same(shown, n, number) * (value if n == 1 else 1)

    recorded(found, monkeypatch, useless)
    answers = found.edit([request(seed=seed) for seed in range(3)])
    assert [isinstance(answer, Edit) for answer in answers] == [True, False, True]
    answer = answers[1]
    assert isinstance(answer, Rejected)
    assert (answer.reason, answer.again, answer.params["output"]) == ("bad_output", True, output)


def test_memory_that_does_not_suffice_halves_the_batch_and_says_so(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = made("flux_kontext", "edit")

    def too_many(shown: Any, n: int, number: int) -> Any:
        if number > 1:
            raise torch.OutOfMemoryError
        return same(shown, n, number)

    recorded(found, monkeypatch, too_many)
    answers = edits(found, request(seed=1), request(seed=2))
    assert [answer.params["batch"] for answer in answers] == [1, 1]


def test_pictures_and_masks_that_cannot_be_edited_are_refused(made: Made) -> None:
    nothing, everything = np.zeros(SIZE, np.bool_), np.ones(SIZE, np.bool_)
    long = request(image=np.full((10, 81, 3), 90, np.uint8), mask=np.eye(10, 81) > 0)
    asked = [request(mask=nothing), request(mask=everything), long]
    answers = made("flux2_klein", "inpaint").edit(asked)
    assert [answer.reason for answer in answers if isinstance(answer, Rejected)] == [
        "empty_mask", "no_background_left", "too_long",
    ]  # fmt: skip
    assert isinstance(made("flux2_klein", "edit").edit(asked)[1], Edit)


@pytest.mark.parametrize("name", FAMILIES)
def test_weights_of_another_kind_are_refused_in_a_line(folders: Path, name: str) -> None:
    other = "pix2pix" if name != "instruct_pix2pix" else "kontext"
    with pytest.raises(WeightsError, match=rf"{name}\.weights: .* is of .*Name weights of"):
        loaded(folders, name, None, weights=str(folders / other))


def test_a_folder_without_a_pipeline_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"instruct_pix2pix\.weights: .* lacks model_index"):
        loaded(tmp_path, "instruct_pix2pix", None, weights=str(tmp_path))


def test_identity_is_what_the_weights_hold_and_how_a_conversation_is_written(
    folders: Path, tmp_path: Path, tiny_diffusion: ModuleType
) -> None:
    def identity(path: Path) -> Any:
        options = {"weights": str(path)}
        found = make("editors", "flux2_klein", Editor, options)  # type: ignore[type-abstract]
        return found.identity()

    own, copy = identity(folders / "klein"), tiny_diffusion.save_flux2_klein(tmp_path / "copy")
    assert identity(copy) == own
    template = copy / "tokenizer" / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    assert identity(copy) != own
    assert identity(tiny_diffusion.save_flux2_klein(tmp_path / "other", seed=5)) != own


def test_the_weights_left_out_are_those_of_the_form() -> None:
    def weights(**options: Any) -> Any:
        found = make("editors", "qwen_image_edit", Editor, options)  # type: ignore[type-abstract]
        return found.named_weights()

    assert weights() == weights(form="inpaint") == {"weights": "Qwen/Qwen-Image-Edit"}
    assert weights(form="plus") == {"weights": "Qwen/Qwen-Image-Edit-2511"}
    assert weights(form="plus", weights="mine/own") == {"weights": "mine/own"}


def test_options_that_a_model_cannot_follow_are_refused() -> None:
    for name, option in (
        ("instruct_pix2pix", {"image_guidance": 0.5}), ("flux2_klein", {"native": 2048}),
        ("qwen_image_edit", {"native": 512}), ("flux_kontext", {"form": "plus"}),
        ("flux_kontext", {"avoid": "dogs"}),
    ):  # fmt: skip
        with pytest.raises(RecipeError, match=next(iter(option))):
            make("editors", name, Editor, option, "backgrounds.editor")  # type: ignore[type-abstract]

"""The editor emu2 with a tiny Emu2-Gen: what it answers, records, refuses and does again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from covar_gen.core.arrays import Rejected
from covar_gen.core.errors import DeviceMemoryError, PluginError, RecipeError, WeightsError
from covar_gen.core.pins import revision_of
from covar_gen.core.plugins import make
from covar_gen.editors._emu2_batches import paint_all
from covar_gen.editors._emu2_model import ENCODER, PAINTER, Networks
from covar_gen.editors._emu2_tower import squeezed
from covar_gen.editors._scenes.photographs import BackgroundPhotographs
from covar_gen.editors.base import Edit, Editor, EditRequest
from covar_gen.editors.emu2 import Emu2Gen

PROMPT = "beach. Edit only the background and keep the foreground subject intact"
HEIGHT, WIDTH = 60, 96

Made = Callable[..., Emu2Gen]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_emu2: ModuleType) -> Path:
    found: Path = tiny_emu2.save_hub(tmp_path_factory.mktemp("emu2") / "tiny", checker=True)
    return found


def editor(folder: Path, **options: Any) -> Emu2Gen:
    """An editor that is not set up yet."""
    given = {"weights": str(folder), "steps": 2, "size": 64, **options}
    found = make("editors", "emu2", Editor, given)  # type: ignore[type-abstract]
    assert isinstance(found, Emu2Gen)
    return found


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Made:
    """Editors by their options, set up once."""
    known: dict[str, Emu2Gen] = {}

    def made(**options: Any) -> Emu2Gen:
        key = repr(sorted(options.items()))
        if key not in known:
            known[key] = editor(folder, **options)
            known[key].setup()
        networks = known[key]._networks
        assert networks is not None
        # What another test had read in a larger batch may differ in its last bits.
        networks.read = {}
        return known[key]

    return made


def request(seed: int = 1, **changes: Any) -> EditRequest:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    mask = (x - 48) ** 2 + (y - 30) ** 2 < 18**2
    grain = np.random.default_rng(7).integers(0, 60, (HEIGHT, WIDTH, 3))
    image = np.where(mask[..., None], (200, 60, 30), (20, 80, 120)) + grain
    given: dict[str, Any] = {
        "key": "dog/p1/01", "image": image.clip(0, 255).astype(np.uint8), "mask": mask,
        "class_name": "dog", "background_id": 1, "background": "beach", "prompt": PROMPT,
        "seed": seed,
    }  # fmt: skip
    return EditRequest(**{**given, **changes})


def edits(found: Sequence[Edit | Rejected]) -> list[Edit]:
    assert all(isinstance(each, Edit) for each in found), found
    return list(found)  # type: ignore[arg-type]


def only(found: Sequence[Edit | Rejected]) -> Edit:
    (each,) = edits(found)
    return each


def rejected(found: Sequence[Edit | Rejected]) -> Rejected:
    (each,) = found
    assert isinstance(each, Rejected)
    return each


# What is answered.


def test_an_edit_has_the_photographs_size_and_says_how_it_was_made(tiny: Made) -> None:
    found = only(tiny().edit([request()]))
    assert found.image.shape == (HEIGHT, WIDTH, 3)
    assert found.image.dtype == np.uint8
    assert found.mask is found.transform is found.known_pixel_max_diff is None
    assert set(found.columns) >= {"object_match"}
    known = {
        "mode": "edit", "steps": 2, "guidance": 3.0, "scheduler": "EulerDiscreteScheduler",
        "dtype": "float32", "device": "cpu", "language": "full", "canvas": [64, 64],
    }  # fmt: skip
    assert {name: found.params[name] for name in known} == known
    assert "batch" not in found.params
    assert str(tiny().model).startswith("local:tiny@")


def test_what_is_painted_is_what_the_model_paints_of_photograph_and_prompt(
    tiny: Made, tiny_emu2: ModuleType
) -> None:
    """The recorded case, through the editor."""
    parts, seed, canvas = tiny_emu2.case("edit")
    image = np.asarray(parts[0])
    mask = np.zeros(image.shape[:2], np.bool_)
    mask[20:60, 30:90] = True
    asked = request(seed, image=image, mask=mask, prompt=parts[1])
    found = only(tiny(steps=canvas.steps, size=canvas.height).edit([asked]))
    levels = np.rint(tiny_emu2.recorded("edit")["image"][0] * 255).astype(np.uint8)
    from covar_gen.neural.fitting import resized

    known = resized(levels, (90, 120)).astype(int)
    assert np.abs(known - found.image).max() <= 1


def test_an_edit_follows_photograph_prompt_and_seed_to_the_bit(tiny: Made) -> None:
    plain = only(tiny().edit([request()])).image
    assert (only(tiny().edit([request()])).image == plain).all()
    for changed in (
        request(seed=2),
        request(prompt="forest"),
        request(image=request().image[::-1].copy()),
    ):
        assert (only(tiny().edit([changed])).image != plain).any()


@pytest.fixture
def references(tmp_path: Path) -> Path:
    """Two pictures of background 1, one of background 2."""
    (tmp_path / "01").mkdir()
    for number, name in enumerate(("01/b.png", "01/a.png", "forest.png")):
        levels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(levels).save(tmp_path / name)
    return tmp_path


def test_pictures_of_the_background_are_shown_between_photograph_and_sentence(
    folder: Path, tiny: Made, references: Path
) -> None:
    plain = request()
    forest = request(background_id=2, background="forest")
    lacking = request(background_id=3, background="moon")
    shown = editor(folder, references=str(references))
    shown.setup()
    networks = shown._networks
    assert networks is not None
    given: list[list[Any]] = []
    real = networks.shown
    networks.shown = lambda parts: given.append(list(parts)) or real(parts)  # type: ignore[assignment, func-returns-value]
    found = shown.edit([plain, forest, lacking])
    files = [references / "01/a.png", references / "01/b.png"]
    edge = networks.shape.image_size
    [first] = [parts for parts in given if len(parts) == 4]
    [second] = [parts for parts in given if len(parts) == 3]
    assert np.array_equal(np.asarray(first[0]), plain.image)
    for part, file in zip(first[1:3], files, strict=True):
        assert np.array_equal(np.asarray(part), np.asarray(squeezed(Image.open(file), edge)))
    assert first[3] == second[2] == PROMPT
    one, other = edits(found[:2])
    assert (one.image != only(tiny().edit([plain])).image).any()
    said = {file.relative_to(references).as_posix(): file.read_bytes() for file in files}
    assert one.params["references"] == {
        name: hashlib.sha256(data).hexdigest() for name, data in said.items()
    }
    assert list(other.params["references"]) == ["forest.png"]  # type: ignore[arg-type]
    assert rejected(found[2:]).reason == "no_picture_of_background"


def test_a_picture_of_a_background_is_read_once(
    folder: Path, references: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = editor(folder, references=str(references), stage="swap")
    shown.setup()
    read: list[str] = []
    real = BackgroundPhotographs.whole

    def whole(self: BackgroundPhotographs, name: str, *given: Any) -> Any:
        read.append(name)
        return real(self, name, *given)

    monkeypatch.setattr(BackgroundPhotographs, "whole", whole)
    once = edits(shown.edit([request(), request(seed=2)]))
    again = edits(shown.edit([request(key="dog/p2/01")]))
    assert (once[0].image == again[0].image).all()
    assert read == ["01/a.png", "01/b.png"]
    assert shown._networks is not None
    shown._networks.writer.model.register_forward_pre_hook(narrow(0), with_kwargs=True)
    with pytest.raises(DeviceMemoryError, match=r"Set language = 'int4', .*, fewer references, or"):
        shown.edit([request(key="dog/p3/01")])


def test_references_are_part_of_what_a_table_is_made_with(folder: Path, references: Path) -> None:
    def said() -> object:
        return editor(folder, references=str(references)).identity()["options"]

    before = said()
    assert str(references) not in json.dumps(before)
    assert before == said()
    (references / "forest.png").write_bytes((references / "01" / "a.png").read_bytes())
    assert before != said()


def test_references_that_cannot_be_shown_are_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PluginError) as wrong:
        editor(folder, references=str(tmp_path), mode="text")
    what = "references are shown in mode = 'edit' only, not in 'text'"
    assert wrong.value.line() == f"PluginError: editor emu2: {what}. Correct it"
    with pytest.raises(RecipeError, match="no photograph in") as refused:
        editor(folder, references=str(tmp_path)).check()
    assert "emu2.references" in refused.value.line()


def test_batches_are_cut_and_answers_stay_with_their_requests(tiny: Made) -> None:
    asked = [request(seed, prompt=f"{'very ' * seed}wet beach") for seed in range(5)]
    asked[2] = request(mask=np.zeros((HEIGHT, WIDTH), np.bool_))
    found = tiny(batch=2).edit(asked)
    assert isinstance(found[2], Rejected)
    assert (found[2].reason, found[2].again) == ("empty_mask", False)
    for place in (0, 1, 3, 4):
        answer = found[place]
        assert isinstance(answer, Edit)
        alone = only(tiny().edit([asked[place]])).image.astype(int)
        assert np.abs(alone - answer.image).max() <= 1
        assert "batch" not in answer.params


def test_without_any_object_nothing_is_computed(
    tiny: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("computed")

    monkeypatch.setattr(Networks, "embed", never)
    nothing = np.zeros((HEIGHT, WIDTH), np.bool_)
    assert rejected(tiny().edit([request(mask=nothing)])).reason == "empty_mask"
    assert tiny().edit([]) == []


def test_modes_look_at_what_they_say(tiny: Made) -> None:
    def picture(mode: str, **changes: Any) -> Any:
        return only(tiny(mode=mode).edit([request(**changes)])).image

    other = request().image[:, ::-1].copy()
    assert (picture("text") == picture("text", image=other)).all()
    assert (picture("text") != picture("text", prompt="forest")).any()
    assert (picture("autoencode") == picture("autoencode", prompt="forest")).all()
    assert (picture("autoencode") != picture("autoencode", image=other)).any()
    assert len({picture(mode).tobytes() for mode in ("edit", "text", "autoencode")}) == 3
    assert only(tiny(mode="text").edit([request()])).params["mode"] == "text"


def test_a_canvas_of_the_photographs_shape_is_an_option(tiny: Made) -> None:
    found = tiny(canvas="photograph", size=128)
    assert only(found.edit([request()])).params["canvas"] == [96, 160]
    tall = {"image": np.zeros((270, 30, 3), np.uint8), "mask": np.ones((270, 30), np.bool_)}
    assert rejected(found.edit([request(**tall)])).reason == "too_long"
    assert only(tiny().edit([request(**tall)])).image.shape == (270, 30, 3)


def test_photographs_of_two_shapes_are_painted_apart_and_answered_in_order(tiny: Made) -> None:
    turned = {
        "image": request().image.transpose(1, 0, 2).copy(), "mask": request().mask.T.copy(),
    }  # fmt: skip
    asked = [request(1), request(2, **turned), request(3)]
    found = edits(tiny(canvas="photograph", size=128).edit(asked))
    assert [each.params["canvas"] for each in found] == [[96, 160], [160, 96], [96, 160]]
    assert [each.image.shape[:2] for each in found] == [(60, 96), (96, 60), (60, 96)]
    assert (found[0].image != found[2].image).any()


def test_the_object_is_put_back_where_that_is_asked_for(tiny: Made) -> None:
    found = only(tiny(paste_back=True).edit([request()]))
    plain = only(tiny().edit([request()]))
    mask = request().mask
    assert found.mask is not None
    assert (found.mask == mask).all()
    assert found.known_pixel_max_diff == 0
    assert found.params["pasted_back"] is True
    assert (found.image[mask] == request().image[mask]).all()
    assert (found.image[~mask] == plain.image[~mask]).all()
    assert (tiny(paste_back=True).knows_masks, tiny().knows_masks) == (True, False)


def test_an_object_drawn_elsewhere_is_refused_before_another_is_put_beside_it(tiny: Made) -> None:
    found = rejected(tiny(paste_back=True, alignment="refuse").edit([request()]))
    assert (found.reason, found.again) == ("object_not_found", True)
    kept = only(tiny(paste_back=True).edit([request()]))
    assert kept.columns["object_match"] == found.columns["object_match"]


def test_a_half_type_is_recorded_and_is_close(tiny: Made) -> None:
    exact, half = (tiny(dtype=dtype) for dtype in ("float32", "bfloat16"))
    one, other = (only(each.edit([request()])) for each in (exact, half))
    assert other.params["dtype"] == "bfloat16"
    assert 0 < np.abs(one.image.astype(int) - other.image).mean() < 8


@pytest.mark.parametrize("stage", ["resident", "swap"])
def test_a_language_model_in_four_bits_is_recorded_and_is_another(stage: str, tiny: Made) -> None:
    found = only(tiny(language="int4", stage=stage).edit([request()]))
    assert found.params["language"] == "int4"
    off = np.abs(only(tiny().edit([request()])).image.astype(int) - found.image).mean()
    assert 0 < off < 40


def test_networks_that_make_room_for_each_other_give_the_same(tiny: Made) -> None:
    found = only(tiny(stage="swap").edit([request()]))
    assert (found.image == only(tiny(stage="resident").edit([request()])).image).all()


# What cannot be used.


@pytest.mark.parametrize(("value", "said"), [(np.nan, "not_finite"), (0.003, "black")])
def test_a_picture_that_cannot_be_used_is_made_again(
    value: float, said: str, tiny: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object, batch: Sequence[Any], *__: object) -> np.ndarray:
        return np.full((len(batch), 64, 64, 3), value, np.float32)

    monkeypatch.setattr(Networks, "paint", broken)
    found = rejected(tiny().edit([request()]))
    assert (found.reason, found.again) == ("bad_output", True)
    assert found.params["output"] == said
    assert found.params["canvas"] == [64, 64]


def test_what_the_checker_flags_is_rejected_with_its_reason_and_made_again(
    tiny: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [request(seed) for seed in range(3)]
    monkeypatch.setattr(Networks, "flags", lambda *_: [False, True, False])
    first, second, third = tiny().edit(asked)
    assert isinstance(second, Rejected)
    assert (second.reason, second.again) == ("flagged", True)
    assert second.params["steps"] == 2
    assert isinstance(first, Edit)
    assert isinstance(third, Edit)
    assert tiny().attempts == 3


def test_the_checker_that_the_checkpoint_has_is_asked(
    tiny: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = tiny()._networks
    assert networks is not None
    assert networks.checker is not None
    weights = networks.checker.network.concept_embeds_weights
    monkeypatch.setattr(weights, "data", torch.full_like(weights, -2))
    assert rejected(tiny().edit([request()])).reason == "flagged"
    without = tiny(safety_checker=False)
    assert without._networks is not None
    assert without._networks.checker is None
    assert isinstance(without.edit([request()])[0], Edit)


def test_an_object_that_cannot_be_found_again_is_refused_where_that_is_asked_for(
    tiny: Made,
) -> None:
    found = rejected(tiny(alignment="refuse").edit([request()]))
    assert (found.reason, found.again) == ("object_not_found", True)
    assert found.params["mode"] == "edit"


# Memory.


def narrow(most: int) -> Callable[..., None]:
    """A network that is too small for more than so many."""

    def hook(_: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = kwargs["inputs_embeds"] if "inputs_embeds" in kwargs else args[0]
        if len(given) > most:
            raise torch.OutOfMemoryError("too small")

    return hook


@pytest.mark.parametrize("which", ["model", "unet"])
def test_too_little_memory_halves_the_batch_and_says_so(which: str, tiny: Made) -> None:
    found = tiny(batch=4)
    asked = [request(seed) for seed in range(3)]
    whole = edits(found.edit(asked))
    assert found._networks is not None
    network: Any = found._networks.painter.unet
    most = 2 * 2  # with and without guidance
    if which == "model":
        network, most = found._networks.writer.model, 2
    hook = network.register_forward_pre_hook(narrow(most), with_kwargs=True)
    # Rows of their own: what was read for the others is kept.
    halves = edits(found.edit([replace(each, key=f"{each.key}/{which}") for each in asked]))
    hook.remove()
    assert all("batch" not in each.params for each in whole)
    assert halves[0].params["batch"] == 2
    for one, other in zip(whole, halves, strict=True):
        assert np.abs(one.image.astype(int) - other.image).max() <= 1


@pytest.mark.parametrize(
    ("which", "options", "said"),
    [
        ("unet", {}, "Set dtype = 'bfloat16', a smaller size, or take a larger GPU"),
        (
            "unet",
            {"stage": "resident", "dtype": "bfloat16"},
            "Set stage = 'swap', language = 'int4', more devices, a smaller size, or take",
        ),
        (
            "model",
            {"stage": "swap", "dtype": "bfloat16"},
            "Set language = 'int4', more devices, or take a larger GPU",
        ),
    ],
)
def test_too_little_memory_for_one_is_said_in_a_line_with_what_takes_less(
    which: str, options: dict[str, Any], said: str, folder: Path
) -> None:
    # An editor of its own: from then on it makes room before it paints.
    found = editor(folder, **options)
    found.setup()
    assert found._networks is not None
    networks = found._networks
    network: Any = networks.painter.unet if which == "unet" else networks.writer.model
    network.register_forward_pre_hook(narrow(0), with_kwargs=True)
    with pytest.raises(DeviceMemoryError) as caught:
        found.edit([request()])
    what = "the device has not enough memory for a single image"
    assert caught.value.line().startswith(f"DeviceMemoryError: emu2: {what}. {said}")


def test_what_takes_less_are_settings_that_there_are(folder: Path) -> None:
    known = type(editor(folder).options).model_fields
    for words in ("stage = 'swap'", "language = 'int4'", "devices = 2", "dtype = 'bfloat16'"):
        name, _, value = words.partition(" = ")
        assert name in known
        editor(folder, **{name: json.loads(value.replace("'", '"'))})
    assert {"size", "references"} <= set(known)


@pytest.mark.parametrize("stage", ["auto", "resident"])
def test_networks_make_room_where_no_picture_fits_beside_them_unless_they_must_stay(
    stage: str, folder: Path, tiny: Made, caplog: pytest.LogCaptureFixture
) -> None:
    found = editor(folder, stage=stage)
    found.setup()
    networks = found._networks
    assert networks is not None
    assert networks.staged.stage == "resident"
    tower: Any = networks.tower

    def full(*_: Any) -> None:
        if not tower.cls_token.is_meta:
            raise torch.OutOfMemoryError("full")

    networks.painter.unet.register_forward_pre_hook(full)
    if stage == "resident":
        with pytest.raises(DeviceMemoryError, match="single image"):
            found.edit([request()])
        return
    with caplog.at_level("WARNING", logger="covar_gen"):
        answer = only(found.edit([request()]))
        again = only(found.edit([request()]))
    assert len(caplog.records) == 1
    assert networks.staged.stage == "swap"
    plain = only(tiny().edit([request()]))
    assert (answer.image == plain.image).all()
    assert (again.image == plain.image).all()
    assert answer.params == plain.params


@pytest.mark.parametrize(
    ("which", "said"),
    [
        (ENCODER, "Set language = 'int4', more devices, dtype = 'bfloat16', or take"),
        (PAINTER, "Set dtype = 'bfloat16', or take a larger GPU"),
    ],
)
def test_networks_that_do_not_fit_are_told_with_what_would(
    which: str, said: str, tiny: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = tiny(stage="swap")._networks
    assert networks is not None

    ready = networks.staged.ready

    def full(group: str) -> None:
        if group == which:
            raise torch.OutOfMemoryError("full")
        ready(group)

    monkeypatch.setattr(networks.staged, "ready", full)
    with pytest.raises(DeviceMemoryError, match=f"Emu2's {which}") as caught:
        tiny(stage="swap").edit([request(key=f"dog/{which}/01")])
    assert f". {said}" in caught.value.line()


def test_all_are_read_before_any_is_painted(tiny: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that make room for each other are loaded once per call, not once per batch."""
    found = tiny(stage="swap", batch=1)
    assert found._networks is not None
    asked: list[str] = []
    ready = found._networks.staged.ready

    def listen(group: str) -> None:
        if asked[-1:] != [group]:
            asked.append(group)
        ready(group)

    monkeypatch.setattr(found._networks.staged, "ready", listen)
    found.edit([request(seed) for seed in range(3)])
    assert asked == ["encoder", "painter"]


# Which weights.


def test_the_papers_weights_are_the_default_at_a_pinned_revision() -> None:
    found = make("editors", "emu2", Editor, {})  # type: ignore[type-abstract]
    assert found.named_weights() == {"weights": "BAAI/Emu2-Gen"}
    assert found.options.model_dump()["steps"] == 50
    assert found.options.model_dump()["guidance"] == 3.0
    assert found.options.model_dump()["size"] == 1024
    assert found.options.model_dump()["paste_back"] is False
    known = revision_of("BAAI/Emu2-Gen")
    assert known is not None
    assert len(known) == 40


def test_weights_are_told_by_content(folder: Path, tmp_path: Path, tiny_emu2: ModuleType) -> None:
    again = tiny_emu2.save_hub(tmp_path / "renamed", checker=True)
    assert editor(folder).identity() == editor(again).identity()
    path = again / "scheduler" / "scheduler_config.json"
    path.write_text(path.read_text().replace('"steps_offset": 1', '"steps_offset": 0'))
    assert editor(folder).identity() != editor(again).identity()


def test_the_native_file_is_taken_and_gives_the_same(
    tmp_path: Path, tiny: Made, tiny_emu2: ModuleType
) -> None:
    found = editor(tiny_emu2.save_native(tmp_path / "native"), safety_checker=False)
    found.setup()
    one, other = (only(each.edit([request()])).image for each in (found, tiny()))
    assert (one == other).all()


def test_weights_of_another_hash_are_refused(folder: Path) -> None:
    found = editor(folder, weights_sha256="0" * 64)
    with pytest.raises(WeightsError, match="not the pinned"):
        found.setup()
    editor(folder, weights_sha256=found.weights.sha256).setup()


def test_a_checker_that_is_wanted_must_be_there(tmp_path: Path, tiny_emu2: ModuleType) -> None:
    place = tiny_emu2.save_hub(tmp_path / "bare")
    with pytest.raises(WeightsError, match="safety_checker"):
        editor(place).setup()
    editor(place, safety_checker=False).setup()


def test_files_of_ones_own_are_looked_at_before_a_run_computes_anything(
    folder: Path, tmp_path: Path
) -> None:
    editor(folder).check()
    bare = Path(shutil.copytree(folder, tmp_path / "bare"))
    shutil.rmtree(bare / "safety_checker")
    editor(bare, safety_checker=False).check()
    with pytest.raises(WeightsError, match=r"lacks safety_checker/config\.json"):
        editor(bare).check()
    with pytest.raises(WeightsError, match="there is no"):
        editor(tmp_path / "nowhere").check()


@pytest.mark.parametrize("name", ["Emu2-Gen", "weights/emu2/tiny", "me/emu 2", "Emu2-Gen@main"])
def test_a_name_of_nothing_is_refused_before_the_hub_is_asked(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr("huggingface_hub.snapshot_download", never)
    found = make("editors", "emu2", Editor, {"weights": name})  # type: ignore[type-abstract]
    for ask in (found.check, found.setup, lambda: found.check_prompts(1, "beach", ["a beach"])):
        with pytest.raises(WeightsError) as caught:
            ask()
        assert caught.value.line() == (
            f"WeightsError: emu2.weights: {name!r} is no folder and no file here, and no "
            "owner/name of the Hugging Face Hub. Check the path, which is relative to the recipe, "
            "or write BAAI/Emu2-Gen"
        )


def test_the_hub_is_not_asked_when_a_run_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr("covar_gen.editors.emu2.find", never)
    for name in ("BAAI/Emu2-Gen", "mine/emu2@main"):
        make("editors", "emu2", Editor, {"weights": name}).check()  # type: ignore[type-abstract]


# What is refused.


def test_a_mark_in_a_prompt_is_refused_in_a_line(tiny: Made) -> None:
    with pytest.raises(PluginError, match="reads as a mark") as caught:
        tiny().edit([request(prompt="a <image> of a beach")])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options", [{"size": 100}, {"guidance": 0.5}, {"mode": "paint"}, {"weights_sha256": "abc"}]
)
def test_options_out_of_range_are_refused(options: dict[str, Any], folder: Path) -> None:
    with pytest.raises(PluginError):
        editor(folder, **options)


def test_nothing_asked_is_nothing_done(tiny: Made) -> None:
    networks = tiny()._networks
    assert networks is not None
    assert paint_all(networks, [], 4, lambda *_: None) == []

"""Redrawn objects are measured on every row, and refused where the recipe's limits say so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data

from covar_gen.commands.run import init
from covar_gen.commands.stages import stage_of
from covar_gen.core.agreement import Agreement
from covar_gen.core.arrays import Image, Mask, Rejected
from covar_gen.core.errors import CovarError, PluginError, RecipeError, WeightsError
from covar_gen.core.files import Staging
from covar_gen.core.pipeline import run_stage
from covar_gen.core.ranks import Ranks
from covar_gen.core.store import Run
from covar_gen.editors.base import AlignmentOptions, Edit, EditRequest, aligned, pasted_back
from covar_gen.foreground import Foreground

pytestmark = pytest.mark.usefixtures("one_thread")

Steps = Callable[..., Run]
ROOT = Path(__file__).parents[1]
NUMBERS = ("object_iou", "object_similarity", "object_ssim", "object_colour")
COLUMNS = [
    "key", "status", "reason", "attempt", "sha256", "params", "object_match", *NUMBERS,
]  # fmt: skip


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, module_of: Callable[..., ModuleType]) -> Path:
    tiny = module_of(Path(__file__).with_name("tiny_networks.py"))
    folder = tmp_path_factory.mktemp("networks") / "dinov2"
    tiny.save_network(folder, "dinov2")
    return folder


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory, tiny_diffusion: ModuleType) -> Path:
    place = tmp_path_factory.mktemp("painter") / "pix2pix"
    tiny_diffusion.save_stable_diffusion(
        place, channels=8, scheduler="EulerAncestralDiscreteScheduler"
    )
    return place


@pytest.fixture
def request_() -> EditRequest:
    image = data.chelsea()
    drawn = np.zeros(image.shape[:2], np.uint8)
    cv2.ellipse(drawn, (220, 150), (120, 110), 0, 0, 360, 1, -1)
    return EditRequest("cat/1/01", image, drawn > 0, "cat", 1, "beach", "", 7)


def moved(image: Image, mask: Mask, scale: float, shift: tuple[int, int]) -> Image:
    """The object at another place, before green."""
    offset = (1 - scale) * np.array([220, 150]) + shift
    matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
    there = cv2.warpAffine(image, matrix, mask.shape[::-1], flags=cv2.INTER_CUBIC)
    part = cv2.warpAffine(mask.astype(np.float32), matrix, mask.shape[::-1])[..., None]
    found = there * part + np.array([10, 160, 40]) * (1 - part)
    return np.clip(np.rint(found), 0, 255).astype(np.uint8)


def judged(found: Foreground, *tasks: tuple[EditRequest, Edit]) -> list[Edit | Rejected]:
    found.setup()
    return found.judged(tasks)


def agreement(answer: Edit | Rejected) -> dict[str, Any]:
    found = answer.params["agreement"]
    assert isinstance(found, dict)
    return found


# What is measured of an edit.


def test_the_same_object_elsewhere_agrees_and_another_does_not(
    request_: EditRequest, network: Path
) -> None:
    section = Agreement(network=str(network), segmenter="grabcut")
    same = Edit(moved(request_.image, request_.mask, 1.1, (24, -10)))
    other = Edit(np.asarray(cv2.resize(data.astronaut(), (451, 300)), np.uint8))
    first, second = judged(Foreground(section), (request_, same), (request_, other))
    assert isinstance(first, Edit)
    assert isinstance(second, Edit)
    good, bad = first.columns, second.columns
    assert good["object_scale"] == pytest.approx(1.1, abs=0.01)
    assert good["object_shift_x"] == pytest.approx(24 / 451, abs=0.01)
    assert float(str(good["object_ssim"])) > 0.95
    assert float(str(good["object_colour"])) < 1.5
    assert float(str(good["object_similarity"])) > 0.99
    assert float(str(good["object_iou"])) > 0.9
    assert float(str(bad["object_ssim"])) < 0.4
    assert float(str(bad["object_colour"])) > 15
    assert float(str(bad["object_similarity"])) < float(str(good["object_similarity"])) - 0.05
    assert float(str(bad["object_iou"])) < 0.7
    assert "object_scale" not in bad
    # An object that was not found is measured in its own place, and the row says so.
    assert (agreement(first)["at"], agreement(second)["at"]) == ("registered", "in_place")
    assert second.params["unmeasured"] == "unlike"
    assert agreement(first)["segmenter"] == "grabcut"
    assert str(agreement(first)["network"]).startswith("local:dinov2@")
    assert agreement(first)["seen"] == 1


def test_what_the_editor_estimated_is_not_estimated_again(
    request_: EditRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = moved(request_.image, request_.mask, 1.0, (20, 0))
    given = aligned(request_, edited, AlignmentOptions())
    back = aligned(request_, edited, AlignmentOptions(alignment="realign"))
    assert isinstance(given, Edit)
    assert isinstance(back, Edit)
    monkeypatch.setattr("covar_gen.foreground.register", None)
    for answer in judged(Foreground(None), (request_, given), (request_, back)):
        assert isinstance(answer, Edit)
        # Where it was moved back it lies in its own place; the columns keep where it had been.
        assert float(str(answer.columns["object_ssim"])) > 0.95
        assert answer.columns["object_shift_x"] == pytest.approx(20 / 451, abs=0.003)
        assert agreement(answer)["at"] == "registered"


def test_without_a_section_pixels_are_compared_and_nothing_is_refused(
    request_: EditRequest,
) -> None:
    found = Foreground(None)
    assert found.patches is None
    assert found.segmenter is None
    assert not found.in_batches
    other = Edit(np.asarray(cv2.resize(data.astronaut(), (451, 300)), np.uint8))
    (answer,) = judged(found, (request_, other))
    assert isinstance(answer, Edit)
    assert answer.columns["object_iou"] is None
    assert answer.columns["object_similarity"] is None
    assert float(str(answer.columns["object_ssim"])) < 0.4
    assert set(agreement(answer)) == {"at", "seen"}


@pytest.mark.parametrize(
    ("limits", "failed"),
    [
        ({"min_ssim": 0.9}, ["min_ssim"]),
        ({"max_colour": 5.0}, ["max_colour"]),
        ({"min_ssim": 0.9, "max_colour": 90.0}, ["min_ssim"]),
        ({"min_ssim": -1.0, "max_colour": 90.0}, []),
    ],
)
def test_what_keeps_no_limit_is_refused_with_its_numbers_to_be_made_again(
    request_: EditRequest, limits: dict[str, float], failed: list[str]
) -> None:
    section = Agreement.model_validate({"network": "none", **limits})
    other = Edit(
        np.asarray(cv2.resize(data.astronaut(), (451, 300)), np.uint8), params={"steps": 3}
    )
    same = Edit(request_.image)
    first, second = judged(Foreground(section), (request_, other), (request_, same))
    assert isinstance(second, Edit)
    assert second.columns["object_colour"] == 0
    assert isinstance(first, Rejected) is bool(failed)
    assert agreement(first).get("failed", []) == failed
    assert first.params["steps"] == 3
    assert None not in (first.columns["object_ssim"], first.columns["object_colour"])
    if isinstance(first, Rejected):
        assert (first.reason, first.again) == ("object_changed", True)


def test_an_object_that_the_segmenter_does_not_find_has_no_overlap(request_: EditRequest) -> None:
    flat = Edit(np.full_like(request_.image, 128))
    section = Agreement(network="none", segmenter="grabcut", min_iou=0.1)
    (answer,) = judged(Foreground(section), (request_, flat))
    assert isinstance(answer, Rejected)
    assert answer.columns["object_iou"] is None
    assert agreement(answer)["segmented"] == "no_object"
    assert agreement(answer)["failed"] == ["min_iou"]


def test_a_segmenter_is_given_no_more_than_its_batch_and_the_items_own_seeds(
    request_: EditRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Foreground(Agreement(network="none", segmenter="grabcut"))
    assert found.segmenter is not None
    assert not found.in_batches
    asked: list[list[tuple[str, int, str]]] = []
    real = found.segmenter.segment

    def segment(batch: Sequence[Any]) -> Any:
        asked.append([(each.key, each.seed, each.class_name) for each in batch])
        return real(batch)

    monkeypatch.setattr(found.segmenter, "segment", segment)
    monkeypatch.setattr(type(found.segmenter), "batch", 2)
    assert found.in_batches
    judged(found, *[(request_, Edit(request_.image))] * 3)
    one = ("cat/1/01", 7, "cat")
    assert asked == [[one, one], [one]]


# What a recipe may say.


def test_the_identity_tells_limits_network_and_segmenter(network: Path) -> None:
    given: dict[str, Any] = {"network": str(network), "segmenter": "grabcut"}
    different = [
        None, {"network": "none"}, given, {**given, "min_iou": 0.5}, {**given, "min_ssim": 0.5},
        {**given, "options": {"grabcut": {"working_edge": 99}}}, {**given, "batch": 3},
    ]  # fmt: skip
    found = [
        json.dumps(Foreground(part and Agreement.model_validate(part)).identity(), sort_keys=True)
        for part in different
    ]
    # Without a section the same is measured as with an empty one and no network.
    assert found[0] == found[1]
    assert len(set(found)) == len(found) - 1
    assert str(network) not in "".join(found)


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"network": "none", "min_colour": 3}, RecipeError, "unknown key 'min_colour'.*max_colour"),
        ({"network": "none", "min_iou": 0.5}, RecipeError, "min_iou needs a segmenter"),
        ({"network": "none", "segmenter": "grabcat"}, PluginError, "unknown segmenter 'grabcat'"),
        (
            {"network": "none", "segmenter": "grabcut", "options": {"grabcut": {"x": 1}}},
            RecipeError,
            r"backgrounds\.agreement\.options\.grabcut",
        ),
        (
            {"network": "none", "segmenter": "grabcut", "options": {"known": {}}},
            RecipeError,
            r"backgrounds\.agreement\.options: options for 'known', which the section does not use",
        ),
        ({"network": "none", "options": {"grabcut": {}}}, RecipeError, "It uses: none"),
        ({"network": "./nothing"}, WeightsError, "agreement.network: there is no folder"),
    ],
)
def test_a_section_that_cannot_be_meant_is_refused_before_anything_is_made(
    recipe: Path, tmp_path: Path, given: dict[str, Any], kind: type[CovarError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        init(recipe, tmp_path / "run", {"backgrounds.agreement": given})
    assert not (tmp_path / "run" / "recipe.toml").exists()


def test_a_network_beside_the_recipe_is_found_from_anywhere(
    recipe: Path, tmp_path: Path, network: Path
) -> None:
    shutil.copytree(network, tmp_path / "net")
    hashes = set()
    for number, name in enumerate(("net", str(network))):
        run = init(recipe, tmp_path / f"run{number}", {"backgrounds.agreement": {"network": name}})
        assert run.recipe.backgrounds is not None
        assert run.recipe.backgrounds.agreement is not None
        assert Path(run.recipe.backgrounds.agreement.network).is_absolute()
    # Where a folder lies does not belong to what is made.
    hashes = {
        init(
            recipe, tmp_path / name, {"backgrounds.agreement": {"network": folder}}
        ).recipe.digest()
        for name, folder in (("a", "net"), ("b", str(network)))
    }
    assert len(hashes) == 1


# Stages.


def changes(painter: Path, **section: Any) -> dict[str, Any]:
    given = {"weights": str(painter), "steps": 1, "batch": 2, "native": 64, "attempts": 2}
    found: dict[str, Any] = {
        "block": 4,
        "classes.per_class": 2,
        "backgrounds.editor": "instruct_pix2pix",
        "backgrounds.options": {"instruct_pix2pix": given},
    }
    return {**found, "backgrounds.agreement": section} if section else found


TABLES = ["sources", "masks_sources", "backgrounds"]


def rows_of(run: Run) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in run.table("backgrounds").to_pylist()}


def test_a_limit_refuses_makes_again_and_keeps_the_numbers(
    painter: Path, network: Path, steps: Steps
) -> None:
    free = rows_of(steps("free", only=TABLES, **changes(painter)))
    assert len(free) == 8
    assert {row["status"] for row in free.values()} == {"ok"}
    values = sorted(row["object_ssim"] for row in free.values())
    assert len(set(values)) == 8
    limit = (values[3] + values[4]) / 2
    section = {
        "network": str(network), "min_ssim": limit, "segmenter": "grabcut",
        "options": {"grabcut": {"working_edge": 48}},
    }  # fmt: skip
    run = steps("limited", only=TABLES, **changes(painter, **section))
    identity: Any = stage_of(run, "backgrounds").identity()
    assert identity["agreement"]["limits"]["min_ssim"] == limit
    limited = rows_of(run)
    assert set(limited) == set(free)
    for key, row in limited.items():
        assert row["object_colour"] is not None
        assert -1 <= row["object_similarity"] <= 1
        if free[key]["object_ssim"] >= limit:
            assert (row["status"], row["attempt"]) == ("ok", 0)
            assert row["sha256"] == free[key]["sha256"]
            assert row["object_ssim"] == free[key]["object_ssim"]
            continue
        assert row["attempt"] == 1
        assert row["seed"] != free[key]["seed"]
        assert row["object_ssim"] != free[key]["object_ssim"]
        assert (row["status"] == "ok") is (row["object_ssim"] >= limit)
        if row["status"] == "rejected":
            assert row["reason"] == "object_changed"
            assert row["image"] is None
            assert json.loads(row["params"])["agreement"]["failed"] == ["min_ssim"]
    assert "rejected" in {row["status"] for row in limited.values()}


def test_rows_of_editors_that_keep_the_object_are_not_measured(
    steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    section = {"network": "none", "min_ssim": 1.0}
    run = steps("kept", only=TABLES, **{"backgrounds.agreement": section})
    rows = run.table("backgrounds").to_pylist()
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["known_pixel_max_diff"] for row in rows} == {0}
    assert {row[name] for row in rows for name in NUMBERS} == {None}
    assert "[backgrounds.agreement] is not used: collage keeps the object's pixels" in caplog.text
    assert "agreement" not in stage_of(run, "backgrounds").identity()


def test_what_is_measured_together_is_made_together_but_no_service_is_asked_twice(
    recipe: Path, tmp_path: Path, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from covar_gen.editors.images_api import ImagesApi

    assert Foreground(Agreement(network=str(network))).in_batches
    given = {"backgrounds.editor": "images_api", "block": 5}
    section = {"backgrounds.agreement": {"network": str(network)}}
    without = init(recipe, tmp_path / "without", given)
    limited = init(recipe, tmp_path / "limited", {**given, **section})
    assert stage_of(limited, "backgrounds").batch is None
    monkeypatch.setattr(ImagesApi, "repeatable", True)
    assert stage_of(limited, "backgrounds").batch == 5
    assert stage_of(without, "backgrounds").batch is None


def test_an_object_that_is_put_back_is_not_measured(
    request_: EditRequest, painter: Path, recipe: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from covar_gen.core.stage import Made, Work

    run = init(recipe, tmp_path / "run", changes(painter, network="none", min_ssim=1.0))
    stage = stage_of(run, "backgrounds")
    other = np.asarray(cv2.resize(data.astronaut(), (451, 300)), np.uint8)
    redrawn = Edit(other)
    answers = [redrawn, pasted_back(request_, redrawn), Rejected("too_long")]
    monkeypatch.setattr(
        stage, "editor", type("Fake", (), {"edit": lambda _s, _b: answers, "model": None})()
    )
    folder = run.recipe.class_list[0].folder
    work = Work(f"{folder}/p/05", "05", {}, request_.image, request_.mask, 1)
    first, second, third = stage.make([work] * 3)
    assert isinstance(first, Rejected)
    assert first.reason == "object_changed"
    assert isinstance(second, Made)
    assert second.columns["known_pixel_max_diff"] == 0
    assert not set(NUMBERS) & set(second.columns)
    assert third == Rejected("too_long")


def test_names_that_are_none_are_refused_where_the_segmenter_reads_them(
    painter: Path, recipe: Path, tmp_path: Path, module_of: Callable[..., ModuleType]
) -> None:
    tiny = module_of(ROOT / "tests" / "segmenters" / "tiny.py")
    options = {
        "detector": str(tiny.save_detector(tmp_path / "detector")),
        "sam": str(tiny.save_sam(tmp_path / "sam")),
    }
    (recipe.parent / "photographs" / "disc").rename(recipe.parent / "photographs" / "17")
    section = {"network": "none", "segmenter": "grounded_sam", "options": {"grounded_sam": options}}
    with pytest.raises(RecipeError, match="grounded_sam looks for a class's name, and '17' is"):
        init(recipe, tmp_path / "run", changes(painter, **section))


@pytest.mark.launch
def test_two_processes_measure_what_one_measures_and_a_killed_run_too(
    painter: Path, network: Path, steps: Steps, tmp_path: Path,
    module_of: Callable[..., ModuleType], accelerated: Callable[..., None],
) -> None:  # fmt: skip
    """With GroundedSAM, tiny and random, and the network, each in batches."""
    tiny = module_of(ROOT / "tests" / "segmenters" / "tiny.py")
    options = {
        "detector": str(tiny.save_detector(tmp_path / "detector")),
        "sam": str(tiny.save_sam(tmp_path / "sam")), "batch": 3, "box_threshold": 0.0,
    }  # fmt: skip
    section = {
        "network": str(network), "batch": 3, "segmenter": "grounded_sam", "min_iou": 0.01,
        "options": {"grounded_sam": options},
    }  # fmt: skip
    given = changes(painter, **section)
    one = steps("one", only=TABLES, **given)
    two = steps("two", only=TABLES[:2], **given)
    accelerated(two, "backgrounds")
    expected = one.table("backgrounds", COLUMNS)
    assert two.table("backgrounds", COLUMNS).equals(expected)
    overlaps = expected["object_iou"].to_pylist()
    assert any(value is not None and 0 < value < 1 for value in overlaps), overlaps
    # Less than a block is there: the rest is made in the same batches.
    part = steps("part", only=TABLES[:2], **given)
    for limit in (1, None):
        staging = Staging(part.root)
        run_stage(stage_of(part, "backgrounds"), staging, Ranks(), threads=1, limit=limit)
        staging.close()
    assert part.table("backgrounds", COLUMNS).equals(expected)

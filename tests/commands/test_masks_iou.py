"""`covar-gen masks-iou`: runs and folders of masks against what people drew, end to end."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from covar_gen.commands.mask_comparison import Compared, Judged, Predicted
from covar_gen.commands.mask_notes import lines
from covar_gen.commands.mask_sheet import GROUND, IGNORED, PREDICTED, REFERENCE, outlined, shown
from covar_gen.commands.mask_tables import Agreement
from covar_gen.commands.masks_iou import masks_iou
from covar_gen.core.errors import (
    DamagedRunError,
    IncompleteInputError,
    LabelsError,
    RunFolderError,
)
from covar_gen.core.imaging import decode_mask
from covar_gen.core.store import open_run
from covar_gen.evaluation.metrics.mask_overlap import Overlap, nearest
from covar_gen.toys.world import TYPICAL, render

CLASSES = ("cross", "heart")
IDS = {"cross": 3, "heart": 300}


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def annotation(path: Path, ids: np.ndarray) -> Path:
    return save(path, np.stack([ids % 256, ids // 256, 0 * ids], axis=-1).astype(np.uint8))


def _run(folder: Path, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "covar_gen.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done.stderr + done.stdout
    return done


def _truth(name: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    image, drawn = render(name, TYPICAL[name], 100 * CLASSES.index(name) + number, 64)
    return image, drawn.mask


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of the toy world, outlined by `covar-gen masks`, and what is known of them.

    In each of the two classes: two photographs with an object, one without; and one photograph
    twice, which is refused. References: plain masks; annotations with a second class and ignored
    pixels.
    """
    folder = tmp_path_factory.mktemp("toys")
    for name in CLASSES:
        for number in range(2):
            image, mask = _truth(name, number)
            save(folder / "photos" / name / f"{number}.png", image)
            save(folder / "plain" / name / f"{number}.png", mask * np.uint8(255))
            ids = np.where(mask, IDS[name], 0)
            ids[:4] = 1000
            ids[-6:] = 40
            annotation(folder / "annotated" / name / f"{number}.png", ids)
        grey = np.full((64, 64, 3), 90 + CLASSES.index(name), np.uint8)
        save(folder / "photos" / name / "empty.png", grey)
        save(folder / "plain" / name / "empty.png", np.eye(64, dtype=np.uint8))
        annotation(folder / "annotated" / name / "empty.png", np.eye(64, dtype=int) * IDS[name])
    for kind in ("photos", "plain", "annotated"):
        shutil.copy(folder / kind / "heart" / "0.png", folder / kind / "heart" / "twin.png")
    with (folder / "ids.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["class", "id"], ["other toy", 40], *IDS.items()])
    _run(folder, "masks", "photos", "--out", "run")
    return folder


def _expected(toys: Path, ignored: bool) -> dict[str, float]:
    """IoU by definition, from the run's own files; ignored: the annotations' rows 0 to 3."""
    run = open_run(toys / "run")
    rows = run.table("masks_sources", ["key", "mask"]).to_pylist()
    masks = {r["key"]: decode_mask(run.read(r["mask"])) for r in rows if r["mask"]}
    assert len(masks) == 4
    found = {}
    for key, mask in masks.items():
        name, number = key.split("/")[:2]
        truth = _truth(name, int(number))[1].copy()
        if ignored:
            # The second class's rows lie over the object there.
            truth[-6:] = False
            mask, truth = mask[4:], truth[4:]  # noqa: PLW2901
        found[f"{name}/{number}"] = float((mask & truth).sum() / (mask | truth).sum())
    return found


def _by_name(found: Agreement) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in found.images.to_pylist()}


def _means(found: Agreement) -> dict[tuple[str, str], float]:
    return {(r["statistic"], r["no_mask"]): r["iou"] for r in found.summary.to_pylist()}


def test_a_run_is_compared_with_plain_masks_by_the_command(toys: Path, tmp_path: Path) -> None:
    out = tmp_path / "iou"
    done = _run(toys, "masks-iou", "--predicted", "run", "--reference", "plain", "--out", out)
    expected = _expected(toys, ignored=False)
    rows = {row["name"]: row for row in pq.read_table(out / "iou.parquet").to_pylist()}
    assert {name: row["iou"] for name, row in rows.items() if row["iou"] is not None} == expected
    for name in CLASSES:
        row = rows[f"{name}/empty"]
        assert (row["missed"], row["predicted"], row["reference_pixels"]) == (True, None, 64)
        assert row["reason"]
    mean = np.mean(list(expected.values()))
    assert f"{mean:.4f}" in done.stdout
    assert f"{mean * 4 / 6:.4f}" in done.stdout
    assert "2 no_object: cross/empty, heart/empty" in done.stdout
    assert "published" not in done.stdout
    with (out / "iou.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    assert [row["name"] for row in lines] == list(rows)
    assert float(lines[0]["iou"]) == expected[lines[0]["name"]]
    for row in pq.read_table(out / "iou_classes.parquet").to_pylist():
        own = [rows[f"{row['label']}/{number}"] for number in (0, 1)]
        mean = np.mean([r["iou"] for r in own])
        common, union = (sum(r[f"{n}_pixels"] for r in own) for n in ("common", "union"))
        assert (row["images"], row["missed"]) == (3, 1)
        assert (row["mean_iou"], row["mean_iou_zero"]) == pytest.approx((mean, mean * 2 / 3))
        assert row["pooled_iou"] == pytest.approx(common / union)
        # The reference of the image without a mask has 64 pixels.
        assert row["pooled_iou_zero"] == pytest.approx(common / (union + 64))
    assert (out / "iou_summary.csv").is_file()


def test_annotations_with_several_classes_and_ignored_pixels(toys: Path) -> None:
    found = masks_iou(toys / "run", toys / "annotated", classes=str(toys / "ids.csv"))
    expected = _expected(toys, ignored=True)
    rows = _by_name(found)
    assert {n: row["iou"] for n, row in rows.items() if row["iou"] is not None} == expected
    row = rows["heart/0"]
    assert (row["label"], row["object"], row["ids"]) == ("heart", "class", [0, 40, 300, 1000])
    assert sum(row["pixels"]) == 64 * 64
    assert row["ignored_pixels"] == 4 * 64
    means = _means(found)
    assert means["images", "left_out"] == pytest.approx(np.mean(list(expected.values())))
    assert means["images", "zero"] == pytest.approx(np.sum(list(expected.values())) / 6)
    assert 0 < means["label_maps", "zero"] < means["label_maps", "left_out"] < 1
    said = lines(found.notes, found.summary.to_pylist(), found.kind)
    assert any("published" in line and "0.93" in line for line in said)


def test_the_object_may_be_every_annotated_class(toys: Path) -> None:
    found = masks_iou(toys / "run", toys / "annotated", classes=str(toys / "ids.csv"), of="any")
    row = _by_name(found)["heart/0"]
    counts = dict(zip(row["ids"], row["pixels"], strict=True))
    assert row["object"] == "any"
    assert row["reference_pixels"] == counts[40] + counts[300]
    assert ("label_maps", "zero") not in _means(found)


def test_the_number_of_threads_changes_nothing(toys: Path) -> None:
    one, many = (masks_iou(toys / "run", toys / "plain", threads=n) for n in (1, 5))
    assert one.images.equals(many.images)
    assert one.summary.equals(many.summary)


def test_the_picture_shows_both_outlines_on_the_photograph(toys: Path, tmp_path: Path) -> None:
    found = masks_iou(toys / "run", toys / "annotated", tmp_path, classes=str(toys / "ids.csv"))
    drawn = np.asarray(Image.open(tmp_path / "iou.png").convert("RGB"))
    assert drawn.shape[1] == 3 * 420 + 4 * 12
    rows = [row for row in found.images.to_pylist() if row["iou"] is not None]
    rows.sort(key=lambda row: (-row["iou"], row["name"]))
    for place, row in enumerate([rows[0], rows[1], rows[3]]):
        image, truth = _truth(row["label"], int(row["name"][-1]))
        mask = decode_mask((toys / "run" / row["predicted"]).read_bytes())
        truth[:4] = truth[-6:] = False
        ignored = np.arange(64)[:, None].repeat(64, axis=1) < 4
        layers = [nearest(layer, (420, 420)) for layer in (mask, truth, ignored)]
        large = Image.fromarray(image).resize((420, 420), Image.Resampling.LANCZOS)
        left = 12 + place * (420 + 12)
        panel = drawn[12 + 40 : 12 + 40 + 420, left : left + 420]
        assert np.array_equal(panel, outlined(np.asarray(large), *layers))


def _judged(name: str, common: int | None, missed: bool = False) -> Judged:
    found = None
    if common is not None:
        found = Compared(Overlap(10, 10, common), "x", (1,), "mask", {}, {}, (4, 5), resized=False)
    return Judged(name, Predicted(name, name, missed=missed), name, found, None)


def test_the_best_the_median_and_the_worst_are_chosen_by_iou_then_by_name() -> None:
    # A missed mask and a pair that was not compared have no IoU to show.
    items = [_judged("a", 3), _judged("b", 9), _judged("c", 5), _judged("d", 7), _judged("e", None)]
    items.append(_judged("f", 0, missed=True))
    assert {word: item.name for word, item in shown(items).items()} == {
        "best": "b",
        "median": "d",
        "worst": "a",
    }
    alike = [_judged(name, 4) for name in "cab"]
    assert [item.name for item in shown(alike).values()] == ["a", "b", "c"]
    assert shown([_judged("e", None)]) == {}


def test_an_outline_is_the_rim_of_its_mask_and_ignored_pixels_are_dimmed() -> None:
    image = np.full((20, 20, 3), 10, np.uint8)
    square, none = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    square[4:16, 4:16] = True
    ignored = np.zeros((20, 20), bool)
    ignored[19] = True
    drawn = outlined(image, square, none, ignored)
    rim = (drawn == PREDICTED).all(axis=2)
    assert rim.sum() == 12 * 12 - 6 * 6
    assert not (rim & ~square).any()
    assert (drawn[19] == int(0.4 * 10 + 0.6 * IGNORED[0])).all()
    assert (drawn[9:11, 9:11] == 10).all()
    both = outlined(image, square, square, none)
    shares = [(both == colour).all(axis=2).sum() for colour in (PREDICTED, REFERENCE)]
    assert sum(shares) == rim.sum()
    assert min(shares) > 0.3 * rim.sum()


SQUARE = np.zeros((8, 8), np.uint8)
SQUARE[2:6, 2:6] = 255


def test_a_folder_is_compared_with_a_folder(tmp_path: Path) -> None:
    save(tmp_path / "mine" / "a" / "1.png", SQUARE)
    save(tmp_path / "mine" / "a" / "2.png", SQUARE * 0)
    save(tmp_path / "mine" / "b" / "3.png", np.roll(SQUARE, 2, axis=1))
    save(tmp_path / "mine" / "b" / "only.png", SQUARE)
    for name in ("a/1", "a/2", "b/3", "b/other"):
        save(tmp_path / "theirs" / f"{name}.png", SQUARE)
    found = masks_iou(tmp_path / "mine", tmp_path / "theirs", tmp_path / "iou")
    rows = _by_name(found)
    assert {name: row["iou"] for name, row in rows.items()} == {
        "a/1": 1.0,
        "a/2": 0.0,
        "b/3": 8 / 24,
        "b/only": None,
        "b/other": None,
    }
    assert (rows["b/only"]["reason"], rows["b/other"]["reason"]) == (
        "no_reference",
        "no_prediction",
    )
    assert [r["mean_iou"] for r in found.classes.to_pylist()] == [0.5, 8 / 24]
    means = _means(found)
    assert means["images", "zero"] == pytest.approx(4 / 9)
    assert means["classes", "left_out"] == pytest.approx(5 / 12)
    assert means["pooled", "zero"] == pytest.approx((16 / 32 + 8 / 24) / 2)
    assert any(line == "1 no_reference: b/only" for line in found.notes)
    assert any(line == "1 no_prediction: b/other" for line in found.notes)
    drawn = np.asarray(Image.open(tmp_path / "iou" / "iou.png").convert("RGB"))
    ground = np.full((420, 420, 3), GROUND, np.uint8)
    none = np.zeros((420, 420), np.bool_)
    pairs = [(SQUARE, SQUARE), (np.roll(SQUARE, 2, axis=1), SQUARE), (SQUARE * 0, SQUARE)]
    for place, pair in enumerate(pairs):
        left = 12 + place * (420 + 12)
        panel = drawn[12 + 40 : 12 + 40 + 420, left : left + 420]
        mine, theirs = (nearest(mask > 0, (420, 420)) for mask in pair)
        assert np.array_equal(panel, outlined(ground, mine, theirs, none)), place


def test_without_any_iou_there_is_no_picture(tmp_path: Path) -> None:
    save(tmp_path / "mine" / "a.png", SQUARE[:, :4])
    save(tmp_path / "theirs" / "a.png", SQUARE)
    masks_iou(tmp_path / "mine", tmp_path / "theirs", tmp_path / "iou")
    assert (tmp_path / "iou" / "iou.csv").is_file()
    assert not (tmp_path / "iou" / "iou.png").exists()


def test_the_picture_never_becomes_a_predicted_mask(toys: Path) -> None:
    with pytest.raises(RunFolderError, match="would lie among the predicted masks"):
        masks_iou(toys / "plain", toys / "annotated", toys / "plain" / "cross" / "iou")
    assert not (toys / "plain" / "cross" / "iou").exists()


def test_sizes_are_brought_together_where_the_picture_is_the_same(tmp_path: Path) -> None:
    save(tmp_path / "mine" / "half.png", SQUARE[::2, ::2])
    save(tmp_path / "mine" / "turned.png", SQUARE[:, :4])
    for name in ("half", "turned"):
        save(tmp_path / "theirs" / f"{name}.png", SQUARE)
    found = masks_iou(tmp_path / "mine", tmp_path / "theirs")
    rows = _by_name(found)
    assert (rows["half"]["iou"], rows["half"]["resized"]) == (1.0, True)
    assert (rows["turned"]["iou"], rows["turned"]["reason"]) == (None, "another_shape")
    assert "predicted masks brought to their references' sizes: 1" in found.notes
    assert found.summary["images"].to_pylist() == [1] * 6


def test_two_empty_masks_are_left_out_of_every_mean(tmp_path: Path) -> None:
    save(tmp_path / "mine" / "full.png", SQUARE)
    save(tmp_path / "mine" / "none.png", SQUARE * 0)
    save(tmp_path / "theirs" / "full.png", SQUARE)
    save(tmp_path / "theirs" / "none.png", SQUARE * 0)
    found = masks_iou(tmp_path / "mine", tmp_path / "theirs", kind="binary")
    assert _by_name(found)["none"]["reason"] == "both_empty"
    assert set(_means(found).values()) == {1.0}
    assert found.summary["images"].to_pylist() == [1] * 6


def test_imagenet_s_is_recognised_with_its_list_and_merged_classes(tmp_path: Path) -> None:
    # Goldfish is 2 among 919 and 1 among 50; sunglasses (n04356056) are annotated as sunglass.
    from covar_gen.commands.mask_classes import class_lists

    ids = class_lists("919")["919"]
    cases = {"n01443537": ids["n01443537"], "n04356056": ids["n04355933"]}
    for wnid, number in cases.items():
        name = f"{wnid}/ILSVRC2012_val_0000{number}.png"
        save(tmp_path / "mine" / name, SQUARE)
        annotation(tmp_path / "theirs" / name, np.where(SQUARE > 0, number, 0))
    found = masks_iou(tmp_path / "mine", tmp_path / "theirs")
    assert [r["iou"] for r in found.images.to_pylist()] == [1.0, 1.0]
    assert found.images["label"].to_pylist() == ["n01443537", "n04355933"]
    assert found.images["object"].to_pylist() == ["class", "class"]
    assert found.images["class_name"].to_pylist()[0] == "goldfish"
    assert _means(found)["label_maps", "zero"] == 1.0


def test_an_annotation_without_the_images_class_gives_its_largest(tmp_path: Path) -> None:
    ids = np.where(SQUARE > 0, 7, 0)
    annotation(tmp_path / "theirs" / "n01443537" / "a.png", np.where(SQUARE > 0, 2, 0))
    ids[0, 0] = 9
    annotation(tmp_path / "theirs" / "n01443537" / "b.png", ids)
    for name in "ab":
        save(tmp_path / "mine" / "n01443537" / f"{name}.png", SQUARE)
    found = masks_iou(tmp_path / "mine", tmp_path / "theirs", classes="919")
    rows = _by_name(found)
    assert [rows[f"n01443537/{n}"]["object"] for n in "ab"] == ["class", "largest"]
    assert rows["n01443537/b"]["iou"] == 1.0
    assert rows["n01443537/b"]["label"] == "n01443537"
    assert any("own not annotated or not known: 1" in line for line in found.notes)


def test_the_images_own_class_counts_however_small_it_is(tmp_path: Path) -> None:
    ids = np.full((8, 8), 7)
    ids[SQUARE > 0] = 2
    annotation(tmp_path / "theirs" / "n01443537" / "a.png", ids)
    save(tmp_path / "mine" / "n01443537" / "a.png", SQUARE)
    found = masks_iou(tmp_path / "mine", tmp_path / "theirs")
    row = _by_name(found)["n01443537/a"]
    assert (row["iou"], row["object"], row["reference_pixels"]) == (1.0, "class", 16)
    # As label maps: goldfish 16 of 16, other 0 of 48 and class 7 0 of 48.
    assert _means(found)["label_maps", "zero"] == pytest.approx(1 / 3)


BAD: dict[str, tuple[list[str], str]] = {
    "no predictions": (["--predicted", "gone", "--reference", "plain"], "RunFolderError: gone"),
    "no references": (["--predicted", "run", "--reference", "gone"], "LabelsError: gone"),
    "no PNG": (["--predicted", "run", "--reference", "."], "no predicted mask has a reference"),
    "no annotation": (
        ["--predicted", "run", "--reference", "plain", "--kind", "imagenet-s"],
        "a PNG of grey values",
    ),
    "no list": (
        ["--predicted", "run", "--reference", "annotated", "--classes", "gone.csv"],
        "no such list of classes",
    ),
    "an id of another list": (
        ["--predicted", "run", "--reference", "annotated", "--classes", "50"],
        "which is not in the list of classes",
    ),
    "classes of plain masks": (
        ["--predicted", "run", "--reference", "plain", "--classes", "919"],
        "plain masks have no ids of classes",
    ),
    "among the references": (
        ["--predicted", "run", "--reference", "plain", "--out", "plain/iou"],
        "the picture would lie among the references",
    ),
    "a file to write to": (
        ["--predicted", "run", "--reference", "plain", "--out", "ids.csv"],
        "RunFolderError: ids.csv: a file, not a folder",
    ),
    "a folder that cannot be made": (
        ["--predicted", "run", "--reference", "plain", "--out", "/proc/x"],
        "RunFolderError: /proc/x: the folder cannot be made",
    ),
}


@pytest.mark.parametrize("case", ["no references", "an id of another list"])
def test_what_cannot_be_compared_ends_the_command_with_one_line(case: str, toys: Path) -> None:
    arguments, said = BAD[case]
    done = _run(toys, "masks-iou", *arguments, code=2)
    assert said in done.stderr
    assert len([line for line in done.stderr.splitlines() if "Error" in line]) == 1


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_compared_is_said(
    case: str, toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, said = BAD[case]
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    monkeypatch.chdir(toys)
    if case == "no PNG":
        save(tmp_path / "x.png", SQUARE)
        given["--reference"] = str(tmp_path)
    with pytest.raises((LabelsError, RunFolderError)) as caught:
        masks_iou(
            Path(given["--predicted"]),
            Path(given["--reference"]),
            Path(given["--out"]) if "--out" in given else None,
            classes=given.get("--classes"),
            kind=given.get("--kind"),
        )
    assert said in caught.value.line()
    if case == "no PNG":
        assert "'cross/0' and 'cross/1', and 'x'" in caught.value.line()


def test_a_damaged_mask_of_a_run_is_named(toys: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(toys / "run", run)
    path = run / "masks" / "sources" / "heart" / "0" / "original.png"
    data = io.BytesIO()
    Image.fromarray(SQUARE).save(data, "PNG")
    path.write_bytes(data.getvalue())
    with pytest.raises(DamagedRunError, match="not the one that its row names"):
        masks_iou(run, toys / "plain")
    path.unlink()
    with pytest.raises(DamagedRunError, match="the file is gone"):
        masks_iou(run, toys / "plain")


def test_a_run_that_is_not_finished_is_refused(toys: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(toys / "run", run)
    shutil.rmtree(run / "tables" / "masks_sources")
    with pytest.raises(IncompleteInputError, match="has not been outlined yet"):
        masks_iou(run, toys / "plain")
    shutil.rmtree(run / "tables" / "sources")
    with pytest.raises(IncompleteInputError, match="no photographs yet"):
        masks_iou(run, toys / "plain")


def test_a_refused_photograph_counts_in_no_figure(toys: Path) -> None:
    found = masks_iou(toys / "run", toys / "plain")
    row = _by_name(found)["heart/twin"]
    assert (row["reason"], row["missed"], row["iou"]) == ("duplicate", False, None)
    assert row["reference"] == "heart/twin.png"
    assert found.summary["images"].to_pylist() == [4] * 3 + [6] * 3
    assert any(line == "1 duplicate: heart/twin" for line in found.notes)

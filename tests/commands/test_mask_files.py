"""Masks and annotations as files: what each form means, and which are refused."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covar_gen.commands.mask_classes import MERGED, SIZES, class_lists, fitting_list
from covar_gen.commands.mask_files import (
    Kind,
    found_kind,
    listed,
    name_of,
    read_annotation,
    read_mask,
)
from covar_gen.core.errors import LabelsError
from covar_gen.core.imagenet import by_wnid
from covar_gen.core.imaging import encode_mask

OBJECT = np.array([[True, False, True], [False, True, True]])


def save(path: Path, pixels: np.ndarray, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    (picture if mode is None else picture.convert(mode)).save(path)
    return path


def annotation(path: Path, ids: np.ndarray) -> Path:
    """As ImageNet-S writes one: red is the id's low byte, green its high byte, blue 0."""
    return save(path, np.stack([ids % 256, ids // 256, 0 * ids], axis=-1).astype(np.uint8))


def with_alpha(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.concatenate([colours, alpha[..., None].astype(np.uint8)], axis=-1)


WHITE = np.full((2, 3, 3), 255, np.uint8)
LEVELS = OBJECT * np.uint8(255)


@pytest.mark.parametrize(
    ("pixels", "mode"),
    [
        (LEVELS, None),
        (OBJECT * np.uint8(1), None),
        (LEVELS, "1"),
        (LEVELS, "RGB"),
        (LEVELS, "LA"),
        (LEVELS, "RGBA"),
        (with_alpha(WHITE, LEVELS), None),
        (with_alpha(WHITE * 0, LEVELS), None),
        (with_alpha(WHITE, OBJECT * 40), None),
        (np.stack([LEVELS, LEVELS * 0, LEVELS * 0], axis=-1), None),
    ],
    ids=["255", "1", "1 bit", "RGB", "LA", "RGBA", "cut out", "hidden", "faint", "red"],
)
def test_any_pixel_that_is_not_zero_is_object(
    pixels: np.ndarray, mode: str | None, tmp_path: Path
) -> None:
    found = read_mask(save(tmp_path / "mask.png", pixels, mode))
    assert found.dtype == np.bool_
    assert found.tolist() == OBJECT.tolist()


def test_grey_with_alpha_is_judged_by_its_alpha_where_it_has_any(tmp_path: Path) -> None:
    grey = Image.merge("LA", [Image.new("L", (3, 2), 255), Image.fromarray(LEVELS)])
    grey.save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").tolist() == OBJECT.tolist()


def test_a_mask_of_a_run_is_a_plain_mask(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(encode_mask(OBJECT))
    assert read_mask(tmp_path / "mask.png").tolist() == OBJECT.tolist()


def test_an_orientation_does_not_turn_a_mask(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(LEVELS).save(tmp_path / "mask.png", exif=exif)
    Image.fromarray(np.stack([LEVELS // 255, 0 * LEVELS, 0 * LEVELS], -1)).save(
        tmp_path / "annotation.png", exif=exif
    )
    assert read_mask(tmp_path / "mask.png").tolist() == OBJECT.tolist()
    assert read_annotation(tmp_path / "annotation.png").tolist() == OBJECT.tolist()


def test_an_annotation_is_read_as_ids(tmp_path: Path) -> None:
    ids = np.array([[0, 7, 256], [919, 300, 1000]])
    found = read_annotation(annotation(tmp_path / "a.png", ids))
    assert found.tolist() == ids.tolist()
    assert read_annotation(tmp_path / "a.png", frozenset({7, 256, 300, 919})).shape == (2, 3)


def _broken(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        stream = io.BytesIO()
        Image.fromarray(LEVELS).save(stream, "PNG")
        path.write_bytes(change(stream.getvalue()))
        return path

    return make


NO_ANNOTATIONS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a plain mask": (lambda p: save(p, LEVELS), "a PNG of grey values"),
    "with alpha": (lambda p: save(p, LEVELS, "RGBA"), "a PNG of RGBA values"),
    "a photograph": (lambda p: save(p, WHITE), "its blue values are not all 0"),
    "too high an id": (lambda p: annotation(p, np.array([[1001]])), "and 1000 is the last"),
    "an unknown id": (lambda p: annotation(p, np.array([[0, 7, 52]])), "the id 52"),
    "a palette": (lambda p: save(p, LEVELS, "P"), "a PNG with a palette"),
    "16 bits": (lambda p: save(p, LEVELS.astype(np.uint16)), "16 bits"),
    "empty": (_broken(lambda _: b""), "not a whole PNG"),
    "cut off": (_broken(lambda data: data[:-20]), "not a whole PNG"),
    "a flipped bit": (
        _broken(lambda data: data[:45] + bytes([data[45] ^ 1]) + data[46:]),
        "not a whole PNG",
    ),
    "text": (_broken(lambda _: b"a PNG, honestly"), "not a whole PNG"),
}


@pytest.mark.parametrize("case", NO_ANNOTATIONS)
def test_what_is_no_annotation_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    make, said = NO_ANNOTATIONS[case]
    path = make(tmp_path / "file.png")
    with pytest.raises(LabelsError, match=said) as caught:
        read_annotation(path, frozenset({7}))
    assert str(path) in caught.value.line()
    assert "\n" not in caught.value.line()


@pytest.mark.parametrize("case", ["a palette", "16 bits", "empty", "cut off", "text"])
def test_what_need_not_be_a_mask_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    make, said = NO_ANNOTATIONS[case]
    with pytest.raises(LabelsError, match=said):
        read_mask(make(tmp_path / "file.png"))


def test_a_whole_png_that_no_decoder_takes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.png"
    stream = io.BytesIO()
    Image.fromarray(LEVELS).save(stream, "PNG")
    data = bytearray(stream.getvalue())
    import zlib

    data[24] = 3  # no such depth for grey
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    path.write_bytes(bytes(data))
    with pytest.raises(LabelsError, match="not a PNG that can be decoded"):
        read_mask(path)


def test_a_link_to_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(LabelsError, match="a link to nothing"):
        read_mask(tmp_path / "gone.png")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("cat/tom.JPEG", "cat/tom"),
        ("cat/tom.v2.png", "cat/tom.v2"),
        ("cat/tom.v2", "cat/tom.v2"),
        ("cat/tom/original.png", "cat/tom"),
        ("cat/tom/original", "cat/tom"),
        ("original.png", "original"),
        ("tom.png", "tom"),
    ],
)
def test_a_name_is_a_path_without_its_ending(path: str, name: str) -> None:
    assert name_of(path) == name


def test_masks_are_listed_at_any_depth_in_order(tmp_path: Path) -> None:
    for name in ("b/x.png", "a.PNG", "b/c/y.png", "notes.txt", ".hidden.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    assert listed(tmp_path, "--reference") == ["a.PNG", "b/c/y.png", "b/x.png"]


def test_a_folder_without_masks_is_refused(tmp_path: Path) -> None:
    for place, said in [(tmp_path / "gone", "no such folder"), (tmp_path, "no PNG file below it")]:
        with pytest.raises(LabelsError, match=said) as caught:
            listed(place, "--reference")
        assert "--reference" in caught.value.line()
    (tmp_path / "file").touch()
    with pytest.raises(LabelsError, match="a file, not a folder"):
        listed(tmp_path / "file", "--reference")


def test_a_folder_that_holds_itself_is_entered_once(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.png").touch()
    (tmp_path / "b" / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "link").symlink_to(tmp_path / "b", target_is_directory=True)
    assert listed(tmp_path, "--reference") == ["b/a.png", "link/a.png"]


def test_a_folder_that_cannot_be_opened_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shut").mkdir()
    (tmp_path / "a.png").touch()
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(LabelsError, match=r"shut: the folder cannot be opened: Permission denied"):
        listed(tmp_path, "--reference")


def test_kinds_are_told_from_pixels(tmp_path: Path) -> None:
    plain = save(tmp_path / "plain.png", LEVELS)
    grey = save(tmp_path / "grey.png", LEVELS, "RGB")
    drawn = annotation(tmp_path / "drawn.png", np.array([[0, 7], [1000, 7]]))
    empty = annotation(tmp_path / "empty.png", np.zeros((2, 2), int))
    assert found_kind([plain, empty, grey]) is Kind.BINARY
    assert found_kind([empty, drawn]) is Kind.IMAGENET_S
    with pytest.raises(LabelsError, match=r"plain.png looks like a plain mask and drawn.png"):
        found_kind([drawn, plain])
    with pytest.raises(LabelsError, match="cannot be told"):
        found_kind([empty])
    colours = save(tmp_path / "colours.png", WHITE - np.array([0, 9, 30], np.uint8))
    with pytest.raises(LabelsError, match="neither a plain mask"):
        found_kind([colours])


def test_the_class_lists_of_imagenet_s_number_their_own_wnids() -> None:
    lists = class_lists(None)
    assert list(lists) == list(SIZES)
    for size, ids in lists.items():
        plain = [wnid for wnid in ids if wnid not in MERGED]
        assert plain == sorted(plain)
        assert [ids[wnid] for wnid in plain] == list(range(1, int(size) + 1))
        assert set(ids) <= set(by_wnid())
    assert set(lists["50"]) < set(lists["300"]) < set(lists["919"])
    # Known from ImageNet-S's names: tench, goldfish, great white shark begin the largest list and
    # goldfish, tiger shark, goldfinch the smallest; bolete, ear, toilet tissue end the largest.
    assert [lists["919"][w] for w in ("n01440764", "n01443537", "n01484850")] == [1, 2, 3]
    assert [lists["50"][w] for w in ("n01443537", "n01491361", "n01531178")] == [1, 2, 3]
    assert [lists["919"][w] for w in ("n13054560", "n13133613", "n15075141")] == [917, 918, 919]
    assert lists["300"]["n13054560"] == 300


def test_a_merged_class_has_the_id_of_the_class_that_it_became() -> None:
    ids = class_lists("919")["919"]
    assert all(ids[old] == ids[new] for old, new in MERGED.items())
    assert "n04356056" not in class_lists("50")["50"]


def _csv(path: Path, rows: list[list[object]]) -> str:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return str(path)


def test_a_list_of_ones_own_is_a_csv(tmp_path: Path) -> None:
    path = _csv(tmp_path / "ids.csv", [["id", "class"], [4, "cat"], [9, " dog"], [4, "kitten"]])
    assert class_lists(path) == {path: {"cat": 4, "dog": 9, "kitten": 4}}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([["name", "id"], ["cat", 1]], "no columns class and id"),
        ([["class", "id"], ["cat", 0]], "class 'cat' has the id '0'"),
        ([["class", "id"], ["cat", 1000]], "class 'cat' has the id '1000'"),
        ([["class", "id"], ["cat", "one"]], "class 'cat' has the id 'one'"),
        ([["class", "id"], ["cat", 1], ["cat", 2]], "class 'cat' has two ids"),
        ([["class", "id"]], "the list of classes is empty"),
    ],
)
def test_a_list_that_is_none_is_refused(
    rows: list[list[object]], said: str, tmp_path: Path
) -> None:
    with pytest.raises(LabelsError, match=said):
        class_lists(_csv(tmp_path / "ids.csv", rows))


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for name in ("gone.csv", "920", str(tmp_path)):
        with pytest.raises(LabelsError, match="no such list of classes"):
            class_lists(name)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LabelsError, match="not a CSV in UTF-8"):
        class_lists(str(tmp_path / "binary.csv"))


def test_the_list_is_taken_under_which_annotations_hold_their_class(tmp_path: Path) -> None:
    lists = class_lists(None)
    wnids = ["n01443537", "n01491361", "n04612504"]
    for size in SIZES:
        files = [
            (annotation(tmp_path / size / f"{w}.png", np.array([[0, lists[size][w]]])), w)
            for w in wnids
        ]
        assert fitting_list(lists, [*files, (tmp_path / "unknown.png", None)]) == size
    strange = annotation(tmp_path / "strange.png", np.array([[0, 444]]))
    with pytest.raises(LabelsError, match="none of 1 annotations holds its image's class"):
        fitting_list(lists, [(strange, wnids[0])])
    assert fitting_list(lists, [(strange, None)]) == "919"

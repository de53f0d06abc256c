"""`covar-gen masks` takes whatever `covar-gen evaluate` takes, and errors find its masks again."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from covar_gen.cli import app
from covar_gen.commands import masks as command
from covar_gen.commands.masks import segment
from covar_gen.core.errors import CovarError, LabelsError, PhotographsError, RecipeError
from covar_gen.core.store import Run, open_run
from covar_gen.evaluation.data import open_data
from covar_gen.evaluation.masks import masks_of
from covar_gen.segmenters.grabcut import Grabcut

SMALL = {"working_edge": 32, "iterations": 1}


@pytest.fixture(autouse=True)
def _quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    if "covar" not in request.fixturenames:
        run_steps = request.getfixturevalue("run_steps")
        # What `run_all` does, without processes of its own.
        monkeypatch.setattr(command, "run_all", lambda run, processes: run_steps(run))  # noqa: ARG005


def picture(number: int) -> bytes:
    """A PNG of a bright disc on a dark ground, 40 x 32 pixels, another one for each number."""
    y, x = np.mgrid[:32, :40]
    disc = (x - 18 - number % 5) ** 2 + (y - 16) ** 2 < 60
    image = np.where(disc[..., None], [230, 60 + number, 40], [20, 50, 70])
    stream = io.BytesIO()
    Image.fromarray((image + (x + 3 * y)[..., None] % 9).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def files(root: Path, **numbers: int) -> str:
    """Pictures below a folder; `__` in a name separates folders."""
    for name, number in numbers.items():
        path = root / f"{name.replace('__', '/')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    return str(root)


def masks_again(place: str, run: Run, **given: str) -> int:
    """How many images of the data have a mask, found as `covar-gen errors --masks` finds them."""
    data = open_data(place, **given)
    keys = data.rows["key"]
    sums = [hashlib.sha256(data.read(row)).hexdigest() for row in range(len(keys))]
    content = np.array([int(text[:16], 16) >> 1 for text in sums], np.int64)
    found = masks_of(str(run.root), keys, content)
    for row in range(len(keys)):
        mask = found.of(row)
        if mask is not None:
            assert mask.shape == (32, 40)
            assert mask[16, 20]
    return found.count


def names(run: Run) -> dict[str, str]:
    return {str(c.label): c.class_name for c in run.recipe.class_list}


def test_folders_of_imagenet_are_called_by_the_names_of_their_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = files(tmp_path / "i", train__n02123045__a=1, val__n02123045__a=2, val__n02391049__b=3)
    asked: list[str] = []
    real = Grabcut.segment

    def segmenting(self: Grabcut, batch: Any) -> Any:
        asked.extend(request.class_name for request in batch)
        return real(self, batch)

    monkeypatch.setattr(Grabcut, "segment", segmenting)
    run = segment(place, tmp_path / "out", options=SMALL)
    assert names(run) == {"n02123045": "tabby", "n02391049": "zebra"}
    assert sorted(asked) == ["tabby", "zebra"]
    keys = run.table("sources", ["key"])["key"].to_pylist()
    assert keys == ["n02123045/val-a/original", "n02391049/val-b/original"]
    assert masks_again(place, run) == 2
    other = segment(place, tmp_path / "out2", options=SMALL, columns={"split": "train"})
    assert masks_again(place, other, split="train") == 1


def test_backgrounds_below_class_folders_are_no_classes(tmp_path: Path) -> None:
    """CounterAnimal: a class, then common and counter backgrounds, whose file names repeat."""
    place = files(
        tmp_path / "animals",
        ostrich__grass__1=1, ostrich__water__1=2, black_swan__grass__1=3, black_swan__water__2=4,
    )  # fmt: skip
    run = segment(place, tmp_path / "out", options=SMALL, columns={"label_column": "folder_1"})
    assert names(run) == {"black_swan": "black swan", "ostrich": "ostrich"}
    rows = run.table("sources", ["origin", "key"]).to_pylist()
    # Both classes are ImageNet's.
    assert {row["origin"]: row["key"] for row in rows} == {
        "ostrich/grass/1.png": "n01518878/grass-1/original",
        "ostrich/water/1.png": "n01518878/water-1/original",
        "black_swan/grass/1.png": "n01860187/grass-1/original",
        "black_swan/water/2.png": "n01860187/water-2/original",
    }
    assert masks_again(place, run, label_column="folder_1") == 4


def test_classes_below_contexts_are_the_inner_folders(tmp_path: Path) -> None:
    """NICO: a context, then its classes."""
    place = files(
        tmp_path / "nico", autumn__dog__1=1, autumn__cat__1=2, rock__dog__1=3, rock__cat__7=4
    )
    with pytest.raises(PhotographsError, match="several levels could be the classes"):
        segment(place, tmp_path / "out", options=SMALL)
    run = segment(place, tmp_path / "out", options=SMALL, columns={"label_column": "folder_2"})
    assert run.table("sources", ["key"])["key"].to_pylist() == [
        "cat/autumn-1/original", "cat/rock-7/original",
        "dog/autumn-1/original", "dog/rock-1/original",
    ]  # fmt: skip
    assert masks_again(place, run, label_column="folder_2") == 4


def waterbirds(root: Path) -> str:
    place = files(root, **{"001.Auk__a": 1, "001.Auk__b": 2, "002.Wren__c": 3})
    lines = ["img_id,img_filename,y,split,place,place_filename"]
    lines += ["1,001.Auk/a.png,1,0,0,/s/1.jpg", "2,001.Auk/b.png,1,2,1,/s/2.jpg"]
    lines += ["3,002.Wren/c.png,0,2,1,/s/3.jpg"]
    (root / "metadata.csv").write_text("\n".join(lines), encoding="utf-8")
    return place


def test_a_table_beside_the_images_names_labels_and_a_file_their_words(tmp_path: Path) -> None:
    """Waterbirds: labels are numbers, so a file says what they are called."""
    place = waterbirds(tmp_path / "birds")
    words = tmp_path / "names.csv"
    words.write_text("class_name,label\nland bird,0\nwater bird,1\nfish,2\n", encoding="utf-8")
    columns = {"label_column": "y"}
    run = segment(place, tmp_path / "out", options=SMALL, columns=columns, classes=str(words))
    assert names(run) == {"0": "land bird", "1": "water bird"}
    assert masks_again(place, run, label_column="y") == 3
    words.write_text("class_name,label\nland bird,0\n", encoding="utf-8")
    with pytest.raises(LabelsError, match="label '1' is not among the 1 classes"):
        segment(place, tmp_path / "out2", options=SMALL, columns=columns, classes=str(words))


def test_a_data_set_s_own_names_are_the_classes_and_one_without_images_is_none(
    tmp_path: Path,
) -> None:
    import datasets

    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["owl", "auk", "black_swan"]),
        }
    )
    rows = [{"image": {"bytes": picture(n), "path": None}, "label": n % 3} for n in (1, 2, 4, 5)]
    (tmp_path / "set").mkdir()
    made = datasets.Dataset.from_list(rows, features=features)
    made.to_parquet(tmp_path / "set" / "test.parquet")
    place = str(tmp_path / "set")
    run = segment(place, tmp_path / "out", options=SMALL)
    assert names(run) == {"auk": "auk", "black_swan": "black swan"}
    assert run.table("sources", ["origin"])["origin"].to_pylist() == [
        "test[0]", "test[2]", "test[1]", "test[3]"
    ]  # fmt: skip
    assert masks_again(place, run) == 4


def test_a_run_is_data_too(tmp_path: Path) -> None:
    place = files(tmp_path / "photos", cat__a=1, dog__b=2)
    first = segment(place, tmp_path / "first", options=SMALL)
    again = segment(str(first.root), tmp_path / "again", options=SMALL)
    assert names(again) == {"cat": "cat", "dog": "dog"}
    assert masks_again(str(first.root), again) == 2


def test_two_classes_of_one_name_stay_two(tmp_path: Path) -> None:
    place = files(tmp_path / "photos", bird__a=1, machine__b=2)
    words = tmp_path / "names.csv"
    words.write_text("class_name,label\ncrane,bird\ncrane,machine\n", encoding="utf-8")
    first = segment(place, tmp_path / "first", options=SMALL, classes=str(words))
    again = segment(str(first.root), tmp_path / "again", options=SMALL)
    assert names(again) == {"crane 0": "crane 0", "crane 1": "crane 1"}
    assert masks_again(str(first.root), again) == 2


def test_images_that_repeat_one_of_their_class_share_its_mask(tmp_path: Path) -> None:
    place = files(tmp_path / "p", cat__a=1, cat__b=1, dog__c=2)
    with Image.open(tmp_path / "p/cat/a.png") as image:
        image.save(tmp_path / "p/cat/z.bmp")
        image.save(tmp_path / "p/dog/d.ppm")
    run = segment(place, tmp_path / "out", options=SMALL)
    reasons = run.table("masks_sources", ["reason"])["reason"].to_pylist()
    assert reasons.count("parent_rejected") == 3
    # Of the same pixels in another class, another object may be meant.
    assert masks_again(place, run) == 4


def test_a_class_that_loses_all_its_images_stops_nothing(tmp_path: Path) -> None:
    place = files(tmp_path / "p", cat__a=1)
    (tmp_path / "p/dog").mkdir()
    (tmp_path / "p/dog/broken.png").write_bytes(b"\x89PNG")
    run = segment(place, tmp_path / "out", options=SMALL)
    assert run.manifest(["status"])["status"].to_pylist() == ["ok", "rejected"]


@pytest.mark.parametrize(
    ("layout", "columns", "said"),
    [
        ({}, {}, "no such file or folder"),
        ({"a": 1}, {}, "an image lies in no class folder"),
        ({"a__b__1": 1, "c__d__2": 2}, {}, "several levels could be the classes"),
        ({"a__1": 1}, {"label_column": "kind"}, "no level 'kind' of folders"),
        ({"val__a__1": 1}, {"split": "trial"}, "no folder of split 'trial'"),
        ({"a__1": 1}, {"revision": "main"}, "a folder of image files has no revision"),
    ],
)
def test_data_that_cannot_be_read_says_why_and_nothing_is_made(
    tmp_path: Path, layout: dict[str, int], columns: dict[str, str], said: str
) -> None:
    place = files(tmp_path / "data", **layout)
    with pytest.raises(CovarError) as error:
        segment(place, tmp_path / "out", columns=columns)
    assert said in error.value.line()
    assert error.value.mend
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "data" / "cat").mkdir(parents=True)
    with pytest.raises(PhotographsError):
        segment(str(tmp_path / "data"), tmp_path / "out")


@pytest.mark.parametrize("label", ["n00021265", "7"])
def test_a_segmenter_that_reads_names_wants_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    place = files(tmp_path / "data", **{f"{label}__a": 1})
    segment(place, tmp_path / "fine", options=SMALL)
    monkeypatch.setattr(Grabcut, "reads_names", True)
    with pytest.raises(RecipeError, match=f"looks for a class's name, and '{label}' is none"):
        segment(place, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    words = tmp_path / "names.csv"
    words.write_text(f"class_name,label\nfood,{label}\n", encoding="utf-8")
    run = segment(place, tmp_path / "out", options=SMALL, classes=str(words))
    assert names(run) == {label: "food"}


def typed(*arguments: object) -> str:
    """What `covar-gen masks` prints, or the one line of its error."""
    done = CliRunner().invoke(app, ["masks", *map(str, arguments)])
    if done.exception is not None:
        assert isinstance(done.exception, CovarError), done.output
        return done.exception.line()
    return done.output


def test_bounds_options_and_columns_come_from_the_command_line(tmp_path: Path) -> None:
    place = files(tmp_path / "photos", cat__here__a=1, dog__here__b=2)
    said = typed(place, "--out", tmp_path / "one", "--accept", "max_area=0.05")
    assert "rejected: 2 object_covers_image" in said
    line = typed(place, "--out", tmp_path / "two", "--accept", "max_are=1")
    assert "unknown key 'max_are'" in line
    line = typed(place, "--out", tmp_path / "two", "--option", "holes=1")
    assert "unknown key 'holes'" in line
    assert not (tmp_path / "two").exists()
    said = typed(
        place, "--out", tmp_path / "two", "--segmenter", "known", "--label-column", "folder_2"
    )
    assert "rejected: 2 no_known_mask" in said
    words = tmp_path / "names.csv"
    words.write_text("class_name,label\nfeline,cat\ncanine,dog\n", encoding="utf-8")
    said = typed(place, "--out", tmp_path / "three", "--classes", words, "--option", "smooth=0")
    assert f"masks: {tmp_path / 'three' / 'masks' / 'sources'}" in said
    run = open_run(tmp_path / "three")
    assert names(run) == {"cat": "feline", "dog": "canine"}
    assert run.recipe.masks is not None
    assert run.recipe.masks.options == {"grabcut": {"smooth": 0}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"options": {"working_edge": 0}}, "--option working_edge: input should be greater than"),
        ({"options": {"edge": 9}}, "--option: unknown key 'edge'. "),
        ({"accept": {"min_area": 2}}, "--accept min_area: input should be less than"),
        ({"accept": {"area": 2}}, "--accept: unknown key 'area'. Did you mean"),
    ],
)
def test_what_was_typed_wrongly_is_named_as_it_was_typed(
    tmp_path: Path, given: dict[str, dict[str, Any]], said: str
) -> None:
    place = files(tmp_path / "data", a__1=1)
    with pytest.raises(RecipeError) as refused:
        segment(place, tmp_path / "run", **given)
    assert refused.value.line().startswith(f"RecipeError: {said}")
    assert "in the recipe" not in refused.value.line()
    assert not (tmp_path / "run").exists()

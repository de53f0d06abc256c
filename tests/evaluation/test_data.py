import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets as hf
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from covar_gen.core.errors import CovarError, LabelsError, PhotographsError, RunFolderError
from covar_gen.core.imagenet import by_wnid
from covar_gen.core.store import Run
from covar_gen.evaluation.data import Data, Label, open_data
from covar_gen.sources.datasets import Datasets
from covar_gen.sources.folder import Folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    monkeypatch.setattr(hf.config, "HF_HUB_OFFLINE", True)


def jpeg(level: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((20, 20, 3), level, np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


def files(root: Path, **levels: int) -> Path:
    """Images of one grey level each; `__` in a name stands for `/`, `_` for a blank."""
    for name, level in levels.items():
        path = root / f"{name.replace('__', '/').replace('_', ' ')}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(level))
    return root


def parquet(path: Path, rows: dict[str, Any], **kinds: Any) -> Path:
    """A data set of grey levels 0, 1, 2, ... in column image, unless the rows have one."""
    count = len(next(iter(rows.values())))
    images = [{"bytes": jpeg(i), "path": None} for i in range(count)]
    rows = {"image": images, **rows}
    features = hf.Features({"image": hf.Image(), **kinds})
    path.parent.mkdir(parents=True, exist_ok=True)
    hf.Dataset.from_dict(rows, features=features).to_parquet(path)
    return path


ANIMALS = hf.ClassLabel(names=["zebra", "hen"])
WORDS, WHOLE, REAL, TRUTH = (hf.Value(k) for k in ("string", "int64", "float32", "bool"))


def columns(data: Data, *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(data.rows[name].to_pylist() for name in names), strict=True))


def named(data: Data) -> list[tuple[str, str]]:
    """Key and label of every row."""
    return [(key, data.labels[label].name) for key, label in columns(data, "key", "label")]


def refusal(kind: type[CovarError], place: Path | str, **given: str) -> CovarError:
    with pytest.raises(kind) as caught:
        open_data(str(place), **given)
    assert "\n" not in caught.value.line()
    return caught.value


# Runs and releases


@pytest.fixture
def small(steps: Callable[..., Run]) -> Run:
    tables = ["photographs", "sources", "masks_sources", "backgrounds", "masks_backgrounds"]
    return steps(
        "run", [*tables, "viewpoints", "masks_viewpoints", "scale", "geometry", "manifest"]
    )


def test_a_run_gives_the_rows_of_its_manifest_that_are_no_rejects(small: Run) -> None:
    manifest = pq.read_table(small.root / "manifest.parquet")
    status = ["rejected", *manifest["status"].to_pylist()[1:]]
    at = manifest.schema.get_field_index("status")
    pq.write_table(
        manifest.set_column(at, "status", pa.array(status)), small.root / "manifest.parquet"
    )
    data = open_data(str(small.root))
    kept = manifest.filter(pa.array([s == "ok" for s in status]))
    assert 0 < len(data.rows) == len(kept) < len(manifest)
    for name in ("key", "subset", "source", "background_id", "background", "sha256", "class_name"):
        assert data.rows[name].to_pylist() == kept[name].to_pylist()
    assert data.rows["origin"].to_pylist() == kept["key"].to_pylist()
    assert {"original", "bg_varied", "scale", "hflip"} <= set(data.rows["subset"].to_pylist())
    zebra = by_wnid()["n02391049"]
    classes = {"disc": (None, None), zebra.name: (zebra.wnid, zebra.index)}
    assert {label.name: (label.wnid, label.imagenet_index) for label in data.labels} == classes
    words = [data.labels[label].name for label in data.rows["label"].to_pylist()]
    assert words == kept["class_name"].to_pylist()
    for row, (image, sha256) in enumerate(
        zip(kept["image"].to_pylist(), kept["sha256"].to_pylist(), strict=True)
    ):
        found = data.read(row)
        assert found == (small.root / image).read_bytes()
        assert hashlib.sha256(found).hexdigest() == sha256


def test_a_release_of_a_run_is_the_same_data_wherever_it_lies(small: Run, tmp_path: Path) -> None:
    run = open_data(str(small.root))
    release = tmp_path / "release"
    made = small.dataset(rejected=False)
    made = made.cast_column("subset", hf.ClassLabel(names=sorted(set(made["subset"]))))
    made.shuffle(seed=5).to_parquet(release / "all/test-00000-of-00001.parquet")
    made.select(range(3)).to_parquet(release / "few/test-00000-of-00001.parquet")
    card = "".join(
        f"- config_name: {name}\n  data_files:\n  - {{split: test, path: {name}/test*}}\n"
        for name in ("few", "all")
    )
    (release / "README.md").write_text(f"---\nconfigs:\n{card}---\n", encoding="utf-8")
    data = open_data(str(release))
    assert data.identity == run.identity
    assert data.labels == run.labels
    assert data.rows.schema.names == run.rows.schema.names
    assert data.rows.equals(run.rows)
    assert [data.read(row) for row in range(len(data.rows))] == [
        run.read(row) for row in range(len(run.rows))
    ]
    few = open_data(str(release), name="few")
    assert len(few.rows) == 3
    assert few.identity != run.identity
    moved = shutil.move(small.root, tmp_path / "elsewhere")
    assert open_data(str(moved)).identity == run.identity
    assert str(tmp_path) not in json.dumps([run.identity, few.identity])


def test_the_identity_of_a_run_is_its_images_and_classes(small: Run) -> None:
    before = open_data(str(small.root)).identity
    manifest = pq.read_table(small.root / "manifest.parquet")
    for name in ("key", "sha256", "class_name"):
        values = manifest[name].to_pylist()
        values[0] += "x"
        at = manifest.schema.get_field_index(name)
        changed = manifest.set_column(at, name, pa.array(values))
        pq.write_table(changed, small.root / "manifest.parquet")
        assert open_data(str(small.root)).identity != before
    pq.write_table(manifest, small.root / "manifest.parquet")
    assert open_data(str(small.root)).identity == before


def test_a_damaged_image_of_a_run_is_given_and_a_missing_one_is_an_error(small: Run) -> None:
    data = open_data(str(small.root))
    first, second = small.manifest(["image"])["image"].to_pylist()[:2]
    (small.root / first).write_bytes(b"no image")
    (small.root / second).unlink()
    assert data.read(0) == b"no image"
    with pytest.raises(OSError, match=Path(second).name):
        data.read(1)


def test_options_of_data_sets_are_refused_for_a_run(small: Run) -> None:
    assert refusal(RunFolderError, small.root, label_column="x").mend == "Leave out --label-column"
    (small.root / "manifest.parquet").unlink()
    assert "no manifest yet" in refusal(RunFolderError, small.root).what


# Data sets that the library opens


def test_rows_of_a_data_set_keep_their_order_and_their_factors(tmp_path: Path) -> None:
    rows = {
        "label": [1, 0, 1],
        "place": ["sea", None, "land"],
        "hour": [1, 2, 3],
        "glare": [0.5, 0.25, 0.0],
        "day": [True, False, True],
        "season": [0, -1, 1],
        "source": ["web", "web", "lab"],
        "boxes": [[1], [2], [3]],
    }
    kinds = {
        "label": ANIMALS, "place": WORDS, "hour": WHOLE, "glare": REAL, "day": TRUTH,
        "season": hf.ClassLabel(names=["dry", "wet"]), "source": WORDS, "boxes": hf.List(WHOLE),
    }  # fmt: skip
    data = open_data(str(parquet(tmp_path / "rows.parquet", rows, **kinds)))
    keys = ["row-00000000", "row-00000001", "row-00000002"]
    assert data.rows.to_pydict() == {
        "key": keys,
        "label": [1, 0, 1],
        "subset": ["all"] * 3,
        "source": keys,
        "origin": ["train[0]", "train[1]", "train[2]"],
        "place": ["sea", None, "land"],
        "hour": [1, 2, 3],
        "glare": [0.5, 0.25, 0.0],
        "day": [True, False, True],
        "season": ["dry", None, "wet"],
        "data_source": ["web", "web", "lab"],
    }
    assert data.rows["label"].type == pa.int32()
    assert data.labels == (Label("zebra"), Label("hen"))
    assert [data.read(row) for row in (2, 0, 1)] == [jpeg(2), jpeg(0), jpeg(1)]


def test_a_column_of_subsets_is_one_if_it_holds_words(tmp_path: Path) -> None:
    rows = {"label": [1, 0], "subset": ["common", None]}
    data = open_data(str(parquet(tmp_path / "a.parquet", rows, label=ANIMALS, subset=WORDS)))
    assert data.rows["subset"].to_pylist() == ["common", "none"]
    rows = {"label": [1, 0], "subset": [3, 4]}
    data = open_data(str(parquet(tmp_path / "b.parquet", rows, label=ANIMALS, subset=WHOLE)))
    assert data.rows["subset"].to_pylist() == ["all", "all"]
    assert data.rows["data_subset"].to_pylist() == [3, 4]


def test_paths_in_a_data_set_become_its_keys_if_each_row_has_its_own(tmp_path: Path) -> None:
    def keys(name: str, *paths: str | None) -> list[str]:
        images = [{"bytes": jpeg(0), "path": path} for path in paths]
        rows = {"image": images, "label": [0] * len(paths)}
        data = open_data(str(parquet(tmp_path / f"{name}.parquet", rows, label=ANIMALS)))
        assert data.rows["origin"].to_pylist() == [f"train[{i}]" for i in range(len(paths))]
        return list(data.rows["key"].to_pylist())

    numbers = ["row-00000000", "row-00000001"]
    assert keys("a", "b/é 1.JPEG", "a/.-x.y.png") == ["b/e_1", "a/x.y"]
    assert keys("b", "b/1.jpg", None) == numbers
    assert keys("c", "b/1.jpg", "b/1.jpg") == numbers
    assert keys("d", "/home/me/1.jpg", "/home/me/2.jpg") == numbers
    one, two = (hashlib.sha256(name.encode()).hexdigest()[:8] for name in ("A.jpg", "a.png"))
    assert keys("e", "A.jpg", "a.png", "b.jpg") == [f"A-{one}", f"a-{two}", "b"]


@pytest.mark.parametrize(
    ("values", "kind", "names", "numbers"),
    [
        (["hen", "ice bear", "ape"], WORDS, ["ape", "hen", "ice bear"], [1, 2, 0]),
        ([11, 7, 11], WHOLE, ["7", "11"], [1, 0, 1]),
    ],
)
def test_words_and_numbers_are_labels_too(
    tmp_path: Path, values: list[Any], kind: Any, names: list[str], numbers: list[int]
) -> None:
    data = open_data(str(parquet(tmp_path / "a.parquet", {"label": values}, label=kind)))
    assert [label.name for label in data.labels] == names
    assert data.rows["label"].to_pylist() == numbers


def test_wnids_are_recognised(tmp_path: Path) -> None:
    rows = {"label": ["n01443537", "n00007846", "cat"]}
    data = open_data(str(parquet(tmp_path / "a.parquet", rows, label=WORDS)))
    assert data.labels == (
        Label("cat"),
        Label("n00007846", "n00007846"),
        Label("n01443537", "n01443537", 1),
    )


def test_a_thousand_names_in_the_order_of_imagenet_are_known_by_their_places(
    tmp_path: Path,
) -> None:
    names = [f"{entry.name} ({entry.wnid})" for entry in by_wnid().values()]
    usual = [entry.name for entry in by_wnid().values()]
    twice = sorted({name for name in usual if usual.count(name) > 1})
    assert "crane" in twice
    # Data sets spell the second of two equal names in ways of their own.
    spelt = [
        full if name in usual[:place] else name
        for place, (name, full) in enumerate(zip(usual, names, strict=True))
    ]
    path = tmp_path / "a.parquet"
    data = open_data(str(parquet(path, {"label": [517]}, label=hf.ClassLabel(names=spelt))))
    assert [label.imagenet_index for label in data.labels] == list(range(1000))
    assert data.labels[517].wnid == "n03126707"
    mixed = hf.ClassLabel(names=[spelt[1], spelt[0], *spelt[2:]])
    data = open_data(str(parquet(tmp_path / "b.parquet", {"label": [517]}, label=mixed)))
    assert {label.imagenet_index for label in data.labels} == {None}
    others = hf.ClassLabel(names=["tench", *(f"thing {i}" for i in range(999))])
    data = open_data(str(parquet(tmp_path / "c.parquet", {"label": [517]}, label=others)))
    assert {label.imagenet_index for label in data.labels} == {None}


@pytest.mark.parametrize(
    ("values", "kind", "said"),
    [
        ([0, None, -1, 1], ANIMALS, "2 of 4 rows have no label, row 1 the first"),
        (["a", "b", None], WORDS, "1 of 3 rows have no label, row 2 the first"),
        (["a", "", "b"], WORDS, "1 of 3 rows have no label, row 1 the first"),
    ],
)
def test_rows_without_a_label_are_counted_and_refused(
    tmp_path: Path, values: list[Any], kind: Any, said: str
) -> None:
    path = parquet(tmp_path / "a.parquet", {"label": values}, label=kind)
    error = refusal(LabelsError, path)
    assert error.what == said
    assert "--label-column" in error.mend


def test_images_that_are_none_are_given_as_they_are_or_are_errors(tmp_path: Path) -> None:
    features = hf.Features({"image": hf.Image(), "label": WORDS})
    images = [
        {"bytes": b"no image", "path": None},
        None,
        {"bytes": None, "path": "gone.jpg"},
        {"bytes": None, "path": "there.jpg"},
    ]
    table = pa.table({"image": images, "label": ["hen"] * 4}, schema=features.arrow_schema)
    pq.write_table(table, tmp_path / "train.parquet")
    (tmp_path / "there.jpg").write_bytes(jpeg(3))
    data = open_data(str(tmp_path))
    assert data.read(0) == b"no image"
    with pytest.raises(OSError, match="holds no image"):
        data.read(1)
    with pytest.raises(OSError, match="gone"):
        data.read(2)
    assert data.read(3) == jpeg(3)


def test_rows_are_read_by_several_threads_in_any_order(tmp_path: Path) -> None:
    features = hf.Features({"image": hf.Image(), "label": ANIMALS})
    table = pa.table(
        {"image": [{"bytes": b"%d" % i, "path": None} for i in range(3000)], "label": [0] * 3000},
        schema=features.arrow_schema,
    )
    pq.write_table(table, tmp_path / "train.parquet", row_group_size=170)
    data = open_data(str(tmp_path))
    order = np.random.default_rng(0).permutation(3000).tolist() * 3
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(data.read, order)) == [b"%d" % i for i in order]


def test_the_identity_of_a_data_set_is_its_content_and_not_its_place(tmp_path: Path) -> None:
    def made(name: str, labels: list[int], **given: Any) -> Any:
        kinds = {"label": ANIMALS, **({"image": hf.Image()} if given else {})}
        return open_data(
            str(parquet(tmp_path / name, {"label": labels, **given}, **kinds))
        ).identity

    one = made("a/train.parquet", [0, 1])
    assert one == made("b/c/other.parquet", [0, 1])
    assert one != made("d/train.parquet", [1, 1])
    images = [{"bytes": jpeg(0), "path": None}, {"bytes": jpeg(1) + b"x", "path": None}]
    assert one != made("e/train.parquet", [0, 1], image=images)
    assert str(tmp_path) not in json.dumps(one)


def test_columns_splits_and_configurations_are_chosen_by_options(tmp_path: Path) -> None:
    kinds = {"label": ANIMALS, "who": WORDS, "thumb": hf.Image()}
    thumbs = [{"bytes": jpeg(i + 50), "path": None} for i in range(2)]
    rows = {"label": [0, 1], "who": ["me", "you"], "thumb": thumbs}
    for split in ("train", "test"):
        parquet(tmp_path / f"one/{split}.parquet", rows, **kinds)
    data = open_data(str(tmp_path), split="train", image_column="thumb", label_column="who")
    assert data.rows["origin"].to_pylist() == ["train[0]", "train[1]"]
    assert data.read(1) == jpeg(51)
    assert [label.name for label in data.labels] == ["me", "you"]
    assert data.rows["data_label"].to_pylist() == ["zebra", "hen"]
    assert open_data(str(tmp_path)).rows["origin"].to_pylist() == ["test[0]", "test[1]"]
    assert refusal(PhotographsError, tmp_path, image_column="img").mend.startswith(
        "Give --image-column one of: image, label, who, thumb"
    )
    error = refusal(PhotographsError, tmp_path, label_column="image")
    assert error.mend.startswith("Give --label-column a column of words or whole numbers")
    assert refusal(PhotographsError, tmp_path, split="dev").mend == "Check DATA, --name and --split"
    card = "configs:\n" + "".join(
        f"- config_name: {name}\n  data_files: one/{name}.parquet\n" for name in ("train", "test")
    )
    (tmp_path / "README.md").write_text(f"---\n{card}---\n", encoding="utf-8")
    error = refusal(PhotographsError, tmp_path)
    assert error.what == "there are several configurations, and none is named"
    assert error.mend == "Give --name one of: train, test"
    assert len(open_data(str(tmp_path), name="test").rows) == 2


def test_a_place_that_is_no_data_says_what_to_look_at(tmp_path: Path) -> None:
    assert refusal(PhotographsError, tmp_path / "nope").mend.startswith("Check DATA")
    assert "cannot be opened as a data set" in refusal(PhotographsError, tmp_path).what
    (tmp_path / "a.rar").write_bytes(b"x")
    assert "may end with .parquet" in refusal(PhotographsError, tmp_path / "a.rar").what


# Folders of image files


def test_class_folders_are_labels_and_their_origins_those_of_the_source(tmp_path: Path) -> None:
    files(tmp_path, dog__d2=12, dog__d10=11, a_cat__val_7=7, n02391049__test_1=1)
    (tmp_path / "dog/notes.txt").write_text("no image", encoding="utf-8")
    (tmp_path / ".hidden").mkdir()
    files(tmp_path / ".hidden", x=1)
    data = open_data(str(tmp_path))
    assert named(data) == [
        ("a_cat/val_7", "a cat"),
        ("dog/d10", "dog"),
        ("dog/d2", "dog"),
        ("n02391049/test_1", "n02391049"),
    ]
    assert data.labels[2] == Label("n02391049", "n02391049", 340)
    assert [data.read(row) for row in range(4)] == [jpeg(level) for level in (7, 11, 12, 1)]
    source = Folder(Folder.Options(path=str(tmp_path)))
    listed = [p.origin for p in source.photographs(source.labels(), 0) if "notes" not in p.origin]
    assert data.rows["origin"].to_pylist() == listed


def test_folders_of_splits_give_one_split_with_the_rows_of_the_source(tmp_path: Path) -> None:
    files(tmp_path, train__dog__d1=1, train__cat__c2=2, val__cat__c4=4, val__cat_b__c3=3)
    files(tmp_path, val__cat__c5=5)
    data = open_data(str(tmp_path))
    # In the order of the paths on the disk, where a blank goes before a slash.
    assert named(data) == [("val/cat_b/c3", "cat b"), ("val/cat/c4", "cat"), ("val/cat/c5", "cat")]
    assert data.rows.column_names == ["key", "label", "subset", "source", "origin"]
    source = Datasets(Datasets.Options(path=str(tmp_path)))
    listed = {p.origin: p.read() for p in source.photographs(source.labels(), 0)}
    origins = data.rows["origin"].to_pylist()
    assert {origin: data.read(row) for row, origin in enumerate(origins)} == listed
    for wanted in ("train", "training"):
        assert [key for key, _ in named(open_data(str(tmp_path), split=wanted))] == [
            "train/cat/c2",
            "train/dog/d1",
        ]
    assert (
        refusal(PhotographsError, tmp_path, split="test").mend == "Give --split one of: train, val"
    )


def test_of_nested_folders_the_level_of_the_classes_has_to_be_named(tmp_path: Path) -> None:
    files(tmp_path, magpie__common_grass__a=1, magpie__counter_snow__b=2, hen__common_grass__c=3)
    error = refusal(PhotographsError, tmp_path)
    assert "folder_1 (hen, ...) or folder_2 (common grass, ...)" in error.what
    assert error.mend == "Give --label-column one of: folder_1, folder_2"
    data = open_data(str(tmp_path), label_column="folder_1")
    assert columns(data, "label", "folder_2") == [
        (0, "common grass"), (1, "common grass"), (1, "counter snow"),
    ]  # fmt: skip
    data = open_data(str(tmp_path), label_column="folder_2")
    assert [label.name for label in data.labels] == ["common grass", "counter snow"]
    assert (
        "no level 'folder_3'" in refusal(PhotographsError, tmp_path, label_column="folder_3").what
    )


def test_a_level_that_tells_nothing_apart_or_lacks_images_is_no_class(tmp_path: Path) -> None:
    files(tmp_path, images__dog__d=1, images__cat__c=2, images__cat__more__e=3)
    data = open_data(str(tmp_path))
    assert [label.name for label in data.labels] == ["cat", "dog"]
    assert columns(data, "folder_1", "folder_3") == [
        ("images", None), ("images", "more"), ("images", None),
    ]  # fmt: skip
    files(tmp_path, lone=1)
    assert "lies in no class folder" in refusal(PhotographsError, tmp_path).what


def test_a_table_beside_the_images_describes_them(tmp_path: Path) -> None:
    files(tmp_path, b__1=1, b__2=2, a__3=3)
    lines = ["file_name,label,hour", "b/2.jpg,hen,7", "a/3.jpg,ape,8", "b/gone.jpg,ape,9"]
    (tmp_path / "metadata.csv").write_text("\n".join(lines), encoding="utf-8")
    data = open_data(str(tmp_path))
    assert named(data) == [("a/3", "ape"), ("b/2", "hen"), ("b/gone", "ape")]
    assert columns(data, "origin", "hour", "folder_1") == [
        ("a/3.jpg", 8, "a"), ("b/2.jpg", 7, "b"), ("b/gone.jpg", 9, "b"),
    ]  # fmt: skip
    assert data.read(0) == jpeg(3)
    with pytest.raises(OSError, match="gone"):
        data.read(2)
    rows = pa.table({"file_name": ["b/1.jpg"], "kind": ["hen"], "class": ["x"]})
    (tmp_path / "metadata.csv").unlink()
    pq.write_table(rows, tmp_path / "metadata.parquet")
    assert named(open_data(str(tmp_path))) == [("b/1", "x")]
    assert named(open_data(str(tmp_path), label_column="kind")) == [("b/1", "hen")]
    assert named(open_data(str(tmp_path), label_column="folder_1")) == [("b/1", "b")]
    line = json.dumps({"file_name": "b/1.jpg", "label": 4})
    (tmp_path / "metadata.parquet").unlink()
    (tmp_path / "metadata.jsonl").write_text(line, encoding="utf-8")
    assert named(open_data(str(tmp_path))) == [("b/1", "4")]


def test_a_table_of_another_layout_is_read_by_its_columns(tmp_path: Path) -> None:
    """Waterbirds: its column of paths is img_filename, of labels y, and its splits are numbers."""
    files(tmp_path, **{"001.Auk__a": 1, "001.Auk__b": 2, "002.Wren__c": 3})
    lines = ["img_id,img_filename,y,split,place,place_filename"]
    lines += ["1,001.Auk/a.jpg,1,0,0,/s/1.jpg", "2,001.Auk/b.jpg,1,2,1,/s/2.jpg"]
    lines += ["3,002.Wren/c.jpg,0,2,1,/s/3.jpg"]
    (tmp_path / "metadata.csv").write_text("\n".join(lines), encoding="utf-8")
    error = refusal(PhotographsError, tmp_path)
    assert error.what == "no column of labels"
    assert error.mend.startswith("Give --label-column one of: folder_1, img_id, y, split, place")
    data = open_data(str(tmp_path), label_column="y")
    assert named(data) == [("001.Auk/a", "1"), ("001.Auk/b", "1"), ("002.Wren/c", "0")]
    assert data.rows["place"].to_pylist() == [0, 1, 1]
    data = open_data(str(tmp_path), label_column="y", split="2")
    assert [key for key, _ in named(data)] == ["001.Auk/b", "002.Wren/c"]
    error = refusal(PhotographsError, tmp_path, label_column="y", split="test")
    assert error.mend == "Give --split one of: 0, 2"
    error = refusal(PhotographsError, tmp_path, image_column="y")
    assert error.mend == "Give --image-column one of: img_filename, place_filename"


def test_tables_lie_in_folders_of_splits_too_or_name_the_splits(tmp_path: Path) -> None:
    files(tmp_path / "one", test__x=1, train__y=2)
    for split, name in (("test", "x"), ("train", "y")):
        text = f"file_name,label\n{name}.jpg,hen"
        (tmp_path / "one" / split / "metadata.csv").write_text(text, encoding="utf-8")
    data = open_data(str(tmp_path / "one"))
    assert named(data) == [("test/x", "hen")]
    assert data.read(0) == jpeg(1)
    files(tmp_path / "two", x=1, y=2)
    text = "file_name,label,split\nx.jpg,hen,test\ny.jpg,hen,train"
    (tmp_path / "two/metadata.csv").write_text(text, encoding="utf-8")
    assert named(open_data(str(tmp_path / "two"))) == [("x", "hen")]
    assert named(open_data(str(tmp_path / "two"), split="train")) == [("y", "hen")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file_name,label\nx.jpg,a\nx.jpg,a", "an image has several rows"),
        ("file_name,label\n/etc/x.jpg,a", "begins with /"),
        ("file_name,label\nx.jpg", "cannot be read (CSV parse error"),
        ("name,label\ny.jpg,a", "no column `file_name`"),
        ("file_name,label", "cannot be read (CSV parse error"),
        ("file_name,label\nx.jpg,", "1 of 1 rows have no label"),
        ("file_name,label\nx.jpg,\ny.jpg,NA", "1 of 2 rows have no label, row 0 the first"),
    ],
)
def test_tables_with_mistakes_say_which(tmp_path: Path, text: str, said: str) -> None:
    files(tmp_path, x=1)
    (tmp_path / "metadata.csv").write_text(text, encoding="utf-8")
    assert said in refusal(CovarError, tmp_path).what


def test_options_that_a_folder_has_not_are_refused(tmp_path: Path) -> None:
    files(tmp_path, dog__d=1)
    assert refusal(PhotographsError, tmp_path, revision="main").mend == "Leave out --revision"
    assert refusal(PhotographsError, tmp_path, split="test").mend == "Leave out --split"
    assert refusal(PhotographsError, tmp_path, image_column="x").mend == "Leave out --image-column"


def test_the_identity_of_a_folder_is_names_sizes_and_labels(tmp_path: Path) -> None:
    one = open_data(str(files(tmp_path / "one", dog__d=1, cat__c=2))).identity
    two = files(tmp_path / "somewhere/two", dog__d=1, cat__c=2)
    os.utime(two / "dog/d.jpg", (1, 1))
    assert open_data(str(two)).identity == one
    (two / "dog/d.jpg").write_bytes(jpeg(1) + b"x")
    assert open_data(str(two)).identity != one
    (two / "dog/d.jpg").write_bytes(jpeg(1))
    (two / "dog/d.jpg").rename(two / "cat/d.jpg")
    assert open_data(str(two)).identity != one


def test_names_that_are_no_text_and_links_are_read(tmp_path: Path) -> None:
    files(tmp_path, dog__d=1)
    (tmp_path / os.fsdecode(b"dog/\xff.jpg")).write_bytes(jpeg(2))
    (tmp_path / "dog/loop").symlink_to(tmp_path / "dog")
    (tmp_path / "dog/lost.jpg").symlink_to(tmp_path / "nowhere.jpg")
    data = open_data(str(tmp_path))
    assert data.rows["origin"].to_pylist() == ["dog/d.jpg", "dog/lost.jpg", "dog/\\xff.jpg"]
    assert data.rows["key"].to_pylist() == ["dog/d", "dog/lost", "dog/xff"]
    assert data.read(2) == jpeg(2)
    with pytest.raises(OSError, match="lost"):
        data.read(1)


# The Hub

ASK = """
import json, sys
from covar_gen.core.errors import CovarError
from covar_gen.evaluation.data import open_data
for given in json.loads(sys.argv[1]):
    try:
        data = open_data(**given)
        sizes = [len(data.read(row)) for row in range(len(data.rows))]
        print(json.dumps([data.identity, data.rows.to_pydict(), sizes]))
    except CovarError as error:
        print(json.dumps(error.line()))
"""


def test_a_data_set_on_the_hub_is_read_at_a_commit(
    tmp_path: Path, serve_hub: Callable[[dict[str, bytes]], Any]
) -> None:
    made = parquet(tmp_path / "x.parquet", {"label": [0, 1], "n": [5, 6]}, label=ANIMALS, n=WHOLE)
    card = "".join(
        f"- config_name: {name}\n  data_files:\n  - {{split: test, path: {name}-*}}\n"
        for name in ("few", "all")
    )
    hub = serve_hub(
        {
            "README.md": f"---\nconfigs:\n{card}---\n".encode(),
            "all-0.parquet": made.read_bytes(),
            "few-0.parquet": made.read_bytes(),
        }
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "NO_PROXY": "127.0.0.1"}
    environment |= {"HF_HOME": str(tmp_path / "home")}

    def answers(*asked: dict[str, str], **more: str) -> list[Any]:
        done = subprocess.run(
            [sys.executable, "-c", ASK, json.dumps(asked)],
            env={**environment, **more}, capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    online, gone = answers({"place": "me/photos"}, {"place": "me/photos", "revision": "v9"})
    identity, rows, sizes = online
    assert identity == {
        "kind": "hub", "id": "me/photos", "commit": COMMIT, "name": "all", "split": "test",
        "image": "image", "label": "label",
    }  # fmt: skip
    assert rows["key"] == ["row-00000000", "row-00000001"]
    assert rows["n"] == [5, 6]
    assert sizes == [len(jpeg(0)), len(jpeg(1))]
    assert gone == (
        "PhotographsError: me/photos: the data set has no such revision. Check --revision"
    )
    named, unnamed = answers(
        {"place": "me/photos", "name": "all"}, {"place": "me/photos"}, HF_HUB_OFFLINE="1"
    )
    assert named == unnamed == online

import io
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import datasets as hf
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from covar_gen.core.errors import PhotographsError
from covar_gen.sources.datasets import Datasets

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    monkeypatch.setattr(hf.config, "HF_HUB_OFFLINE", True)


def jpeg(level: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((20, 20, 3), level, np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


def image_folder(root: Path) -> Path:
    """train: cat 0 1 2, dog 10 11; validation: cat 5, dog 15 (grey levels)."""
    for name, level in {
        "train/a cat/c0": 0, "train/a cat/c1": 1, "train/a cat/c2": 2,
        "train/dog/d10": 10, "train/dog/d11": 11,
        "validation/a cat/c5": 5, "validation/dog/d15": 15,
    }.items():  # fmt: skip
        path = root / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(level))
    return root


def parquet(path: Path, labels: list[Any], kind: Any = None, levels: range | None = None) -> Path:
    """Rows of grey levels 0, 1, 2, ...; every other one without a path."""
    images = [
        {"bytes": jpeg(i), "path": f"inner/photo {i}.jpg" if i % 2 == 0 else None}
        for i in levels or range(len(labels))
    ]
    names = hf.ClassLabel(names=["zebra", "hen"]) if kind is None else kind
    features = hf.Features({"image": hf.Image(), "label": names})
    path.parent.mkdir(parents=True, exist_ok=True)
    hf.Dataset.from_dict({"image": images, "label": labels}, features=features).to_parquet(path)
    return path


def source(path: Path | str, **options: Any) -> Datasets:
    return Datasets(Datasets.Options(path=str(path), **options))


def listed(source: Datasets, seed: int = 0) -> list[tuple[str, str, str]]:
    return [(p.label, p.name, p.origin) for p in source.photographs(source.labels(), seed)]


def shards(root: Path, count: int = 4, rows: int = 25) -> Path:
    """Parquet in several files; the grey level is 25 per file + the row."""
    for number in range(count):
        name = f"train-{number:05d}-of-{count:05d}.parquet"
        parquet(
            root / name,
            [i % 2 for i in range(rows)],
            levels=range(number * rows, (number + 1) * rows),
        )
    return root


def test_a_folder_of_images_gives_the_validation_split(tmp_path: Path) -> None:
    found = source(image_folder(tmp_path))
    assert not found.streams
    assert found.labels() == ["a cat", "dog"]
    assert listed(found) == [
        ("a cat", "c5", "validation[0]"),
        ("dog", "d15", "validation[1]"),
    ]


@pytest.mark.parametrize("streaming", [False, True])
def test_bytes_are_those_of_the_files(tmp_path: Path, streaming: bool) -> None:
    image_folder(tmp_path)
    found = source(tmp_path, split="train", streaming=streaming)
    assert found.streams is streaming
    read = {p.name: p.read() for p in found.photographs(["a cat", "dog"], seed=1)}
    assert read == {path.stem: path.read_bytes() for path in tmp_path.glob("train/*/*")}
    assert {p.name for p in found.photographs(["dog"], seed=1)} == {"d10", "d11"}


def test_rows_of_parquet_are_named_by_their_paths_or_numbers(tmp_path: Path) -> None:
    parquet(tmp_path / "train-0.parquet", [0, 1, 1])
    found = source(tmp_path)
    assert found.labels() == ["hen", "zebra"]
    assert listed(found) == [
        ("zebra", "photo 0", "train[0]"),
        ("hen", "00000001", "train[1]"),
        ("hen", "photo 2", "train[2]"),
    ]
    assert [p.read() for p in found.photographs(["hen"], 0)] == [jpeg(1), jpeg(2)]


def test_streamed_rows_of_parquet_are_named_by_file_and_row(tmp_path: Path) -> None:
    found = source(shards(tmp_path, 2, 3), streaming=True)
    assert sorted(listed(found)) == [
        ("hen", "00000-00000001", "train/shard 0[1]"),
        ("hen", "photo 4", "train/shard 1[1]"),
        ("zebra", "00001-00000000", "train/shard 1[0]"),
        ("zebra", "00001-00000002", "train/shard 1[2]"),
        ("zebra", "photo 0", "train/shard 0[0]"),
        ("zebra", "photo 2", "train/shard 0[2]"),
    ]


def test_a_single_file_is_a_data_set(tmp_path: Path) -> None:
    path = parquet(tmp_path / "some rows.parquet", [0, 1])
    assert len(listed(source(path))) == 2
    assert len(listed(source(path, streaming=True))) == 2


def test_rows_can_be_read_by_several_threads(tmp_path: Path) -> None:
    found = source(shards(tmp_path), split="train")
    photographs = list(found.photographs(["hen", "zebra"], 0))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda p: p.read(), photographs)) == [jpeg(i) for i in range(100)]


def test_a_stream_is_drawn_from_the_seed(tmp_path: Path) -> None:
    shards(tmp_path)

    def order(seed: int, buffer: int = 10) -> list[str]:
        found = source(tmp_path, streaming=True, shuffle_buffer=buffer)
        return [p.origin for p in found.photographs(["hen", "zebra"], seed)]

    first = order(1)
    assert first == order(1)
    assert first != order(2)
    assert sorted(first) == sorted(order(2)) == sorted(order(2, buffer=1000))
    assert len(set(first)) == 100
    in_file_order = [f"train/shard {s}[{r}]" for s in range(4) for r in range(25)]
    assert sorted(first) == sorted(in_file_order)
    assert first != in_file_order
    rows = [int(o.split("[")[1][:-1]) for o in first]
    assert any(later < earlier for earlier, later in pairwise(rows[:10]))
    files = {tuple(dict.fromkeys(o.split("[")[0] for o in order(s, buffer=1))) for s in range(12)}
    assert len(files) > 3


def test_a_stream_can_be_left_early(tmp_path: Path) -> None:
    photographs = source(shards(tmp_path), streaming=True).photographs(["hen"], 3)
    assert next(photographs).label == "hen"
    photographs.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("streaming", [False, True])
def test_words_and_numbers_are_labels_too(tmp_path: Path, streaming: bool) -> None:
    parquet(tmp_path / "a/train.parquet", ["hen", "ice bear", None, "hen"], hf.Value("string"))
    found = source(tmp_path / "a", streaming=streaming)
    assert found.labels() == ["hen", "ice bear"]
    assert Counter(p.label for p in found.photographs(["hen", "ice bear"], 0)) == {
        "hen": 2,
        "ice bear": 1,
    }
    parquet(tmp_path / "b/train.parquet", [7, 11, 7], hf.Value("int64"))
    assert source(tmp_path / "b", streaming=streaming).labels() == ["11", "7"]


def test_a_column_of_classes_goes_before_one_that_is_called_label(tmp_path: Path) -> None:
    kinds = {
        "label": hf.Value("string"),
        "image": hf.Image(),
        "species": hf.ClassLabel(names=["zebra", "hen"]),
    }
    rows = {"label": ["a"], "image": [{"bytes": jpeg(0), "path": None}], "species": [1]}
    made = hf.Dataset.from_dict(rows, features=hf.Features(kinds))
    made.to_parquet(tmp_path / "train.parquet")
    assert source(tmp_path).labels() == ["hen", "zebra"]
    assert source(tmp_path, label_column="label").labels() == ["a"]


@pytest.mark.parametrize("streaming", [False, True])
def test_rows_without_a_label_belong_to_no_class(tmp_path: Path, streaming: bool) -> None:
    parquet(tmp_path / "train.parquet", [0, -1, None, 1])
    found = source(tmp_path, streaming=streaming)
    assert sorted(p.label for p in found.photographs(found.labels(), 0)) == ["hen", "zebra"]


def test_columns_can_be_named_whatever_they_hold_their_bytes_in(tmp_path: Path) -> None:
    table = pa.table(
        {"n": [1, 2], "picture": [jpeg(0), jpeg(1)], "kind": ["hen", "zebra"], "label": ["x", "y"]}
    )
    pq.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(PhotographsError, match=r"no column of images.*n, picture, kind, label"):
        source(tmp_path).labels()
    for streaming in (False, True):
        found = source(tmp_path, image_column="picture", label_column="kind", streaming=streaming)
        assert found.labels() == ["hen", "zebra"]
        assert [p.read() for p in found.photographs(["zebra"], 0)] == [jpeg(1)]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_row_without_an_image_cannot_be_read(tmp_path: Path, streaming: bool) -> None:
    features = hf.Features({"image": hf.Image(), "label": hf.Value("string")})
    rows = {
        "image": [None, {"bytes": None, "path": "gone.jpg"}, {"bytes": b"", "path": None}],
        "label": ["hen"] * 3,
    }
    table = pa.table(rows, schema=features.arrow_schema)
    pq.write_table(table, tmp_path / "train.parquet")
    found = {p.name: p for p in source(tmp_path, streaming=streaming).photographs(["hen"], 0)}
    first, last = ("00000-00000000", "00000-00000002") if streaming else ("00000000", "00000002")
    with pytest.raises(OSError, match="holds no image"):
        found[first].read()
    with pytest.raises(OSError, match="gone"):
        found["gone"].read()
    assert found[last].read() == b""
    assert len(source(tmp_path, streaming=streaming).digest(["hen"])) == 64


@pytest.mark.parametrize("streaming", [False, True])
def test_the_digest_names_content_and_not_the_place(tmp_path: Path, streaming: bool) -> None:
    one, two = image_folder(tmp_path / "one"), image_folder(tmp_path / "else/two")
    before = source(one, streaming=streaming).digest(["a cat", "dog"])
    assert len(before) == 64
    assert before == source(two, streaming=streaming).digest(["dog", "a cat"])
    assert before != source(one, streaming=streaming).digest(["dog"])
    assert before != source(one, split="train", streaming=streaming).digest(["a cat", "dog"])
    (two / "validation/dog/d15.jpg").write_bytes(jpeg(99))
    assert before != source(two, streaming=streaming).digest(["a cat", "dog"])


def test_the_place_of_local_data_is_no_part_of_its_identity(tmp_path: Path) -> None:
    assert str(tmp_path) not in str(source(tmp_path).identity())
    assert source("user/name", split="train").identity()["options"] == {
        "path": "user/name", "name": None, "split": "train", "revision": None,
        "image_column": None, "label_column": None, "streaming": None, "shuffle_buffer": 1000,
    }  # fmt: skip


def test_the_hub_is_streamed_and_local_data_are_not_unless_told(tmp_path: Path) -> None:
    assert source("user/name").streams
    assert not source("user/name", streaming=False).streams
    assert not source(tmp_path).streams
    assert source(tmp_path, streaming=True).streams


def test_nothing_is_printed_and_nothing_written_beside_the_data(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shards(tmp_path / "data")
    before = sorted(tmp_path.rglob("*"))
    capfd.readouterr()
    for streaming in (False, True):
        found = source(tmp_path / "data", streaming=streaming)
        found.digest(found.labels())
    assert capfd.readouterr() == ("", "")
    assert sorted(tmp_path.rglob("*")) == before
    assert not hf.are_progress_bars_disabled()


def failure(source: Datasets) -> PhotographsError:
    with pytest.raises(PhotographsError) as caught:
        source.labels()
    assert "\n" not in caught.value.line()
    assert caught.value.mend
    return caught.value


def test_a_path_that_is_not_there_says_so(tmp_path: Path) -> None:
    error = failure(source(tmp_path / "nope"))
    assert error.what == "no such file or folder"
    assert error.where == str(tmp_path / "nope")


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    assert "cannot be opened as a data set" in failure(source(tmp_path)).what


def test_a_file_of_another_kind_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(b"x")
    assert "may end with .parquet or .arrow" in failure(source(tmp_path / "a.rar")).what


def test_damaged_parquet_says_so(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"PAR1 and then nothing")
    assert "cannot be opened as a data set" in failure(source(tmp_path)).what


@pytest.mark.parametrize("streaming", [False, True])
def test_a_missing_split_names_those_there_are(tmp_path: Path, streaming: bool) -> None:
    image_folder(tmp_path)
    error = failure(source(tmp_path, split="dev", streaming=streaming))
    assert "'train', 'validation'" in error.what
    parquet(tmp_path / "other/data/dev-0.parquet", [0])
    (tmp_path / "other/README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n"
        "  - {split: dev, path: data/dev*}\n  - {split: more, path: data/dev*}\n---\n",
        encoding="utf-8",
    )
    error = failure(source(tmp_path / "other", streaming=streaming))
    assert error.what == "no split validation, test or train"
    assert error.mend == "Set split to one of: dev, more"


def test_missing_columns_name_those_there_are(tmp_path: Path) -> None:
    parquet(tmp_path / "train.parquet", [0, 1])
    error = failure(source(tmp_path, image_column="img"))
    assert "no column 'img'" in error.what
    assert "image, label" in error.mend
    assert "no column 'image' of labels" in failure(source(tmp_path, label_column="image")).what
    features = hf.Features(
        {"image": hf.Image(), "x": hf.Value("float32"), "who": hf.Value("string")}
    )
    rows = {"image": [{"bytes": jpeg(0), "path": None}], "x": [1.0], "who": ["me"]}
    (tmp_path / "b").mkdir()
    hf.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "b/train.parquet")
    error = failure(source(tmp_path / "b"))
    assert error.what == "no column of labels"
    assert error.mend.endswith("there are: who")


def test_a_stream_that_breaks_off_says_so(tmp_path: Path) -> None:
    shards(tmp_path, 2, 3)
    found = source(tmp_path, streaming=True)
    assert found.labels() == ["hen", "zebra"]
    (tmp_path / "train-00001-of-00002.parquet").write_bytes(b"PAR1 damaged")
    with pytest.raises(PhotographsError, match="the stream broke off"):
        list(found.photographs(["hen"], 0))


@pytest.fixture
def hub(tmp_path: Path, serve_hub: Callable[[dict[str, bytes]], Any]) -> Any:
    path = parquet(tmp_path / "made/train.parquet", [0, 1, 1])
    return serve_hub({"train-00000-of-00001.parquet": path.read_bytes()})


ASK = """
import json, sys
from covar_gen.core.errors import PhotographsError
from covar_gen.sources.datasets import Datasets
for given in json.loads(sys.argv[1]):
    source = Datasets(Datasets.Options(**given))
    try:
        labels = source.labels()
        names = sorted((p.label, p.name, len(p.read())) for p in source.photographs(labels, 1))
        print(json.dumps([labels, names, source.digest(labels)]))
    except PhotographsError as error:
        print(json.dumps(error.line()))
"""


def asked(hub_at: str, home: Path, *given: dict[str, Any], **variables: str) -> list[Any]:
    """What sources answer in a process of their own that knows that Hub."""
    away = {
        name for name in os.environ if name.startswith("HF_") or name.lower().endswith("_proxy")
    }
    environment = {name: value for name, value in os.environ.items() if name not in away}
    environment |= {"HF_ENDPOINT": hub_at, "HF_HOME": str(home), **variables}
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(given)],
        env=environment, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_hub_is_read_at_the_commit_that_is_the_digest(hub: Any, tmp_path: Path) -> None:
    at, home = f"http://127.0.0.1:{hub.server_port}", tmp_path / "home"
    sizes = [len(jpeg(i)) for i in range(3)]
    streamed, copied, gone, secret = asked(
        at,
        home,
        {"path": "me/photos"},
        {"path": "me/photos", "streaming": False},
        {"path": "me/photos", "revision": "v9"},
        {"path": "me/secret"},
    )
    hens = [["hen", "00000-00000001", sizes[1]], ["hen", "photo 2", sizes[2]]]
    assert streamed == [["hen", "zebra"], [*hens, ["zebra", "photo 0", sizes[0]]], COMMIT]
    hens[0][1] = "00000001"
    assert copied == [["hen", "zebra"], [*hens, ["zebra", "photo 0", sizes[0]]], COMMIT]
    assert gone.startswith("PhotographsError: me/photos: the data set has no such revision.")
    assert gone.endswith("Check revision in the recipe")
    assert secret.startswith(
        "PhotographsError: me/secret: no such file or folder here, and the Hub refuses it ("
    )
    assert "hf auth login" in secret
    assert f"/resolve/{COMMIT}/train-00000-of-00001.parquet" in " ".join(hub.asked)
    assert "/main" not in " ".join(hub.asked)
    hub.asked.clear()
    again, stream, other = asked(
        at,
        home,
        {"path": "me/photos", "streaming": False},
        {"path": "me/photos"},
        {"path": "me/photos", "streaming": False, "revision": "f" * 40},
        HF_HUB_OFFLINE="1",
    )
    assert again == copied
    assert "the commit is not known without the Hub. Set streaming = false" in stream
    assert f"the cache holds commit {COMMIT}, not ffff" in other
    assert hub.asked == []


def test_without_a_network_the_answer_comes_at_once_and_says_what_to_do(tmp_path: Path) -> None:
    (said,) = asked("http://127.0.0.1:9", tmp_path, {"path": "me/photos"})
    assert said.startswith(
        "PhotographsError: me/photos: no such file or folder here, and the Hub cannot be reached"
    )
    assert "hf auth login" in said
    assert "local data" in said

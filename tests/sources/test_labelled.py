"""The source of `covar-gen masks`: what `covar-gen evaluate` opens, image by image."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from covar_gen.sources.labelled import Labelled


def written(root: Path, **contents: bytes) -> Path:
    for name, content in contents.items():
        path = root / f"{name.replace('__', '/')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def source(root: Path, **given: str) -> Labelled:
    return Labelled(Labelled.Options(path=str(root), **given))


def test_images_come_with_their_label_a_name_and_their_bytes(tmp_path: Path) -> None:
    root = written(tmp_path / "data", hen__x__1=b"a", hen__y__1=b"b", auk__x__2=b"c")
    found = source(root, label_column="folder_1")
    assert found.labels() == ["auk", "hen"]
    photographs = list(found.photographs(["hen"], 0))
    assert [(p.label, p.name, p.origin, p.read()) for p in photographs] == [
        ("hen", "x-1", "hen/x/1.png", b"a"),
        ("hen", "y-1", "hen/y/1.png", b"b"),
    ]
    assert [p.name for p in found.photographs(["hen", "auk"], 0)] == ["x-2", "x-1", "y-1"]


def test_the_digest_names_contents_and_labels_and_not_the_place(tmp_path: Path) -> None:
    one = source(written(tmp_path / "one", hen__1=b"a", auk__2=b"b"))
    same = source(written(tmp_path / "same", hen__1=b"a", auk__2=b"b"))
    other = source(written(tmp_path / "other", hen__1=b"A", auk__2=b"b"))
    moved = source(written(tmp_path / "moved", hen__1=b"a", hen__2=b"b"))
    digests = [found.digest(found.labels()) for found in (one, same, other, moved)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert one.identity() == same.identity()
    assert str(tmp_path) not in json.dumps(one.identity())
    (tmp_path / "one/hen/1.png").unlink()
    (tmp_path / "one/hen/1.png").symlink_to("nothing")
    broken = source(tmp_path / "one")
    assert broken.digest(broken.labels()) not in digests


ASK = """
import json, sys
from covar_gen.sources.labelled import Labelled
source = Labelled(Labelled.Options(path="me/photos", revision=sys.argv[1]))
labels = source.labels()
digest = source.digest(labels)
names = [(p.label, p.name, len(p.read())) for p in source.photographs(labels, 0)]
print(json.dumps([source.identity()["options"]["path"], labels, names, digest]))
"""


def test_a_data_set_on_the_hub_is_named_by_its_commit(
    tmp_path: Path, serve_hub: Callable[[dict[str, bytes]], Any]
) -> None:
    kinds = '{"image": {"_type": "Image"}, "label": {"_type": "Value", "dtype": "string"}}'
    rows = {"image": [{"bytes": b"one", "path": "1.png"}, {"bytes": b"three", "path": "2.png"}]}
    table = pa.table({**rows, "label": ["owl", "auk"]}).replace_schema_metadata(
        {"huggingface": f'{{"info": {{"features": {kinds}}}}}'}
    )
    stream = io.BytesIO()
    pq.write_table(table, stream)
    hub = serve_hub({"train-00000-of-00001.parquet": stream.getvalue()})
    away = ("HF_", "HTTP_", "HTTPS_", "ALL_")
    environment = {k: v for k, v in os.environ.items() if not k.upper().startswith(away)}
    environment |= {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "NO_PROXY": "127.0.0.1"}
    environment |= {"HF_HOME": str(tmp_path / "home")}
    commit = "0123456789abcdef0123456789abcdef01234567"
    done = subprocess.run(
        [sys.executable, "-c", ASK, commit],
        env=environment, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    path, labels, names, digest = json.loads(done.stdout)
    assert (path, labels) == ("me/photos", ["auk", "owl"])
    assert names == [["owl", "1", 3], ["auk", "2", 5]]
    assert len(digest) == 64

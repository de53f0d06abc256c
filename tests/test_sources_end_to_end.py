"""Where photographs, classes and backgrounds come from, through the command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from covar_gen.core import imaging
from covar_gen.core.store import open_run

Covar = Callable[..., "subprocess.CompletedProcess[str]"]


class Model(ThreadingHTTPServer):
    """A language model on loopback that always answers with its `lists`, one after another."""

    def __init__(self, lists: list[list[str]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lists = lists
        self.asked: list[list[dict[str, str]]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Model

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body["messages"])
        said = {"role": "assistant", "content": json.dumps(self.server.lists.pop(0))}
        choice = {"index": 0, "finish_reason": "stop", "message": said}
        reply = json.dumps(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": "m",
                "choices": [choice],
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def model() -> Iterator[Model]:
    server = Model([["zebra", "tench"], ["a sandy beach", "a snowy landscape"]])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_classes_and_backgrounds_are_proposed_once_and_kept_in_the_run(
    covar: Covar, photographs: Path, tmp_path: Path, model: Model
) -> None:
    (photographs / "disc").rename(photographs / "n01440764")
    propose = f'model = "m"\nbase_url = "http://127.0.0.1:{model.server_port}/v1"\n'
    (tmp_path / "proposed.toml").write_text(
        'name = "proposed"\n[classes]\nsource = "folder"\npath = "photographs"\nsize = 48\n'
        f'[classes.propose]\n{propose}[masks]\nsegmenter = "grabcut"\n'
        f'[backgrounds]\neditor = "collage"\n[backgrounds.propose]\n{propose}'
    )
    for _ in range(2):
        covar("run", "proposed.toml", "--run", "run", OPENAI_API_KEY="none")
    assert len(model.asked) == 2
    classes, backgrounds = model.asked
    assert [m["role"] for m in classes] == ["system", "user", "user"]
    assert "1,000 ImageNet classes" in classes[1]["content"]
    assert "African elephant" in classes[1]["content"]
    assert "20 distinct background types" in backgrounds[1]["content"]
    run = open_run(tmp_path / "run")
    assert [c.class_name for c in run.recipe.class_list] == ["zebra", "tench"]
    assert [b.description for b in run.recipe.background_list] == [
        "a sandy beach", "a snowy landscape"]  # fmt: skip
    stored = json.loads((tmp_path / "run" / "proposals" / "classes.json").read_text())
    assert stored["proposed"] == ["zebra", "tench"]
    assert stored["messages"] == classes
    assert len(run.manifest(["key"])) == 6 + 6 * 2


@pytest.mark.parametrize("form", ["parquet", "imagefolder"])
def test_photographs_come_from_any_data_set(
    covar: Covar, photographs: Path, tmp_path: Path, form: str
) -> None:
    if form == "parquet":
        rows = [
            {"image": {"bytes": p.read_bytes(), "path": p.name}, "label": p.parent.name}
            for p in sorted(photographs.rglob("*.png"))
        ]
        (tmp_path / "data").mkdir()
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / "train.parquet")
        features = '{"image": {"_type": "Image"}, "label": {"_type": "Value", "dtype": "string"}}'
        table = pq.read_table(tmp_path / "data" / "train.parquet")
        info = {b"huggingface": f'{{"info": {{"features": {features}}}}}'.encode()}
        pq.write_table(table.replace_schema_metadata(info), tmp_path / "data" / "train.parquet")
    else:
        shutil.copytree(photographs, tmp_path / "data" / "train")
    (tmp_path / "r.toml").write_text(
        'name = "r"\n[classes]\nsource = "datasets"\npath = "data"\n'
        'per_class = 2\nsize = "original"\n'
    )
    environment = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    covar("run", "r.toml", "--run", "run", **environment)
    rows = open_run(tmp_path / "run").table("sources").to_pylist()
    assert [row["key"].split("/")[0] for row in rows] == ["disc"] * 2 + ["n02391049"] * 2
    for row in rows:
        stored = imaging.decode_png((tmp_path / "run" / row["image"]).read_bytes())
        name = row["key"].split("/")[1]
        given = (photographs / row["label"] / f"{name}.png").read_bytes()
        assert (stored == imaging.decode_png(given)).all()


def test_sampling_is_seeded_and_survives_a_folder_that_grows(
    covar: Covar, photographs: Path, tmp_path: Path
) -> None:
    first = next((photographs / "disc").iterdir()).read_bytes()
    image = imaging.decode_png(first)
    for number in range(20):
        image[0, 0] = number
        (photographs / "disc" / f"more{number}.png").write_bytes(imaging.encode_png(image))

    def sampled(name: str, seed: int) -> list[str]:
        (tmp_path / "s.toml").write_text(
            f'name = "s"\nseed = {seed}\n[classes]\nsource = "folder"\n'
            'path = "photographs"\nper_class = 3\nsize = 48\n'
        )
        covar("run", "s.toml", "--run", name, "--stage", "classes")
        return open_run(tmp_path / name).table("sources", ["key"])["key"].to_pylist()

    a, same, other = sampled("a", 1), sampled("b", 1), sampled("c", 2)
    assert a == same
    assert a != other
    image[0, 0] = 200
    (photographs / "disc" / "late.png").write_bytes(imaging.encode_png(image))
    grown = sampled("d", 1)
    assert len(set(a) & set(grown)) >= len(a) - 1

"""The pass over the images: right, the same however it is cut, and never begun anew."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from covar_gen.core.errors import (
    DeviceMemoryError,
    LabelsError,
    MixtureError,
    ModelError,
    PhotographsError,
)
from covar_gen.core.files import Staging
from covar_gen.core.store import Run
from covar_gen.evaluation import classifiers, passing, reading, zero_shot
from covar_gen.evaluation.models import load_model
from covar_gen.evaluation.preparing import Place
from covar_gen.evaluation.results import Results, open_results
from covar_gen.evaluation.zero_shot import Settings, evaluate

Covar = Callable[..., "subprocess.CompletedProcess[str]"]
NAMES = ("cat", "dog", "horse")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Classifiers are kept in a folder of the test's own."""
    monkeypatch.setenv(classifiers.CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """21 images of 32 x 32 pixels (no resize changes them) in three class folders."""
    rng = np.random.default_rng(5)
    for name in NAMES:
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        for number in range(7):
            pixels = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "images"


@pytest.fixture
def score(images: Path, tiny_clip: Path, tiny_siglip: Path, tmp_path: Path) -> Callable[..., Any]:
    """Evaluates both tiny models into tmp_path/NAME."""

    def run(name: str, *, data: Path = images, settings: Any = None, **changes: Any) -> Results:
        models = changes.pop("models", [f"local:{tiny_clip}", f"local:{tiny_siglip}"])
        changes = {"block": 8, **changes}
        chosen = Settings(**{"batch": 4, **(settings or {})})
        task = evaluate(Place(str(data)), models, tmp_path / name, settings=chosen, **changes)
        return task.results

    return run


def tables(results: Results, columns: list[str] | None = None) -> dict[str, pa.Table]:
    found = {name: results.table(name, columns) for name in results.models()}
    assert len(found) == 2
    return found


def test_logits_are_those_of_open_clips_own_zero_shot_code(
    score: Callable[..., Results], images: Path, tiny_clip: Path
) -> None:
    import open_clip

    found = score("out", templates="simple", settings={"embeddings": True})
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tiny_clip}")
    model.eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tiny_clip}")
    templates = open_clip.SIMPLE_IMAGENET_TEMPLATES
    with torch.no_grad():
        classes = open_clip.build_zero_shot_classifier(model, tokenizer, NAMES, templates)
        files = sorted(images.rglob("*.png"))
        pixels = torch.stack([transform(Image.open(path)) for path in files])
        features = model.encode_image(pixels, normalize=True)
        logits = (model.logit_scale.exp() * features @ classes).numpy()
    labels = np.repeat(np.arange(3), 7)
    rows = found.predictions("local:tiny-clip")
    assert np.allclose(rows.true_logit, logits[np.arange(21), labels], atol=1e-5)
    assert np.allclose(rows.top_logits, -np.sort(-logits, axis=1), atol=1e-5)
    assert (rows.top_ids == np.argsort(-logits, axis=1, kind="stable")).all()
    assert np.allclose(rows.logsumexp, np.log(np.exp(logits).sum(axis=1)), atol=1e-5)
    kept = found.embeddings("local:tiny-clip").astype(np.float32)
    assert np.allclose(kept, features.numpy(), atol=1e-3)


def test_neither_threads_nor_restarts_nor_groups_change_a_byte(
    score: Callable[..., Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tables(score("whole"))
    assert tables(score("threads", settings={"threads": 5})) == whole
    assert tables(score("groups", settings={"memory": 0.0})) == whole
    cut = score("cut")
    gone = [cut.parts(name)[1] for name in cut.models()]
    for path in gone:
        path.unlink()
    made: list[Path] = []
    publish = Staging.publish

    def noting(self: Any, path: Path, *given: Any) -> bytes:
        made.append(path)
        return publish(self, path, *given)

    monkeypatch.setattr(Staging, "publish", noting)
    assert tables(score("cut")) == whole
    assert [path for path in made if path.suffix == ".parquet"] == gone


def test_processes_share_the_blocks_and_change_nothing(
    score: Callable[..., Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tables(score("whole"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    half = score("shared")
    assert half.models() == []
    assert [half.missing(name) for name in half.models(complete=False)] == [13, 13]
    monkeypatch.setenv("RANK", "0")
    assert tables(score("shared")) == whole


def test_another_batch_size_changes_rounding_at_most(score: Callable[..., Results]) -> None:
    columns = ["true_logit", "top_ids", "true_rank", "content"]
    whole, other = (
        tables(score("whole"), columns),
        tables(score("o", settings={"batch": 3}), columns),
    )
    for name, rows in whole.items():
        assert rows.drop(["true_logit"]) == other[name].drop(["true_logit"])
        logits = other[name]["true_logit"].to_numpy()
        assert np.allclose(rows["true_logit"].to_numpy(), logits, atol=1e-5)


def test_every_image_is_read_once_for_all_models(
    score: Callable[..., Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    monkeypatch.setattr(
        reading, "decode", lambda d, real=reading.decode: decoded.append(1) or real(d)
    )
    score("together")
    assert len(decoded) == 21
    score("one by one", settings={"memory": 0.0})
    assert len(decoded) == 3 * 21
    score("together")
    assert len(decoded) == 3 * 21


def test_a_damaged_image_is_a_row_and_its_neighbours_stay_what_they_are(
    score: Callable[..., Results], images: Path
) -> None:
    whole = tables(score("whole"))
    data = (images / "cat" / "3.png").read_bytes()
    (images / "cat" / "3.png").write_bytes(data[: len(data) // 2])
    for name, rows in tables(score("damaged")).items():
        bad = rows["status"].to_numpy() == "rejected"
        assert bad.nonzero()[0].tolist() == [3]
        assert rows["reason"][3].as_py() == "truncated"
        assert rows["top_ids"][3].as_py() is None
        good = pa.array(~bad)
        assert rows.filter(good) == whole[name].filter(good)


def test_a_run_folder_is_evaluated_with_its_subsets_and_its_files_are_checked(
    score: Callable[..., Results], steps: Callable[..., Run]
) -> None:
    run = steps("run")
    rows = run.manifest(["key", "image", "status"]).to_pylist()
    (run.root / rows[3]["image"]).write_bytes((run.root / rows[4]["image"]).read_bytes())
    found = score("out", data=run.root, classes="labels")
    subsets = found.images(["subset"])["subset"].to_pylist()
    assert set(subsets) >= {"original", "bg_varied", "scale", "viewpoint", "rotation"}
    assert found.count == len(rows)
    for table in tables(found).values():
        bad = [r["reason"] for r in table.select(["reason"]).to_pylist() if r["reason"]]
        assert bad == ["not_the_file_of_its_row"]
        assert table["reason"][3].as_py() is not None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classes": "imagenet-r"}, "not among"),
        ({"templates": "simple"}, "Give --templates as before"),
        ({"settings": {"precision": "bf16"}}, "--precision fp32"),
        ({"settings": {"embeddings": True}}, "stored without embeddings"),
        ({"block": 4}, "Leave out --block"),
    ],
)
@pytest.mark.parametrize("complete", [True, False])
def test_predictions_made_otherwise_are_not_mixed_in(
    score: Callable[..., Results], changes: dict[str, Any], said: str, complete: bool
) -> None:
    before = tables(score("out"))
    kind = LabelsError if "classes" in changes else MixtureError
    if not complete:
        score("out").parts("local:tiny-clip")[0].unlink()
    with pytest.raises(kind, match=said):
        score("out", **changes)
    assert tables(score("out")) == before


def test_other_images_and_other_weights_are_not_mixed_in(
    score: Callable[..., Results], images: Path, tiny_clip: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    twin = tmp_path / "elsewhere" / tiny_clip.name
    twin.parent.mkdir()
    twin.mkdir()
    for path in tiny_clip.iterdir():
        (twin / path.name).write_bytes(path.read_bytes())
    weights = load_file(twin / "open_clip_model.safetensors")
    weights["visual.proj"] += 1
    save_file(weights, twin / "open_clip_model.safetensors")
    found = score("out", models=[f"local:{tiny_clip}"])
    for _ in ("complete", "not complete"):
        with pytest.raises(MixtureError, match="weights"):
            score("out", models=[f"local:{twin}"])
        found.parts("local:tiny-clip")[0].unlink(missing_ok=True)
    (images / "cat" / "6.png").unlink()
    with pytest.raises(MixtureError, match="other images"):
        score("out", models=[f"local:{tiny_clip}"])


def test_a_tower_without_memory_takes_its_batch_in_halves(
    score: Callable[..., Results], tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = [2]

    def tight(*given: Any, **named: Any) -> Any:
        model = load_model(*given, **named)
        real = model.encode_image

        def encode(pixels: torch.Tensor) -> torch.Tensor:
            if len(pixels) > most[0]:
                raise torch.OutOfMemoryError
            return real(pixels)

        monkeypatch.setattr(model, "encode_image", encode)
        return model

    models = [f"local:{tiny_clip}"]
    whole = score("whole", models=models).predictions("local:tiny-clip")
    monkeypatch.setattr(passing, "load_model", tight)
    halved = score("halved", models=models)
    assert set(halved.table("local:tiny-clip", ["batch"])["batch"].to_pylist()) == {1, 2}
    assert np.allclose(
        halved.predictions("local:tiny-clip").true_logit, whole.true_logit, atol=1e-5
    )
    most[0] = 0
    with pytest.raises(DeviceMemoryError, match="Lower --memory"):
        score("none", models=models)


def test_a_classifier_is_made_once_for_its_model_names_and_templates(
    score: Callable[..., Results], cache: Path, tiny_clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [f"local:{tiny_clip}"]
    first = score("first", models=models)
    assert "making the text classifier (3 prompts)" in capsys.readouterr().out
    assert len(list(cache.rglob("*.safetensors"))) == 1
    score("second", models=models)
    assert "making" not in capsys.readouterr().out
    score("third", models=models, templates="simple")
    assert "(21 prompts)" in capsys.readouterr().out
    for path in cache.rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-7])
    again = score("again", models=models)
    assert "making" in capsys.readouterr().out
    assert again.table("local:tiny-clip") == first.table("local:tiny-clip")


def test_classes_of_one_name_have_equal_logits_and_the_lower_index_wins(
    score: Callable[..., Results], tmp_path: Path, images: Path
) -> None:
    names = tmp_path / "names.csv"
    names.write_text("class_name,label\ndog,other\ncat,cat\ndog,dog\nhorse,horse\n")
    found = score("out", classes=str(names))
    assert found.classes.groups.tolist() == [0, 1, 0, 3]
    for name in found.models():
        rows = found.predictions(name)
        place = [row.tolist() for row in rows.top_ids]
        assert all(row.index(2) == row.index(0) + 1 for row in place)
        one, two = ([row.index(n) for row in place] for n in (0, 2))
        each = np.arange(len(place))
        assert (rows.top_logits[each, one] == rows.top_logits[each, two]).all()


def test_killed_in_the_middle_the_same_command_goes_on(
    covar: Covar, score: Callable[..., Results], images: Path, tiny_clip: Path, tiny_hf_clip: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    models = f"local:{tiny_clip},local:{tiny_hf_clip}"
    command = ["evaluate", images, "--models", models, "--block", 1, "--batch", 1]
    settings = {"batch": 1}
    whole = score("whole", models=models.split(","), block=1, settings=settings)
    full = [sys.executable, "-m", "covar_gen.cli", *map(str, command), "--out", "killed"]
    started = subprocess.Popen(
        full, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while not list((tmp_path / "killed").glob("*/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    done = len(list((tmp_path / "killed").glob("*/*.parquet")))
    assert 0 < done <= 42
    again = covar(*command, "--out", "killed", "--processes", 2)
    *said, last = again.stdout.splitlines()
    assert [line.partition(": ")[0] for line in said] == ["local:tiny-clip", "local:tiny-hf-clip"]
    assert last == "next: covar-gen report killed"
    assert tables(open_results(tmp_path / "killed")) == tables(whole)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--models", "ViT-B-16-quickgelu/opena"], "ModelError: "),
        (["--models", "ViT-B-16/openai"], "QuickGELU"),
        (["--models", "local:nowhere"], "ModelError: "),
        (["--classes", "imagenet"], "LabelsError: "),
        (["--classes", "nowhere.txt"], "LabelsError: "),
        (["--split", "test"], "Error: "),
        (["--device", "cuda:9"], "ModelError: "),
        (["--device", "meta"], "ModelError: "),
    ],
    ids=" ".join,
)
def test_what_a_user_can_mend_is_one_line(
    images: Path, tiny_clip: Path, changes: list[str], said: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    given = ["--models", f"local:{tiny_clip}"] if "--models" not in changes else []
    monkeypatch.chdir(tmp_path)
    asked = [str(images), *given, *changes, "--out", "out"]
    monkeypatch.setattr(sys, "argv", ["zero_shot.py", *asked])
    assert zero_shot.main() == 2
    line = capsys.readouterr().err
    assert len(line.strip().splitlines()) == 1
    assert said in line


def test_the_command_passes_the_line_of_its_processes_on(covar: Covar, images: Path) -> None:
    done = covar("evaluate", images, "--models", "papr", "--out", "out", code=2)
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Did you mean paper" in done.stderr


def test_a_name_that_cannot_be_loaded_is_refused_before_any_other_model_is(
    score: Callable[..., Results], tiny_clip: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="QuickGELU"):
        score("out", models=[f"local:{tiny_clip}", "ViT-B-16/openai"])
    assert not (tmp_path / "out").exists()


def test_scores_that_are_no_numbers_are_refused(
    score: Callable[..., Results], tiny_clip: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "overflowing"
    folder.mkdir()
    for path in tiny_clip.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = load_file(folder / "open_clip_model.safetensors")
    weights["visual.proj"] *= torch.inf
    save_file(weights, folder / "open_clip_model.safetensors")
    with pytest.raises(ModelError, match="not finite"):
        score("out", models=[f"local:{folder}"])
    assert not list((tmp_path / "out").glob("*/*-*.parquet"))


def test_a_disk_that_fails_in_passing_rejects_no_image(
    score: Callable[..., Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    from covar_gen.evaluation.data.folders import FolderData

    real = FolderData.read
    failing = [errno.EIO]

    def read(self: FolderData, row: int) -> bytes:
        if row == 5 and failing:
            raise OSError(failing[0], "the disk is away")
        return real(self, row)

    monkeypatch.setattr(FolderData, "read", read)
    with pytest.raises(OSError, match="away"):
        score("out")
    failing.clear()
    assert all(set(t["status"].to_pylist()) == {"ok"} for t in tables(score("out")).values())

    def gone(self: FolderData, row: int) -> bytes:
        return Path("/nowhere").read_bytes()

    monkeypatch.setattr(FolderData, "read", gone)
    with pytest.raises(PhotographsError, match="none of 4 images"):
        score("gone")


def test_a_part_that_lost_its_tail_is_made_again(score: Callable[..., Results]) -> None:
    whole = tables(score("whole"))
    cut = score("cut")
    for name in cut.models():
        path = cut.parts(name)[1]
        path.write_bytes(path.read_bytes()[:-20])
    assert [open_results(cut.root).missing(name) for name in whole] == [8, 8]
    assert tables(score("cut")) == whole


def test_notes_that_a_power_cut_emptied_are_written_anew(
    score: Callable[..., Results], tmp_path: Path
) -> None:
    whole = tables(score("whole"))
    found = score("out")
    for name in whole:
        for path in found.parts(name):
            path.unlink()
        (found.folder(name) / "made_with.json").write_bytes(b"")
    assert tables(score("out")) == whole


def test_a_folder_binds_nobody_before_a_model_was_begun(
    score: Callable[..., Results], tiny_clip: Path
) -> None:
    class Away(Exception):  # noqa: N818 - not an error of ours
        pass

    def away(*_given: Any, **_named: Any) -> Any:
        raise Away

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passing, "load_model", away)
        with pytest.raises(Away):
            score("out", templates="simple", block=4)
    assert len(score("out", models=[f"local:{tiny_clip}"]).parts("local:tiny-clip")) == 3


def test_of_two_first_starts_with_other_data_one_is_refused(
    score: Callable[..., Results], tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [f"local:{tiny_clip}"]

    def late(*given: Any, **named: Any) -> Any:
        # While this one loads its model, another start makes the folder its own.
        monkeypatch.setattr(passing, "load_model", load_model)
        score("out", models=models, templates="simple")
        return load_model(*given, **named)

    monkeypatch.setattr(passing, "load_model", late)
    with pytest.raises(MixtureError, match="other templates"):
        score("out", models=models)
    assert open_results(score("out", models=models, templates="simple").root).count == 21


def test_too_little_memory_for_a_model_is_said_and_tried_again_alone(
    score: Callable[..., Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tables(score("whole"))
    full = [True]

    def tight(name: str, **named: Any) -> Any:
        if "siglip" in name and full.pop():
            raise torch.OutOfMemoryError
        return load_model(name, **named)

    monkeypatch.setattr(passing, "load_model", tight)
    full.insert(0, False)
    assert tables(score("out")) == whole
    full[:] = [True, True]
    with pytest.raises(DeviceMemoryError, match="Lower --memory"):
        score("none")

"""Checkpoints by name: folders, the Hub's cache, and one line for whatever cannot be had."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants

from covar_gen.core import digests
from covar_gen.core.checkpoints import check_name, find, model_name
from covar_gen.core.errors import WeightsError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
Make = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Make:
    """Makes a folder that looks like a checkpoint: folder("name", kind="sam", weights=b"...")."""

    def made(name: str = "mine", kind: str = "sam", weights: bytes = b"weights") -> Path:
        place = tmp_path / name
        place.mkdir(parents=True)
        (place / "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
        (place / "preprocessor_config.json").write_text("{}", encoding="utf-8")
        (place / "model.safetensors").write_bytes(weights)
        return place

    return made


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The snapshot of me/sam in a cache as the Hub's client lays it out; nothing can be asked."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repo = tmp_path / "hub" / "models--me--sam"
    snapshot = repo / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repo / "blobs").mkdir()
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    (repo / "refs" / "v1").write_text(COMMIT, encoding="utf-8")
    files = {
        "config.json": b'{"model_type": "sam"}',
        "preprocessor_config.json": b"{}",
        "model.safetensors": b"weights",
    }
    for name, content in files.items():
        blob = repo / "blobs" / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        (snapshot / name).symlink_to(blob)
    return snapshot


def refused(*arguments: object, texts: bool = False) -> str:
    """The line with which both ways of looking refuse a checkpoint."""
    with pytest.raises(WeightsError) as found:
        find(*arguments, "tool.option", texts=texts)  # type: ignore[arg-type]
    with pytest.raises(WeightsError) as checked:
        check_name(*arguments, "tool.option", texts=texts)  # type: ignore[arg-type]
    assert str(checked.value) == str(found.value)
    assert found.value.exit_code == 2
    line = str(found.value)
    assert line.startswith("WeightsError: tool.option: ")
    assert "\n" not in line
    return line


def test_a_folder_is_found_and_hashed_by_content(folder: Make) -> None:
    one = find(str(folder("one")), ("sam",), "tool.option")
    assert one.kind == "sam"
    assert one.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert one.model == f"local:one@{one.sha256[:12]}"
    two = find(str(folder("two")), ("sam",), "tool.option")
    assert two.identity() == one.identity()
    other = find(str(folder("other", weights=b"others")), ("sam",), "tool.option")
    assert other.identity()["sha256"] != one.identity()["sha256"]
    (two.folder / "preprocessor_config.json").write_text('{"size": 1}', encoding="utf-8")
    assert two.identity()["settings"] != one.identity()["settings"]


def test_only_the_hub_s_cache_is_believed_what_its_files_are_called(
    folder: Make, tmp_path: Path
) -> None:
    place = folder() / "model.safetensors"
    place.rename(tmp_path / hashlib.sha256(b"others").hexdigest())
    place.symlink_to(tmp_path / hashlib.sha256(b"others").hexdigest())
    found = find(str(place.parent), ("sam",), "tool.option")
    assert found.sha256 == hashlib.sha256(b"weights").hexdigest()


def test_weights_that_are_overwritten_are_hashed_again(folder: Make) -> None:
    found = find(str(folder()), ("sam",), "tool.option")
    before = found.sha256
    found.files[0].write_bytes(b"something longer")
    assert found.sha256 == hashlib.sha256(b"something longer").hexdigest() != before


def test_the_hash_of_shards_is_that_of_their_list(folder: Make) -> None:
    place = folder()
    (place / "model.safetensors").unlink()
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = {"weight_map": {"b": names[1], "a": names[0], "c": names[1]}}
    (place / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    (place / names[0]).write_bytes(b"1")
    assert names[1] in refused(str(place), ("sam",))
    (place / names[1]).write_bytes(b"2")
    listed = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in zip(names, (b"1", b"2"), strict=True)
    )
    found = find(str(place), ("sam",), "tool.option")
    assert [path.name for path in found.files] == names
    assert found.sha256 == hashlib.sha256(listed.encode()).hexdigest()


def test_pinned_weights_must_hash_to_what_was_pinned(folder: Make) -> None:
    found = find(str(folder()), ("sam",), "tool.option")
    found.check_pinned(None)
    found.check_pinned(found.sha256.upper())
    with pytest.raises(WeightsError, match=r"the SHA-256 \w{64}, not the pinned 0{64}.*option_sha"):
        found.check_pinned("0" * 64)


def test_the_cache_is_read_without_a_network_and_names_the_commit(
    cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    content_hash = digests.file_sha256
    monkeypatch.setattr(
        digests, "file_sha256", lambda path: (read.append(path), content_hash(path))[1]
    )
    for name in ("me/sam", "me/sam@v1", f"me/sam@{COMMIT}"):
        check_name(name, ("sam",), "tool.option")
        found = find(name, ("sam",), "tool.option")
        assert found.model == f"me/sam@{COMMIT}"
        assert found.sha256 == hashlib.sha256(b"weights").hexdigest()
    # The cache has the hash in the file's name; only a pinned one is compared with the content.
    assert not read
    (cached / "model.safetensors").resolve().write_bytes(b"damaged")
    assert found.sha256 == hashlib.sha256(b"weights").hexdigest()
    with pytest.raises(WeightsError, match="not the pinned"):
        found.check_pinned(found.sha256)


def test_what_is_not_cached_is_said_with_the_command_that_gets_it(cached: Path) -> None:
    line = refused("IDEA-Research/grounding-dino-tiny", ("grounding-dino",))
    assert "missing: config.json, preprocessor_config.json, model.safetensors. With" in line
    line = refused("me/detector", ("grounding-dino",), texts=True)
    assert "missing: config.json, preprocessor_config.json, tokenizer.json, model.safe" in line
    line = refused("IDEA-Research/grounding-dino-tiny", ("grounding-dino",))
    assert "hf download IDEA-Research/grounding-dino-tiny --revision a2bb814d" in line
    assert "HF_HUB_OFFLINE=1" in line
    assert "hf download me/sam --revision v2" in refused("me/sam@v2", ("sam",))
    (cached / "model.safetensors").unlink()
    (cached / "preprocessor_config.json").unlink()
    line = refused("me/sam", ("sam",))
    assert "lacks model.safetensors, preprocessor_config.json or processor_config.json" in line
    assert "hf download me/sam;" in line


def test_a_network_that_does_not_answer_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match=r"me/sam is neither in the cache .* hf download me/sam"):
        find("me/sam", ("sam",), "tool.option")


def test_weights_are_called_by_their_commit_or_else_by_what_they_hash_to() -> None:
    def never() -> str:
        raise AssertionError("a whole checkpoint would be read for nothing")

    place = Path("/cache/snapshots") / COMMIT
    assert model_name("me/sam", place, never) == f"me/sam@{COMMIT}"
    assert model_name("", Path("/mine/sam"), lambda: "0123456789abcdef") == (
        "local:sam@0123456789ab"
    )


def test_a_gated_checkpoint_that_is_not_cached_is_told_with_its_terms(cached: Path) -> None:
    line = refused("facebook/sam3", ("sam3",), texts=True)
    assert "accept its terms on https://huggingface.co/facebook/sam3, then type: hf auth" in line
    folder = cached.parents[2] / "models--facebook--sam3" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    line = refused(f"facebook/sam3@{COMMIT}", ("sam3",))
    assert "lacks config.json. With a network accept its terms on https://huggingface.co/" in line
    assert f"hf auth login && hf download facebook/sam3 --revision {COMMIT}; or choose" in line


def test_a_checkpoint_of_another_kind_is_refused(folder: Make) -> None:
    line = refused(str(folder(kind="clip")), ("sam", "sam2"))
    assert "of the kind 'clip'" in line
    assert "sam or sam2" in line


def test_a_tokenizer_is_asked_for_only_where_texts_are_read(folder: Make) -> None:
    place = str(folder())
    find(place, ("sam",), "tool.option")
    assert "lacks tokenizer.json or vocab.txt" in refused(place, ("sam",), texts=True)


def test_names_that_cannot_be_are_refused(folder: Make, tmp_path: Path) -> None:
    assert "there is no folder /nowhere" in refused("/nowhere", ("sam",))
    assert "there is no folder" in refused("./nowhere", ("sam",))
    assert "is no name of a repository" in refused("a/b/c", ("sam",))
    (tmp_path / "empty").mkdir()
    assert "lacks config.json" in refused(str(tmp_path / "empty"), ("sam",))
    place = folder()
    (place / "config.json").write_text("{", encoding="utf-8")
    assert "cannot be read" in refused(str(place), ("sam",))

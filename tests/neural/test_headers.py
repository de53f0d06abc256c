"""What a .safetensors file holds is told from its header, and whether all of it is there."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from covar_gen.core.errors import WeightsError
from covar_gen.neural.headers import entries


@pytest.fixture
def file(tmp_path: Path) -> Path:
    tensors = {
        "b": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3),
        "a": torch.ones(4),
        "scalar": torch.tensor(3, dtype=torch.int64),
        "none": torch.empty(0, 5),
    }
    save_file(tensors, tmp_path / "w.safetensors", metadata={"format": "pt"})
    return tmp_path / "w.safetensors"


def refused(file: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        entries(file, "emu2.weights")
    line = caught.value.line()
    assert line.startswith("WeightsError: emu2.weights: ")
    return line


def raw(path: Path, header: Any, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_names_types_shapes_and_sizes_are_those_that_the_library_reads(file: Path) -> None:
    found = {entry.key: entry for entry in entries(file, "")}
    with safe_open(file, framework="pt") as opened:
        assert set(found) == set(opened.keys())
        for key, entry in found.items():
            assert list(entry.shape) == opened.get_slice(key).get_shape()
            assert entry.kind == opened.get_slice(key).get_dtype()
            tensor = opened.get_tensor(key)
            assert entry.bytes == tensor.numel() * tensor.element_size()
            assert entry.file == file


def test_tensors_come_in_the_order_of_their_bytes(file: Path) -> None:
    starts = [entry.start for entry in entries(file, "")]
    assert starts == sorted(starts)


def test_a_file_cut_off_anywhere_is_refused(file: Path) -> None:
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        said = refused(file)
        if length > 8:
            assert f"is cut off: it has {length} bytes of " in said
            assert "Fetch it again, with enough space on the disk" in said
        else:
            assert "is no .safetensors file" in said


def test_how_much_of_a_cut_off_file_is_missing_is_said(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert f"it has {len(whole) - 1} bytes of {len(whole)}" in refused(file)


def test_bytes_beyond_the_last_tensor_are_refused(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"12")
    assert "has 2 bytes more than its header names" in refused(file)


def test_a_pointer_of_git_lfs_says_how_to_get_the_file(tmp_path: Path) -> None:
    pointer = tmp_path / "w.safetensors"
    pointer.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    assert "is a pointer that git-lfs left" in refused(pointer)
    assert "git lfs pull" in refused(pointer)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04" + b"\0" * 60, b"<html>not found</html>" * 9, b"\0" * 64],
)
def test_something_else_is_no_safetensors_file(tmp_path: Path, content: bytes) -> None:
    other = tmp_path / "w.safetensors"
    other.write_bytes(content)
    assert "is no .safetensors file" in refused(other)


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        b"[1, 2]",
        {"a": {"dtype": "F32", "shape": [1]}},
        {"a": {"dtype": "F32", "shape": 4, "data_offsets": [0, 4]}},
        {"a": 3},
    ],
)
def test_a_header_that_is_none_is_no_safetensors_file(tmp_path: Path, header: Any) -> None:
    assert "is no .safetensors file" in refused(raw(tmp_path / "w.safetensors", header, b"1234"))


@pytest.mark.parametrize(("kind", "end"), [("F32", 5), ("F7", 4)])
def test_a_header_that_contradicts_itself_is_refused(tmp_path: Path, kind: str, end: int) -> None:
    header = {"a": {"dtype": kind, "shape": [1], "data_offsets": [0, end]}}
    assert "contradicts itself" in refused(raw(tmp_path / "w.safetensors", header, b"12345"[:end]))


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    assert "cannot be read: No such file or directory" in refused(tmp_path / "w.safetensors")
    assert "cannot be read: Is a directory" in refused(tmp_path)

"""docs/how-to/emu2.md: its numbers are those that are counted, its messages those that are said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from covar_gen.core.pins import pins
from covar_gen.editors import _emu2_published as published
from covar_gen.editors._emu2_room import WORKING_GIB, published_gib, published_loads
from covar_gen.editors.emu2 import Emu2Gen

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "emu2.md").read_text(encoding="utf-8")
GIB = 2**30

ROWS: list[Any] = re.findall(
    r"^\| `(resident|swap)` \| `(full|int4)` \| (\d+) \| ([\d.]+) GiB \| ([\d.]+) GiB \|$",
    PAGE,
    re.MULTILINE,
)


def test_the_table_of_memory_has_both_stages_and_both_language_models() -> None:
    assert len(ROWS) == 8
    assert {row[:2] for row in ROWS} == {
        (stage, language) for stage in ("resident", "swap") for language in ("full", "int4")
    }


@pytest.mark.parametrize("row", ROWS)
def test_memory_is_as_counted(row: Any) -> None:
    stage, language, devices, weights, needed = row
    fullest = max(published_loads(language).most(stage, int(devices))) / GIB
    assert float(weights) == round(fullest, 1)
    assert float(needed) == round(published_gib(stage, language, int(devices)), 1)
    assert f"*Should have* adds {WORKING_GIB:g} GiB" in PAGE


@pytest.mark.parametrize(
    ("network", "parts"),
    [
        ("language model", ["lm"]),
        ("tower", ["visual"]),
        ("UNet", ["unet"]),
        ("safety checker", ["safety_checker"]),
        ("VAE", ["vae"]),
        ("projections", ["project_up", "project_down"]),
    ],
)
def test_networks_are_as_large_as_counted(network: str, parts: list[str]) -> None:
    [(billions, gib)] = re.findall(
        rf"^\| {network} \| ([\d.]+) billion \| ([\d.]+) GiB \|$", PAGE, re.MULTILINE
    )
    count = sum(published.PARAMETERS[part] for part in parts)
    assert float(billions) == round(count / 1e9, 2)
    assert float(gib) == round(count * 2 / GIB, 1)


def test_download_and_commit_are_those_of_the_pins() -> None:
    known = pins()[published.REPO]
    [gigabytes] = re.findall(
        rf"^That is {known.download_gib:g} GiB \(([\d.]+) GB\)", PAGE, re.MULTILINE
    )
    assert float(gigabytes) == pytest.approx(known.download_gib * GIB / 1e9, abs=0.1)
    assert f"hf download {known.repo} --revision {known.revision}" in PAGE
    assert "non-commercial" in known.licence


def test_every_option_of_the_page_is_one_of_the_editor() -> None:
    block = re.search(r"^mode = .*?^```", PAGE, re.DOTALL | re.MULTILINE)
    assert block is not None
    given = dict(re.findall(r"^(\w+) = ([^ #\n]+)", block[0], re.MULTILINE))
    usual = Emu2Gen.Options().model_dump()
    assert given == {
        name: f'"{usual[name]}"' if isinstance(usual[name], str) else str(usual[name])
        for name in given
    }
    known = {*Emu2Gen.Options.model_fields}
    for name in ("weights_sha256", "stage", "devices", "language", "batch", "paste_back", "canvas"):
        assert name in known
        assert f"`{name}" in PAGE


def test_messages_of_the_page_are_said_by_the_code() -> None:
    code = "".join(
        file.read_text(encoding="utf-8")
        for folder in ("editors", "neural", "core")
        for file in (ROOT / "covar_gen" / folder).glob("*.py")
    )
    section = PAGE.partition("## What may go wrong")[2]
    said = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    assert len(said) > 8
    for message in said:
        words = re.split(r"multimodal_encoder/\S+|\.\.\.|[\d.]+ |'<image>'", message)
        for part in filter(None, (word.strip(" ,:'") for word in words)):
            pieces = part.split()
            assert any(" ".join(pieces[:n]) in code for n in (len(pieces), 3, 2)), message

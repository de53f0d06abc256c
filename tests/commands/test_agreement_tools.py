"""What [backgrounds.agreement] loads is announced, priced and shown as every tool is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from covar_gen.commands.doctor import doctor
from covar_gen.commands.estimate import Line, disk_bytes, estimate, images, weights
from covar_gen.commands.findings import Finding
from covar_gen.commands.gallery import with_masks
from covar_gen.core.files import Staging
from covar_gen.core.pins import pin
from covar_gen.core.recipe import Recipe, read_recipe
from covar_gen.core.rows import EDITED, MANIFEST
from covar_gen.core.store import Run
from covar_gen.stage_manifest import make_manifest

DINO = "facebook/dinov2-base"
PIX2PIX = {"backgrounds.editor": "instruct_pix2pix"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "hub"


def found(recipe: Recipe, home: Path) -> dict[str, Finding]:
    return {finding.name: finding for finding in doctor(recipe, home=home)}


def measured(recipe: Path, editor: dict[str, Any] | None = None, **section: Any) -> Recipe:
    given = PIX2PIX if editor is None else editor
    return read_recipe(recipe, {**given, "backgrounds.agreement": section})


def test_doctor_announces_the_network_and_the_segmenters_weights(recipe: Path, hub: Path) -> None:
    said = found(measured(recipe, segmenter="grounded_sam"), recipe.parent)
    known = pin(DINO)
    assert known is not None
    line = said[f"weights {DINO}"]
    assert line.fine
    assert line.said == "not here; about 0.3 GiB, for agreement.network; Apache-2.0"
    assert line.mend.endswith(f"hf download {DINO} --revision {known.revision}")
    assert "for grounded_sam.sam" in said["weights facebook/sam-vit-huge"].said
    assert "1 GiB of GPU memory" in said[f"backgrounds.agreement.network = {DINO}"].said
    assert "backgrounds.agreement.segmenter = grounded_sam" in said
    assert not hub.exists()


def test_doctor_looks_at_a_network_of_ones_own(
    recipe: Path, hub: Path, tmp_path: Path, module_of: Callable[..., ModuleType]
) -> None:
    tiny = module_of(Path(__file__).parents[1] / "tiny_networks.py")
    tiny.save_network(tmp_path / "dino", "dinov2")
    tiny.save_network(tmp_path / "clip", "clip")
    good = found(measured(recipe, network="dino"), recipe.parent)
    assert good[f"backgrounds.agreement.network = {tmp_path / 'dino'}"].fine
    assert (
        good[f"weights {tmp_path / 'dino'}"].said == "a folder of your own, for agreement.network"
    )
    bad = found(measured(recipe, network="clip"), recipe.parent)
    line = bad[f"backgrounds.agreement.network = {tmp_path / 'clip'}"]
    assert not line.fine
    assert "pairs images with texts" in line.said
    none = found(measured(recipe, network="none"), recipe.parent)
    assert not [name for name in none if "agreement.network" in name or "dino" in name]


def test_doctor_says_where_the_section_is_of_no_use_and_wants_no_weights(
    recipe: Path, hub: Path
) -> None:
    said = found(measured(recipe, {}, segmenter="grounded_sam"), recipe.parent)
    line = said["backgrounds.agreement"]
    assert line.fine
    assert line.said == "not used: collage keeps the object's pixels"
    assert not [name for name in said if name.startswith("weights ")]
    assert "backgrounds.agreement" not in found(read_recipe(recipe, PIX2PIX), recipe.parent)


def test_doctor_lists_the_usual_network_among_all_weights(hub: Path) -> None:
    named = [finding.name for finding in doctor()]
    assert named.count(f"weights {DINO}") == 1


def test_estimate_counts_an_edit_of_each_photograph_for_network_and_segmenter(
    recipe: Path,
) -> None:
    with_section = measured(recipe, segmenter="grounded_sam")
    plain = estimate(read_recipe(recipe, PIX2PIX), 6)
    lines = estimate(with_section, 6)
    more = [line for line in lines if line.table == "agreement"]
    assert [(line.plugin, line.images, line.calls) for line in more] == [
        ("network", 0, 12), ("grounded_sam", 0, 12),
    ]  # fmt: skip
    # Two backgrounds of six photographs, 0.005 and 0.15 s each.
    assert [line.hours for line in more] == [
        pytest.approx(12 * 0.005 / 3600), pytest.approx(12 * 0.15 / 3600),
    ]  # fmt: skip
    assert [line.table for line in lines if line not in more] == [line.table for line in plain]
    assert images(lines) == images(plain)
    assert disk_bytes(with_section, lines) == disk_bytes(with_section, plain)
    said = weights(lines)
    assert any(text.startswith("network: from 1 GiB of GPU memory, 0.3 GiB") for text in said)
    assert [text for text in said if text.startswith("grounded_sam: ")]


@pytest.mark.parametrize("section", [{}, {"network": "none"}])
def test_estimate_of_an_editor_that_keeps_the_object_has_no_such_lines(
    recipe: Path, section: dict[str, str]
) -> None:
    lines: list[Line] = estimate(measured(recipe, {}, segmenter="grabcut", **section), 6)
    assert "agreement" not in {line.table for line in lines}


Covar = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_command_prints_the_lines(covar: Covar, recipe: Path) -> None:
    given = ["--set", "backgrounds.editor=instruct_pix2pix"]
    given += ["--set", "backgrounds.agreement.segmenter=grabcut", "--photographs", "6"]
    said = [line.split() for line in covar("estimate", recipe, *given).stdout.splitlines()]
    assert ["agreement", "0", "network", "0.0", "h", "on", "A100", "80", "GB"] in said
    assert ["agreement", "0", "grabcut", "0.0", "h", "on", "CPU", "core"] in said


def test_the_manifest_and_the_gallery_have_what_was_measured_of_each_image(
    steps: Callable[..., Run],
) -> None:
    run = steps("run", block=4)
    names = [field.name for field in EDITED]
    assert len(names) == 8
    shown = with_masks(run)
    assert set(names) <= set(shown.column_names)
    rows = run.table("backgrounds").to_pylist()
    assert rows
    measured = {row["key"]: 0.25 + place for place, row in enumerate(rows)}

    class Measured(Run):
        """The same run, with numbers."""

        def table(self, name: str, columns: list[str] | None = None) -> Any:
            import pyarrow as pa

            found = super().table(name, columns)
            if name != "backgrounds" or "object_ssim" not in found.column_names:
                return found
            column = pa.array([measured[key] for key in found["key"].to_pylist()])
            return found.set_column(
                found.schema.get_field_index("object_ssim"), "object_ssim", column
            )

    staging = Staging(run.root)
    try:
        made = make_manifest(Measured(run.root, run.recipe), staging)
    finally:
        staging.close()
    assert made.schema.equals(MANIFEST)
    shown = with_masks(run)
    assert shown["object_ssim"].equals(made["object_ssim"])
    for row in shown.select(["key", "object_ssim", "object_iou"]).to_pylist():
        assert row["object_ssim"] == measured.get(row["key"])
        assert row["object_iou"] is None
    assert set(measured) <= set(shown["key"].to_pylist())

"""`covar-gen estimate`: numbers worked by hand for the paper's recipe and for the demo."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from covar_gen.commands.estimate import Line, disk_bytes, estimate, images, photographs, weights
from covar_gen.commands.weights import Tool, Wanted
from covar_gen.core.pins import pins
from covar_gen.core.recipe import read_recipe, recipe_path

Covar = Callable[..., "subprocess.CompletedProcess[str]"]

# 33 classes x 50; x 20 backgrounds; x 2 views; x 4 factors; x 5 variants
PAPER = {
    "sources": (1650, "folder", 0, None),
    "masks_sources": (1650, "grounded_sam", 1650, 1650 * 0.15 / 3600),
    "backgrounds": (33_000, "emu2", 33_000, 33_000 * 8 / 3600),
    "masks_backgrounds": (33_000, "grounded_sam", 33_000, 1.375),
    # a call of the viewer makes all views of an image
    "viewpoints": (66_000, "zero123plus", 33_000, 68.75),
    "masks_viewpoints": (66_000, "grounded_sam", 66_000, 2.75),
    "scale": (132_000, "stable_diffusion", 132_000, 35.2),
    # of the five variants only rotation and translate have borders to fill
    "geometry": (165_000, "stable_diffusion", 66_000, 17.6),
}


def test_the_papers_recipe_has_1650_photographs_and_396_000_images() -> None:
    recipe = read_recipe(recipe_path("covar"))
    assert photographs(recipe, recipe_path("covar").parent) == 1650
    assert images(estimate(recipe, 1650)) == 396_000


@pytest.mark.parametrize("table", list(PAPER))
def test_a_table_of_the_papers_recipe_takes_what_was_worked_by_hand(table: str) -> None:
    lines = {line.table: line for line in estimate(read_recipe(recipe_path("covar")), 1650)}
    assert list(lines) == list(PAPER)
    line = lines[table]
    rows, plugin, calls, hours = PAPER[table]
    assert (line.images, line.plugin, line.calls) == (rows, plugin, calls)
    assert line.hours == (None if hours is None else pytest.approx(hours))


def test_disk_counts_every_image_of_the_papers_recipe_once() -> None:
    recipe = read_recipe(recipe_path("covar"))
    # 397,650 masters of 512 x 683 pixels at about 1.93 bytes
    expected = 397_650 * 512 * 512 * 1.33 * 1.93
    assert disk_bytes(recipe, estimate(recipe, 1650)) == pytest.approx(expected, rel=1e-6)
    smaller = read_recipe(recipe_path("covar"), {"classes.size": 256})
    assert disk_bytes(smaller, estimate(smaller, 1650)) == pytest.approx(expected / 4, rel=1e-6)


def test_the_demo_of_seven_photographs_makes_420_images_and_knows_its_masks() -> None:
    recipe = read_recipe(recipe_path("demo"))
    lines = {line.table: line for line in estimate(recipe, 7)}
    assert {name: line.images for name, line in lines.items()} == {
        "sources": 7, "masks_sources": 7, "backgrounds": 35, "masks_backgrounds": 35,
        "viewpoints": 70, "masks_viewpoints": 70, "scale": 140, "geometry": 175,
    }  # fmt: skip
    assert images(list(lines.values())) == 420
    for table in ("masks_backgrounds", "masks_viewpoints"):
        assert (lines[table].plugin, lines[table].calls) == ("by_construction", 0)
        assert lines[table].hours is None
    assert lines["masks_sources"].hours == pytest.approx(7 * 0.5 / 3600)
    assert disk_bytes(recipe, list(lines.values())) > 0


@pytest.mark.parametrize(
    ("section", "tool", "options", "by"),
    [
        ("backgrounds", "flux_kontext", {}, "grounded_sam"),
        ("backgrounds", "flux_kontext", {"form": "inpaint"}, "by_construction"),
        ("backgrounds", "flux_kontext", {"form": "inpaint", "paste_back": False}, "grounded_sam"),
        ("backgrounds", "images_api", {"paste_back": True}, "by_construction"),
        ("viewpoints", "zero123plus", {}, "grounded_sam"),
        ("viewpoints", "zero123plus", {"output": "recomposed"}, "by_construction"),
    ],
)
def test_no_segmenter_is_paid_where_options_make_masks_known(
    section: str, tool: str, options: dict[str, object], by: str
) -> None:
    key = {"backgrounds": "editor", "viewpoints": "viewer"}[section]
    given = {f"{section}.{key}": tool, f"{section}.options.{tool}": options}
    recipe = read_recipe(recipe_path("covar"), given)
    lines = {line.table: line for line in estimate(recipe, 1650)}
    line = lines[f"masks_{section}"]
    assert (line.plugin, line.calls > 0) == (by, by == "grounded_sam")


@pytest.mark.parametrize(
    ("editor", "device", "seconds"),
    [("flux_kontext", "A100 80 GB", 40), ("images_api", "server", 10)],
)
def test_hours_are_told_of_editors_that_are_gated_or_served(
    editor: str, device: str, seconds: float
) -> None:
    recipe = read_recipe(recipe_path("covar"), {"backgrounds.editor": editor})
    line = next(line for line in estimate(recipe, 1650) if line.table == "backgrounds")
    assert line.cost is not None
    assert line.cost.device == device
    assert line.hours == pytest.approx(33_000 * seconds / 3600)


def test_a_section_left_out_is_neither_counted_nor_paid(recipe: Path) -> None:
    text = recipe.read_text("utf-8")
    recipe.write_text(text[: text.index("[scale]")], "utf-8")
    found = read_recipe(recipe)
    lines = estimate(found, 6)
    assert [line.table for line in lines][-1] == "masks_viewpoints"
    assert images(lines) == 6 * 2 + 6 * 2 * found.viewpoints.views  # type: ignore[union-attr]


def test_variants_that_fill_nothing_cost_no_calls(recipe: Path) -> None:
    flips = read_recipe(recipe, {"geometry.variants": ["hflip", "vflip", "crop"]})
    geometry = estimate(flips, 6)[-1]
    assert (geometry.images, geometry.calls, geometry.hours) == (36, 0, 0)


def test_a_recipe_without_per_class_counts_the_photographs_of_its_source(
    covar: Covar, recipe: Path
) -> None:
    assert photographs(read_recipe(recipe), recipe.parent) == 6
    two = read_recipe(recipe, {"classes.per_class": 2})
    assert photographs(two, recipe.parent) == 4
    said = covar("estimate", "demo").stdout
    assert "images: 420 from 7 photographs" in said
    more = covar("estimate", "demo", "--photographs", 70).stdout
    assert "images: 4200 from 70 photographs" in more


def test_a_source_that_has_to_be_read_whole_is_not_counted_but_asked_for(
    covar: Covar, recipe: Path
) -> None:
    given = ["--set", "classes.source=datasets", "--set", "classes.path=someone/some-data-set"]
    said = covar("estimate", recipe, *given, code=2).stderr
    assert said.strip().endswith("Say how many: --photographs N")


def test_the_command_prints_tables_sums_and_where_the_numbers_come_from(covar: Covar) -> None:
    said = covar("estimate", "covar").stdout.splitlines()
    assert said[2].split() == [
        "backgrounds",
        "33000",
        "emu2",
        "73.3",
        "h",
        "on",
        "A100",
        "80",
        "GB",
    ]
    assert any(line.startswith("images: 396000 from 1650 photographs") for line in said)
    # 0.06875 + 73.3333 + 1.375 + 68.75 + 2.75 + 35.2 + 17.6 hours
    assert "time: 199.1 h on one A100 80 GB" in said
    assert "disk: 267.6 GB of lossless masters" in said
    assert "  emu2: estimate within a factor of 2" in said


def test_the_command_says_what_the_weights_take_and_under_which_licence(covar: Covar) -> None:
    said = [line for line in covar("estimate", "covar").stdout.splitlines() if "weights:" in line]
    assert [line.partition("; ")[2] for line in said] == [
        "non-commercial (LLaMA-1 weights)",
        "Apache-2.0",
        "CreativeML OpenRAIL-M",
        "CC-BY-NC-4.0",
    ]
    emu2 = "weights: emu2: from 71.3 GiB of GPU memory, 74.2 GiB to download (BAAI/Emu2-Gen)"
    assert said[0].startswith(emu2)
    # Two checkpoints, 2 and 6 GiB in use, 0.6 and 2.4 GiB to download.
    sam = "weights: grounded_sam: from 8 GiB of GPU memory, 3 GiB to download (IDEA-Research/"
    assert said[1].startswith(sam)
    assert ", facebook/sam-vit-huge)" in said[1]


def test_weights_that_the_recipe_names_are_the_ones_that_count(covar: Covar, recipe: Path) -> None:
    change = "scale.options.stable_diffusion.weights"
    given = ["--set", "scale.inpainter=stable_diffusion"]
    given += ["--set", f"{change}=black-forest-labs/FLUX.1-Fill-dev@main"]
    said = covar("estimate", recipe, *given).stdout
    assert "weights: stable_diffusion: from 36 GiB of GPU memory, 31.6 GiB to download" in said
    assert "FLUX.1 [dev] Non-Commercial License" in said


def test_what_its_owner_removed_is_no_download(covar: Covar, recipe: Path) -> None:
    change = "scale.options.stable_diffusion.weights"
    given = ["--set", "scale.inpainter=stable_diffusion"]
    given += ["--set", f"{change}=runwayml/stable-diffusion-inpainting"]
    said = covar("estimate", recipe, *given).stdout
    gone = (
        "runwayml/stable-diffusion-inpainting was removed by its owner "
        "(its mirror: stable-diffusion-v1-5/stable-diffusion-inpainting)"
    )
    memory = "weights: stable_diffusion: from 4 GiB of GPU memory"
    assert f"{memory}, {gone}; CreativeML OpenRAIL-M" in said
    assert "to download" not in said


def test_of_several_checkpoints_those_that_are_gone_are_told_apart() -> None:
    known = pins()
    gone, there = known["stabilityai/stable-diffusion-2-inpainting"], known["BAAI/Emu2-Gen"]
    tool = Tool(
        "a",
        "inpainters",
        "painter",
        (Wanted("b", gone.repo, local=False), Wanted("c", there.repo, local=False)),
    )
    said = weights([Line("scale", 1, "painter", 1, None, tool)])
    assert ", 74.2 GiB to download (BAAI/Emu2-Gen), stabilityai/" in said[0]


def test_a_tool_without_weights_has_none_to_say(covar: Covar) -> None:
    assert "weights:" not in covar("estimate", "demo").stdout

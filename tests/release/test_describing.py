"""What a release says of itself is true of its run, readable, and valid where a format is."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from covar_gen.core import plugins
from covar_gen.core.errors import RecipeError, ReleaseFolderError
from covar_gen.core.recipe import Background, Backgrounds, Class, Classes, Masks, Recipe
from covar_gen.editors.base import Editor
from covar_gen.release.about import About, Author, PhotographsTerms, read_about
from covar_gen.release.card import SIZES, Stored, card
from covar_gen.release.citation import bibtex, citation_cff
from covar_gen.release.croissant import Listed, croissant_json
from covar_gen.release.describing import _counts_csv
from covar_gen.release.facts import Facts, Tool, repositories
from covar_gen.release.licences import forbids_commerce, licences_md, non_commercial, unknown
from covar_gen.release.schema import schema_of
from covar_gen.stage_publish import reads_prompt

pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated")

Make = Callable[..., Facts]
FILES = [
    Listed("original", "data/original/test-00000-of-00001.parquet", 10, "a" * 64),
    Listed("bg_varied", "data/bg_varied/test-00000-of-00002.parquet", 20, "b" * 64),
    Listed("bg_varied", "data/bg_varied/test-00001-of-00002.parquet", 30, "c" * 64),
    Listed("manifest", "data/manifest/test-00000-of-00001.parquet", 40, "d" * 64),
]


@pytest.fixture
def facts() -> Make:
    def make(about: About | None = None, **changes: Any) -> Facts:
        classes = [
            Class(class_id=1, class_name="cat | dog", folder="cat"),
            Class(class_id=2, class_name="cup", folder="cup"),
        ]
        grounds = [Background(background_id=7, description="snow")]
        recipe = Recipe(
            name="try-out",
            seed=5,
            classes=Classes(source="folder", classes=classes),
            masks=Masks(segmenter="grabcut"),
            backgrounds=Backgrounds(editor="zero", backgrounds=grounds),
        )
        cells = pa.table(
            {
                "class_id": [1, 1, 2, 2],
                "background_id": [None, 7, None, 7],
                "subset": ["original", "bg_varied", "original", "bg_varied"],
                "ok": [3, 3, 2, 1],
                "rejected": [0, 0, 0, 1],
            }
        )
        values: dict[str, Any] = {
            "recipe": recipe,
            "about": about or About(),
            "cells": cells,
            "reasons": (("bg_varied", "object_moved", 1),),
            "tools": (
                Tool("sources", "folder", None, 5),
                Tool("backgrounds", "zero", "sudo-ai/zero123plus-v1.2@abc other/thing@def", 4),
            ),
            "kept": {"original": 0, "bg_varied": 3},
        }
        return Facts(**{**values, **changes})

    return make


def stored(**changes: Any) -> Stored:
    schema = schema_of("bg_varied", ["cat | dog", "cup"])
    values = {"images": "JPEG of quality 95", "lossless": False, "masks": 9, "schema": schema}
    return Stored(**{**values, **changes})


def head_and_body(text: str) -> tuple[dict[str, Any], str]:
    _, head, body = text.split("---\n", 2)
    return yaml.safe_load(head), body


def test_numbers_of_images_are_summed_over_classes_and_backgrounds(facts: Make) -> None:
    found = facts()
    assert found.images == 9
    assert found.photographs == 5
    assert found.subsets() == [("original", (5, 0)), ("bg_varied", (4, 1))]
    assert found.by("class_id") == {
        1: {"original": 3, "bg_varied": 3},
        2: {"original": 2, "bg_varied": 1},
    }
    assert found.by("background_id") == {7: {"bg_varied": 4}}


def test_the_card_has_every_count_reason_tool_and_licence(facts: Make) -> None:
    head, body = head_and_body(card(facts(), stored(), {"configs": [{"config_name": "all"}]}))
    assert head["configs"] == [{"config_name": "all"}]
    assert head["size_categories"] == ["n<1K"]
    assert "9 images, made from 5 photographs of 2 classes and 1 background." in body
    assert "| `bg_varied` | the object before each background | 4 | 1 |" in body
    assert "| `masks` | the object's outline, for each image that has one | 9 | |" in body
    assert "| `manifest` | every row, rejected ones too, without images | 10 | |" in body
    assert r"| cat \| dog | 3 | 3 |" in body
    assert "| cup | 2 | 1 |" in body
    assert "| snow | 4 |" in body
    assert "1 to 3 in `bg_varied`" in body
    assert r"| bg\_varied | `object_moved` | 1 |" in body
    assert "| sources | folder |  | 5 | none needed |" in body
    assert "CC-BY-NC-4.0; not known |" in body
    assert "`bg_varied` (1 of 4)" in body
    assert "JPEG of quality 95" in body
    assert "| `export_sha256` | string | SHA-256 of the image file in this release |" in body


def test_what_is_not_so_is_not_said(facts: Make) -> None:
    about = About(licence="cc-by-4.0", photographs=PhotographsTerms(redistributable=True))
    plain = facts(about, reasons=(), tools=(Tool("sources", "folder", None, 5),),
                  kept={"bg_varied": 4})  # fmt: skip
    head, body = head_and_body(card(plain, stored(lossless=True, images="PNG"), {}))
    assert head["license"] == "cc-by-4.0"
    assert "license_name" not in head
    limits = body.partition("## Known limits")[2].partition("##")[0]
    assert limits.count("\n- ") == 1
    assert "No licence stated" not in body
    assert "commercial" not in body
    assert "Nothing.\n" in body
    assert "![" not in body


def test_weights_that_forbid_commerce_are_said_on_top(facts: Make) -> None:
    body = head_and_body(card(facts(), stored(), {}))[1]
    top = body.partition("## What is in it")[0]
    assert "Not for commercial use" in top
    assert "sudo-ai/zero123plus-v1.2" in top
    assert non_commercial(facts()) == ["sudo-ai/zero123plus-v1.2"]
    assert unknown(facts()) == ["other/thing"]


@pytest.mark.parametrize(
    ("licence", "forbidden"),
    [
        ("CC-BY-NC-4.0", True),
        ("FLUX.1 [dev] Non-Commercial License", True),
        ("non-commercial (LLaMA-1 weights)", True),
        ("Apache-2.0", False),
        ("MIT", False),
        ("CreativeML OpenRAIL-M", False),
        ("NCSA", False),
    ],
)
def test_a_licence_that_forbids_commerce_is_known_by_its_name(
    licence: str, *, forbidden: bool
) -> None:
    assert forbids_commerce(licence) is forbidden


def test_the_licences_of_all_weights_are_carried(facts: Make) -> None:
    terms = PhotographsTerms(terms="ImageNet's terms of access", redistributable=False)
    text = licences_md(facts(About(photographs=terms)), recipe_only=True)
    row = "[`sudo-ai/zero123plus-v1.2`](https://huggingface.co/sudo-ai/zero123plus-v1.2)"
    assert f"| backgrounds | {row} | CC-BY-NC-4.0 |" in text
    assert "| not known to the toolkit |" in text
    assert "Photographs: ImageNet's terms of access; they may not be passed on." in text
    assert "neither are pixels that images have of them" in text
    drew = "What a tool drew again after them, or blurred or recoloured, is part of it: "
    assert f"{drew}1 image of `bg_varied`." in text
    kept = licences_md(facts(kept={"bg_varied": 4}), recipe_only=True)
    assert "drew again" not in kept
    assert "drew again" not in licences_md(facts(), recipe_only=False)


def test_patches_are_explained_and_no_sheet_is_shown(facts: Make) -> None:
    body = head_and_body(card(facts(), stored(recipe_only=True), {}, "me/cats"))[1]
    assert "covar-gen rebuild" in body
    assert "contact_sheet" not in body
    # Patches are no images: `evaluate` refuses them.
    assert "covar-gen evaluate RUN " in body
    assert "covar-gen verify RUN`" in body
    shown = "their patches are whole pictures, and show what it took over from the photograph"
    assert f"(`known_pixel_max_diff` is null); {shown}." in body
    assert shown not in card(facts(), stored(), {})


def test_one_of_anything_is_not_several(facts: Make) -> None:
    one = pa.table(
        {"class_id": [1], "background_id": [None], "subset": ["original"], "ok": [1],
         "rejected": [0]}
    )  # fmt: skip
    body = card(facts(cells=one, reasons=(("bg_varied", "object_moved", 1),)), stored(), {})
    assert "1 image, made from 1 photograph of 2 classes and 1 background. Each row" in body
    assert "1 image was rejected: not every" in body
    assert not re.search(r"(?<!\d)1 (images|photographs|classes|backgrounds)\b", body)


@pytest.mark.parametrize("name", plugins.names("editors"))
def test_editors_that_are_told_otherwise_say_so(name: str) -> None:
    reads = plugins.find("editors", name, Editor).reads_prompt
    assert reads == (name not in {"collage", "masked", "toy_world"})


@pytest.mark.parametrize("mode", ["edit", "text", "autoencode"])
def test_options_decide_whether_the_instruction_is_quoted(mode: str) -> None:
    given = Backgrounds(editor="emu2", options={"emu2": {"mode": mode}, "collage": {"odd": 1}})
    assert reads_prompt(given) == (mode != "autoencode")
    assert not reads_prompt(Backgrounds(editor="toy_world"))
    assert reads_prompt(Backgrounds(editor="instruct_pix2pix"))


def test_the_instruction_is_quoted_for_editors_that_read_it_alone(facts: Make) -> None:
    assert "The editor was told" not in card(facts(), stored(), {})
    told = card(facts(instructed=True), stored(), {})
    assert 'The editor was told, for each background: "' in told
    assert "{background}" in told
    plain = facts(instructed=True)
    recipe = plain.recipe.model_copy(update={"backgrounds": None})
    assert "was told" not in card(facts(instructed=True, recipe=recipe), stored(), {})


@pytest.mark.parametrize(("recipe_only", "warned"), [(False, True), (True, False)])
def test_photographs_that_may_not_be_passed_on_are_said_on_top(
    facts: Make, recipe_only: bool, warned: bool
) -> None:
    about = About(photographs=PhotographsTerms(redistributable=False))
    body = head_and_body(card(facts(about), stored(recipe_only=recipe_only), {}))[1]
    assert ("> **Not to be passed on.**" in body.partition("## ")[0]) == warned
    assert "Not to be passed on" not in card(facts(), stored(), {})


@pytest.mark.parametrize(("lossless", "checked"), [(False, False), (True, True)])
def test_the_card_promises_no_check_that_verify_does_not_make(
    facts: Make, lossless: bool, checked: bool
) -> None:
    body = card(facts(), stored(lossless=lossless), {})
    assert ("checks every promise about pixels" in body) == checked
    assert ("hold for the masters, not for these images" in body) != checked


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (None, []),
        ("owner/name@abc", ["owner/name"]),
        ("a/b@1 c/d@2", ["a/b", "c/d"]),
        ("local:folder@0123", []),
        ("gpt-image-1", []),
    ],
)
def test_repositories_are_read_from_what_rows_say_of_weights(
    model: str | None, found: list[str]
) -> None:
    assert repositories(model) == found


def test_sizes_are_in_the_hubs_words(facts: Make) -> None:
    for limit, name in SIZES:
        cells = facts().cells.set_column(3, "ok", pa.array([limit - 1, 0, 0, 0]))
        assert head_and_body(card(facts(cells=cells), stored(), {}))[0]["size_categories"] == [name]
        above = facts().cells.set_column(3, "ok", pa.array([limit, 0, 0, 0]))
        assert head_and_body(card(facts(cells=above), stored(), {}))[0]["size_categories"] != [name]


def test_the_citation_names_authors_and_the_paper(facts: Make) -> None:
    authors = [
        Author(family="Doe", given="Jane & Jo", orcid="0000-0002-1825-0097", affiliation="Lab"),
        Author(family="The Group"),
    ]
    about = About(title="Cats_1", licence="cc-by-nc-4.0", authors=authors, date=dt.date(2026, 2, 3))
    found = yaml.safe_load(citation_cff(facts(about)))
    assert found["cff-version"] == "1.2.0"
    assert found["type"] == "dataset"
    assert found["date-released"] == dt.date(2026, 2, 3)
    assert found["license"] == "CC-BY-NC-4.0"
    assert found["authors"][0]["orcid"] == "https://orcid.org/0000-0002-1825-0097"
    assert found["authors"][1] == {"name": "The Group"}
    assert found["references"][0]["authors"][2]["family-names"] == "Gandhi"
    entry = bibtex(facts(about))
    assert entry.startswith("@misc{try-out,")
    assert r"author = {Doe, Jane \& Jo and {The Group}}," in entry
    assert r"title = {{Cats\_1}}," in entry
    assert "year = {2026}," in entry


def test_a_licence_that_spdx_does_not_list_is_left_out_of_the_citation(facts: Make) -> None:
    found = yaml.safe_load(citation_cff(facts(About(licence="openrail"))))
    assert "license" not in found


def test_croissant_lists_every_file_with_its_checksum(facts: Make) -> None:
    found = json.loads(croissant_json(facts(About(licence="cc-by-4.0")), FILES))
    objects = [each for each in found["distribution"] if each["@type"] == "cr:FileObject"]
    assert [(one["contentUrl"], one["sha256"], one["contentSize"]) for one in objects] == [
        (file.path, file.sha256, f"{file.size} B") for file in FILES
    ]
    records = {each["name"]: each["field"] for each in found["recordSet"]}
    assert set(records) == {"original", "bg_varied", "manifest"}
    image = next(each for each in records["bg_varied"] if each["name"] == "image")
    assert image["dataType"] == "sc:ImageObject"
    assert all(each["description"] for fields in records.values() for each in fields)


def test_addresses_on_the_hub_are_those_of_the_tagged_files(facts: Make) -> None:
    found = json.loads(croissant_json(facts(About(version="1.2.0")), FILES, "user/name"))
    urls = [each.get("contentUrl") for each in found["distribution"]]
    at = "https://huggingface.co/datasets/user/name"
    assert urls[0] == at
    assert urls[1] == f"{at}/resolve/v1.2.0/data/original/test-00000-of-00001.parquet"


def test_counts_have_a_row_per_class_background_and_subset(facts: Make) -> None:
    rows = list(csv.DictReader(io.StringIO(_counts_csv(facts()))))
    assert len(rows) == 4
    assert rows[1] == {
        "class_id": "1", "class_name": "cat | dog", "background_id": "7", "background": "snow",
        "subset": "bg_varied", "ok": "3", "rejected": "0",
    }  # fmt: skip
    assert rows[0]["background_id"] == ""


def test_about_is_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "about.toml"
    path.write_text(
        'title = "T"\nversion = "2.0.1"\ndate = 2026-11-21\n[[authors]]\nfamily = "Doe"\n'
        '[photographs]\nlicence = "cc0-1.0"\nredistributable = true\n',
        encoding="utf-8",
    )
    found = read_about(path)
    assert found.title == "T"
    assert found.date == dt.date(2026, 11, 21)
    assert found.authors[0].name == "Doe"
    assert found.photographs.redistributable is True
    assert read_about(None) == About()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('titel = "T"', "titel"),
        ('version = "1"', "version"),
        ('date = "yesterday"', "yesterday"),
        ('licence = "see below"', "licence"),
        ("title = ", "not TOML"),
        ('[[authors]]\nfamily = "D"\norcid = "12"', "orcid"),
        ('title = "a\\nb"', "title"),
    ],
)
def test_what_about_says_wrongly_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "about.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=re.escape(says)) as caught:
        read_about(path)
    assert "\n" not in caught.value.line()
    assert "about.toml" in caught.value.line()


def test_an_about_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        read_about(tmp_path / "none.toml")


def test_a_croissant_file_that_is_not_valid_is_refused(facts: Make) -> None:
    twice = [FILES[0], FILES[0]]
    with pytest.raises(ReleaseFolderError, match="mlcroissant refuses it"):
        croissant_json(facts(), twice)

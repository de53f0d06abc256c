"""Everything beside the rows: what a release says of itself, as the files in which it says it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import tomli_w

from covar_gen.core.store import RECIPE, Run
from covar_gen.release import card as cards
from covar_gen.release import citation, croissant, licences, sheet
from covar_gen.release.card import Stored
from covar_gen.release.croissant import Listed
from covar_gen.release.facts import Facts

COUNTS = "counts.csv"


def describe(
    run: Run,
    facts: Facts,
    stored: Stored,
    configs: dict[str, Any],
    files: Sequence[Listed],
    repo: str | None = None,
) -> dict[str, bytes]:
    """The files that describe a release; the same run gives the same bytes.

    Args:
        run: complete.
        facts: counted from it.
        stored: how the release holds its images.
        configs: `configs` and `dataset_info` of the card's head, as `datasets` reads them.
        files: all that hold rows.
        repo: USER/NAME on the Hub, where it is to be published; None: nowhere.

    Returns:
        Content by path inside the release. There is no contact sheet where the images are
        patches: it would show what may not be passed on.

    Raises:
        DamagedRunError: an image for the contact sheet is gone, or not what its row says.
        ReleaseFolderError: the Croissant file is not valid.
    """
    url = f"https://huggingface.co/datasets/{repo}" if repo else None
    recipe = tomli_w.dumps(run.recipe.hashed())
    found = {
        cards.FILE: cards.card(facts, stored, configs, repo),
        citation.FILE: citation.citation_cff(facts, url),
        licences.FILE: licences.licences_md(facts, recipe_only=stored.recipe_only),
        croissant.FILE: croissant.croissant_json(facts, files, repo),
        COUNTS: _counts_csv(facts),
        RECIPE: recipe,
    }
    content = {path: text.encode() for path, text in found.items()}
    if stored.sheet is not None:
        content[stored.sheet] = sheet.contact_sheet(run, facts)
    return content


def _counts_csv(facts: Facts) -> str:
    """Images by class, background and subset."""
    classes = {each.class_id: each.class_name for each in facts.recipe.class_list}
    grounds = {each.background_id: each.description for each in facts.recipe.background_list}
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns = ["class_id", "class_name", "background_id", "background", "subset", "ok", "rejected"]
    writer.writerow(columns)
    for row in facts.cells.to_pylist():
        known, ground = row["class_id"], row["background_id"]
        words = [known, classes.get(known, ""), ground, grounds.get(ground, "")]
        writer.writerow([*words, row["subset"], row["ok"], row["rejected"]])
    return stream.getvalue()

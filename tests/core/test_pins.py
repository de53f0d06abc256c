"""manifests/weights.csv: what is known of every repository of weights, checked for sense."""

from __future__ import annotations

import csv
import re

import pytest

from covar_gen.core.pins import COMMIT, licences, of_plugin, pin, pins, revision_of
from covar_gen.core.plugins import KINDS
from covar_gen.core.shipped import shipped

INPAINTING = "stable-diffusion-v1-5/stable-diffusion-inpainting"


def test_the_file_has_one_row_per_repository() -> None:
    with (shipped("manifests") / "weights.csv").open(encoding="utf-8", newline="") as stream:
        repos = [row["repo"] for row in csv.DictReader(stream)]
    assert len(set(repos)) == len(repos) == len(pins())


@pytest.mark.parametrize("repo", list(pins()))
def test_a_row_is_complete_and_makes_sense(repo: str) -> None:
    known = pins()[repo]
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", repo)
    assert known.revision is None or COMMIT.fullmatch(known.revision)
    assert known.licence
    assert known.source
    assert known.download_gib > 0
    assert known.memory_gib >= 0
    assert known.plugins
    assert {each.partition("/")[0] for each in known.plugins} <= {*KINDS, "agreement"}
    if known.removed:
        # A revision of what is gone cannot be fetched, a mirror can.
        assert known.revision is None
        assert known.mirror is not None
        assert known.mirror != repo
    assert known.mirror not in {each.repo for each in pins().values() if each.removed}


def test_revisions_belong_to_one_repository_each() -> None:
    commits = [known.revision for known in pins().values() if known.revision]
    assert len(set(commits)) == len(commits)


def test_the_first_owners_inpainting_model_leads_to_its_mirror() -> None:
    gone = pin("runwayml/stable-diffusion-inpainting")
    assert gone is not None
    assert (gone.removed, gone.mirror) == (True, INPAINTING)


def test_the_pinned_revision_is_taken_where_none_is_given() -> None:
    commit = "8a4288a76071f7280aedbdb3253bdb9e9d5d84bb"
    assert revision_of(INPAINTING) == revision_of(INPAINTING, "") == commit
    assert revision_of(INPAINTING, "main") == "main"
    assert revision_of("someone/something") is None


def test_a_plugins_repositories_and_their_licences_are_found() -> None:
    found = {known.repo: known for known in of_plugin("viewers", "zero123plus")}
    assert {"sudo-ai/zero123plus-v1.1", "sudo-ai/zero123plus-v1.2"} <= set(found)
    assert licences(found.values()) == "CC-BY-NC-4.0"
    assert of_plugin("viewers", "homography") == []

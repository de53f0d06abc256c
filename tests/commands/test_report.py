"""`covar-gen report` as it is typed: what it writes and says, and errors in one line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Covar = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(writer: ModuleType, tmp_path: Path) -> Path:
    """An evaluation folder of two models, one of which is the paper's."""
    images = [{"label": n % 2, "subset": s} for s in ("crop", "scale") for n in range(6)]
    models = {"ViT-B-16-quickgelu/openai": [0] * 12, "own/model": [1] * 12}
    writer.write_folder(tmp_path / "results", images, models, names=("cat", "dog"))
    return tmp_path / "results"


def test_it_says_what_it_wrote_and_where_the_page_is(folder: Path, covar: Covar) -> None:
    done = covar("report", "results")
    assert done.stdout.splitlines() == [
        "tables: 3, figures: 1, in results",
        "open results/report.html in a browser",
    ]
    assert "published" not in (folder / "report.html").read_text(encoding="utf-8")
    done = covar("report", "results", "--models", "paper", "--compare-paper")
    assert done.stdout.startswith("tables: ")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert 'id="published"' in page
    assert "Not in this report: own/model." in page


def test_what_cannot_be_reported_is_one_line_and_exit_code_2(
    folder: Path, tmp_path: Path, covar: Covar
) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, said in (
        (["empty"], "not an evaluation folder"),
        (["nowhere"], "not an evaluation folder"),
        (["results", "--models", "own/modle"], "'own/modle' was not evaluated here"),
        (["results", "--models", "supplement"], "none of the models 'supplement'"),
    ):
        done = covar("report", *arguments, code=2)
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
    about = folder / "evaluation.json"
    about.write_text(json.dumps(json.loads(about.read_text()))[:-3])
    assert "damaged" in covar("report", "results", code=2).stderr

"""The section about errors on the page: numbers worked by hand, pictures, and what is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from covar_gen.evaluation.report.error_examples import VERDICTS
from covar_gen.evaluation.report.page import make_report
from covar_gen.evaluation.results import Results, open_results

Reader = Callable[[Path], Any]


def test_six_errors_are_counted_drawn_and_told(explained: Results, read_page: Reader) -> None:
    page = make_report(explained)
    found = read_page(page)
    head, row = [[cell.text for cell in line] for line in found.cells("table-error_sources")]
    numbers = {name: text.partition("[")[0] for name, text in zip(head, row, strict=True)}
    sixth, third = "16.7", "33.3"
    # A half of each error with a verdict, of all errors: five of six.
    assert numbers.pop("chance") == "41.7"
    assert numbers == {
        "model": "a/x", "errors": "6", "BG-Er": sixth, "excess": third, "Fine-Er": sixth,
        "other": sixth, "unscored": sixth, "undecided": sixth, "unexplained": sixth,
        # The mean of 5/6, three times 1/6, and 31/61.
        "mass": "36.8",
    }  # fmt: skip
    said = found.by_id("findings").text
    assert "of the errors of a/x, 16.7% (random maps 41.7%), by excess 33.3% (41.7%)." in said
    section = found.by_id("errors").text
    assert "judged by the judge" in section
    cards = [one for one in found.of("li") if one.attributes.get("class") == "example error"]
    assert len(cards) == 6
    assert all(heading in section for heading in VERDICTS.values())
    assert "cat \N{BALLOT X} dog" in cards[0].text
    assert "IoU with the object 0.10, with the background 0.50" in cards[0].text
    assert "83.3% of the mass on the background" in cards[0].text
    assert "no mask" in cards[-1].text
    pictures = [one for one in found.of("img") if one.inside == "errors"]
    assert len(pictures) == 2 * 6
    assert pictures[1].attributes["alt"] == "map of what speaks for dog"
    files = {path.name for path in (explained.root / "figures").iterdir()}
    assert {"error_sources.svg", "error_sources.pdf"} <= files
    assert (explained.root / "tables" / "error_sources.tex").is_file()
    assert len(found.ids()) == len(set(found.ids()))


def test_the_same_errors_give_the_same_bytes(explained: Results) -> None:
    first = make_report(explained).read_bytes()
    assert make_report(open_results(explained.root)).read_bytes() == first


def test_without_images_the_errors_are_told_and_the_page_says_why(
    explained: Results, read_page: Reader
) -> None:
    shutil.rmtree(Path(explained.about["place"]["place"]))
    found = read_page(make_report(explained))
    assert "no longer where they were evaluated from" in found.by_id("errors").text
    assert "image cannot be read" in found.by_id("errors").text
    assert not [one for one in found.of("img") if one.inside == "errors"]
    assert (
        len([one for one in found.of("li") if one.attributes.get("class") == "example error"]) == 6
    )


def test_errors_that_nobody_explained_have_no_section(
    explained: Results, read_page: Reader
) -> None:
    for folder in explained.folder("a/x").glob("errors-*"):
        shutil.rmtree(folder)
    found = read_page(make_report(open_results(explained.root)))
    assert "errors" not in [one.attributes["id"] for one in found.of("section")]
    assert "By overlap" not in found.by_id("findings").text


def test_other_ways_of_explaining_are_in_the_sensitivity_sheet_alone(
    explained: Results, writer: ModuleType, read_page: Reader
) -> None:
    results = writer.write_errors(explained, "a/x", ["background"] * 6, clusters=3)
    found = read_page(make_report(results))
    assert [row[2].text[:4] for row in found.cells("table-error_sources")[1:]] == ["16.7"]
    rows = [[cell.text for cell in row] for row in found.cells("table-error_sensitivity")]
    shares = {(row[0], row[1]): row[2].partition("chance")[0] for row in rows[1:]}
    assert shares["cci: clusters 7", "0.5 of the maximum"] == "16.7"
    assert shares["cci: clusters 3", "0.5 of the maximum"] == "100.0"
    assert "explained in 1 other way too" in found.by_id("errors").text


def test_the_section_is_in_the_pages_own_place_and_its_figures_follow_their_table(
    explained: Results,
) -> None:
    text = make_report(explained).read_text(encoding="utf-8")
    places = [
        text.index(part)
        for part in (
            'id="accuracy"',
            'id="table-error_sources"',
            'id="figure-error_sources"',
            'id="table-error_sensitivity"',
            'id="explained-errors"',
            'id="examples"',
        )
    ]
    assert places == sorted(places)


@pytest.mark.browser
def test_examples_of_errors_fit_into_a_small_window(
    explained: Results, tmp_path: Path, browser: Callable[..., str]
) -> None:
    steps = """
    const wide = document.documentElement.clientWidth;
    document.body.dataset.wide = [...document.querySelectorAll("#errors *")]
      .filter((one) => !one.closest(".table, svg") && one.getBoundingClientRect().right > wide + 1)
      .map((one) => one.tagName + "." + one.className).join(" ");
    const pair = document.querySelector(".pair").children;
    const boxes = [...pair].map((one) => one.getBoundingClientRect());
    document.body.dataset.beside = boxes[0].right <= boxes[1].left && boxes[0].top === boxes[1].top;
    """
    text = make_report(explained).read_text(encoding="utf-8")
    told = tmp_path / "told.html"
    told.write_text(text.replace("</body>", f"<script>{steps}</script></body>"), encoding="utf-8")
    dumped = browser(told, "--window-size=520,900", "--dump-dom")
    assert 'data-wide=""' in dumped
    assert 'data-beside="true"' in dumped

"""The page: what it says, that its numbers are the tables', and how a browser shows it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest

from covar_gen.core.errors import EvaluationFolderError, IncompleteInputError
from covar_gen.evaluation.report.page import ORDER, make_report
from covar_gen.evaluation.results import Results, open_results, part_name

Reader = Callable[[Path], Any]


@pytest.fixture(scope="module")
def page(benchmark: Results) -> Path:
    """The report of three models on a little benchmark, the published numbers with it."""
    return make_report(benchmark, compare_paper=True)


def test_every_section_is_there_and_the_navigation_leads_to_it(
    page: Path, read_page: Reader
) -> None:
    found = read_page(page)
    sections = [one.attributes["id"] for one in found.of("section")]
    # None of the models is in the paper, none of the errors were explained, and there are no tables
    # of which the page knows nothing.
    absent = ("published", "errors", "other")
    assert sections == [key for key, _ in ORDER if key not in absent]
    links = [str(one.attributes["href"]) for one in found.of("a") if "href" in one.attributes]
    assert links == ["#main", *(f"#{key}" for key in sections)]
    assert len(found.ids()) == len(set(found.ids()))
    used = set(re.findall(r'(?:href="#|url\(#|labelledby=")([^")]+)', page.read_text("utf-8")))
    assert used <= set(found.ids())


def test_the_page_needs_nothing_but_itself(page: Path, read_page: Reader) -> None:
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    found = read_page(page)
    for one in found.elements:
        assert one.tag not in ("link", "iframe", "object")
        for name in ("src", "href", "xlink:href"):
            value = one.attributes.get(name) or "#"
            assert value.startswith(("#", "data:image/")), (one.tag, value)
    assert "url(http" not in text
    assert "@import" not in text


def test_numbers_on_the_page_are_those_of_the_tables(
    page: Path, benchmark: Results, read_page: Reader
) -> None:
    table = pq.read_table(benchmark.root / "tables" / "accuracy.parquet").to_pylist()
    expected = {(row["model"], row["subset"]): row for row in table}
    rows = read_page(page).cells("table-accuracy")
    heads = [cell.text for cell in rows[0]]
    assert heads == ["model", *dict.fromkeys(row["subset"] for row in table)]
    assert len(rows) == 1 + 3
    for row in rows[1:]:
        model = row[0].text.removesuffix("toy") if row[0].text.startswith("toy:") else row[0].text
        for head, cell in zip(heads[1:], row[1:], strict=True):
            fact = expected.pop((model, head))
            assert float(cell.attributes["data-value"]) == fact["accuracy"]
            shown = re.fullmatch(r"([\d.]+)(?:\[([\d.]+), ([\d.]+)\])?", cell.text)
            assert shown
            assert shown[1] == f"{fact['accuracy']:.1f}"
            if shown[2]:
                assert shown[2] == f"{fact['accuracy_low']:.1f}"
                assert shown[3] == f"{fact['accuracy_high']:.1f}"
    assert expected == {}


def test_toys_are_called_toys_wherever_they_are_named(page: Path, read_page: Reader) -> None:
    found = read_page(page)
    assert "toy:shortcut" in found.by_id("toys").text
    assert "say nothing about any other model" in found.by_id("toys").text
    for name in ("table-accuracy", "table-models", "table-pairs"):
        said = [cell.text for row in found.cells(name) for cell in row if "shortcut" in cell.text]
        assert said
        assert set(said) == {"toy:shortcuttoy"}


def test_claims_tested_on_other_models_than_the_papers_say_so(
    page: Path, read_page: Reader
) -> None:
    assert "None of the paper's models is in this report" in read_page(page).by_id("claims").text


def test_names_cannot_leave_their_place_in_the_page(page: Path, read_page: Reader) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("<script") == text.count("</script>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    names = [row[0].text for row in read_page(page).cells("table-class_drops_0")]
    assert names[1:] == ["<script>alert(1)</script>", "dog & cat_%$", "owl", "ant"]
    latex = (page.parent / "tables" / "class_drops.tex").read_text(encoding="utf-8")
    assert r"dog \& cat\_\%\$" in latex
    assert r"\textless{}script\textgreater{}alert(1)" in latex


def test_rejected_images_are_counted_by_subset_and_reason(page: Path, read_page: Reader) -> None:
    rows = [[cell.text for cell in row] for row in read_page(page).cells("table-rejected")]
    assert rows == [["subset", "reason", "images"], ["hflip", "unreadable", "1"]]


def test_without_its_images_the_page_says_so(page: Path, read_page: Reader) -> None:
    assert "no longer where they were evaluated from" in read_page(page).by_id("examples").text
    assert not read_page(page).of("img")


def test_the_same_folder_gives_the_same_bytes(benchmark: Results, page: Path) -> None:
    folders = [benchmark.root / name for name in ("tables", "figures")]
    files = [page, *(path for folder in folders for path in folder.iterdir())]
    before = {path: path.read_bytes() for path in files}
    assert len(before) > 30
    for path in files:
        path.unlink()
    make_report(open_results(benchmark.root), compare_paper=True)
    assert {path: path.read_bytes() for path in files} == before


def test_every_figure_says_in_words_what_it_shows(page: Path, read_page: Reader) -> None:
    pictures = [one for one in read_page(page).of("svg") if "role" in one.attributes]
    assert len(pictures) == len(read_page(page).of("figure")) >= 6
    assert all(len(one.attributes["aria-label"]) > 40 for one in pictures)
    for one in read_page(page).of("th"):
        assert one.attributes["scope"] in ("col", "row")


def test_one_model_and_no_subsets_still_make_a_page(
    pictured: Callable[..., Results], read_page: Reader
) -> None:
    results = pictured(["cat", "dog"], {"only/one": [0] * 6 + [1] * 3 + [0] * 3})
    found = read_page(make_report(results))
    sections = [one.attributes["id"] for one in found.of("section")]
    assert sections == ["evaluated", "accuracy", "examples", "files"]
    assert [cell.text[:4] for cell in found.cells("table-accuracy")[1]] == ["only", "75.0"]
    assert "only/one is right on all for 75.0%" in found.by_id("findings").text
    examples = [one for one in found.of("li") if one.attributes.get("class") == "example"]
    assert len(examples) == 3
    assert all("\N{BALLOT X} cat" in one.text for one in examples)
    pictures = found.of("img")
    assert len(pictures) == 3
    assert all(one.attributes["src"].startswith("data:image/jpeg;base64,") for one in pictures)
    assert all(one.attributes["alt"] == "all of dog" for one in pictures)
    assert sorted(path.stem for path in (results.root / "figures").glob("*.svg")) == ["accuracy"]


def test_models_of_the_paper_stand_in_its_order_in_a_small_page(
    writer: ModuleType, tmp_path: Path
) -> None:
    from covar_gen.evaluation.models.zoo import zoo

    images = [one for one in writer.benchmark_images() if one["subset"] in ("crop", "scale")]
    # More than stand in one chart, or have heat maps on the page.
    listed = [entry.name for entry in zoo("paper")][4:11]
    models = {name: writer.guesses(images, 0.5, place) for place, name in enumerate(listed)}
    results = writer.write_folder(tmp_path / "e", images, models)
    page = make_report(results, compare_paper=True, group="paper")
    assert page.stat().st_size < 1_000_000
    text = page.read_text(encoding="utf-8")
    assert 'id="table-compare_paper_differences"' in text
    order = re.findall(r'<th scope="row"><span class="name">(.*?)</span>', text)
    assert [name.replace("<wbr>", "") for name in order[:7]] == listed


def test_a_report_of_some_models_holds_only_these(
    writer: ModuleType, tmp_path: Path, read_page: Reader
) -> None:
    images = writer.benchmark_images(classes=2, photographs=2)
    models = {name: writer.guesses(images, 0.5, n) for n, name in enumerate(("a/x", "b/x", "c/x"))}
    results = writer.write_folder(tmp_path / "e", images, models, names=("cat", "dog"))
    found = read_page(make_report(results, group="c/x, a/x"))
    assert [row[0].text for row in found.cells("table-models")[1:]] == ["c/x", "a/x"]
    assert "Not in this report: b/x." in found.by_id("evaluated").text
    table = pq.read_table(results.root / "tables" / "accuracy.parquet")
    assert set(table["model"].to_pylist()) == {"a/x", "c/x"}
    assert (results.root / "tables" / "pairs.csv").is_file()
    make_report(results, group="a/x")
    assert not (results.root / "tables" / "pairs.csv").exists()


def test_models_that_are_not_there_or_not_complete_are_named(
    writer: ModuleType, tmp_path: Path
) -> None:
    images = [{"label": 0} for _ in range(12)]
    models = {"a/x": [0] * 12, "b/x": [0] * 12}
    results = writer.write_folder(tmp_path / "e", images, models)
    with pytest.raises(EvaluationFolderError, match=r"model 'z/x' was not evaluated.*a/x, b/x"):
        make_report(results, group="z/x")
    with pytest.raises(EvaluationFolderError, match=r"none of the models 'paper'"):
        make_report(results, group="paper")
    (results.folder("b/x") / part_name(5, 10)).unlink()
    results = open_results(results.root)
    with pytest.raises(IncompleteInputError, match="5 of 12"):
        make_report(results, group="b/x")
    text = make_report(results).read_text(encoding="utf-8")
    assert "Not in this report: b/x." in text
    (results.folder("a/x") / part_name(5, 10)).unlink()
    results = open_results(results.root)
    with pytest.raises(IncompleteInputError, match="no model is complete; begun: a/x, b/x"):
        make_report(results)
    shutil.rmtree(results.folder("a/x"))
    shutil.rmtree(results.folder("b/x"))
    results = open_results(results.root)
    with pytest.raises(EvaluationFolderError, match="no model was evaluated"):
        make_report(results)


# --- The page in a browser.


@pytest.mark.browser
def test_a_click_on_a_heading_sorts_its_table_and_a_third_restores_it(
    page: Path, tmp_path: Path, browser: Callable[..., str]
) -> None:
    steps = """
    const said = [];
    const table = document.getElementById("table-accuracy");
    const now = (column) => said.push([
      table.tHead.rows[0].cells[column].getAttribute("aria-sort") ?? "none",
      ...[...table.tBodies[0].rows].map((row) => row.cells[0].textContent),
    ].join(" "));
    const press = (column) => {
      table.tHead.rows[0].cells[column].firstChild.click();
      now(column);
    };
    now(1);
    press(2); press(2); press(2); press(0); press(2);
    document.body.dataset.said = said.join("|");
    document.body.dataset.buttons = document.querySelectorAll("#table-models thead button").length;
    """
    told = tmp_path / "told.html"
    text = page.read_text(encoding="utf-8")
    told.write_text(text.replace("</body>", f"<script>{steps}</script></body>"), encoding="utf-8")
    dumped = browser(told, "--dump-dom")
    said = re.search(r'data-said="([^"]*)"', dumped)
    assert said
    strong, weak, toy = "strong/test", "weak/test", "toy:shortcuttoy"
    assert said[1].split("|") == [
        f"none {toy} {strong} {weak}",
        f"descending {strong} {toy} {weak}",
        f"ascending {weak} {toy} {strong}",
        f"none {toy} {strong} {weak}",
        f"ascending {strong} {toy} {weak}",
        f"descending {strong} {toy} {weak}",
    ]
    assert 'data-buttons="7"' in dumped


def _printed_rows(page: Path, pdf: Path, browser: Callable[..., str]) -> int:
    """Table rows on paper: Chromium's PDF has an element of its structure for each."""
    browser(page, f"--print-to-pdf={pdf}", "--no-pdf-header-footer")
    return len(re.findall(rb"/S\s*/TR\b", pdf.read_bytes()))


@pytest.mark.browser
def test_every_column_of_numbers_is_sorted_by_its_numbers_and_gaps_stand_last(
    page: Path, tmp_path: Path, browser: Callable[..., str]
) -> None:
    steps = """
    const wrong = [];
    const made = [...document.querySelectorAll("#table-accuracy tbody tr")].map((r) => r.cells[1]);
    delete made[0].dataset.value;
    made[1].dataset.value = -2;
    made[2].dataset.value = -1;
    let negative = 0, gaps = 0;
    for (const table of document.querySelectorAll("table")) {
      [...table.tHead.rows[0].cells].forEach((head, column) => {
        if (!head.classList.contains("number") || !head.querySelector("button")) return;
        head.firstChild.click();
        const values = [...table.tBodies[0].rows].map((row) => row.cells[column].dataset.value);
        const known = values.filter((value) => value !== undefined).map(Number);
        negative += known.some((value) => value < 0) && known.some((value) => value > 0);
        gaps += known.length > 0 && known.length < values.length;
        if (known.some((value, n) => n && value > known[n - 1])) wrong.push(table.id + column);
        if (values.indexOf(undefined) !== (known.length < values.length ? known.length : -1))
          wrong.push(table.id + column);
      });
    }
    document.body.dataset.wrong = wrong.join(" ");
    document.body.dataset.seen = `${negative > 0} ${gaps > 0}`;
    """
    told = tmp_path / "told.html"
    text = page.read_text(encoding="utf-8")
    told.write_text(text.replace("</body>", f"<script>{steps}</script></body>"), encoding="utf-8")
    dumped = browser(told, "--dump-dom")
    assert 'data-wrong=""' in dumped
    assert 'data-seen="true true"' in dumped


@pytest.mark.browser
@pytest.mark.parametrize("left_out", ["script", "style", "both"])
def test_on_paper_every_row_of_every_table_is_printed(
    page: Path, tmp_path: Path, browser: Callable[..., str], left_out: str
) -> None:
    text = page.read_text(encoding="utf-8")
    count = len(re.findall("<tr>", text))
    folded = sum(
        len(re.findall("<tr>", one)) for one in re.findall("(?s)<details>.*?</details>", text)
    )
    assert folded > 10
    if left_out in ("script", "both"):
        text = re.sub(r"(?s)<script>.*?</script>", "", text)
    if left_out in ("style", "both"):
        text = text.replace("details::details-content", "nothing")
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    printed = _printed_rows(tmp_path / "page.html", tmp_path / "page.pdf", browser)
    # Either alone opens what is folded; with neither it stays folded, and this test would see it.
    assert printed == (count - folded if left_out == "both" else count)


@pytest.mark.browser
def test_nothing_is_wider_than_a_small_window_but_what_scrolls(
    page: Path, tmp_path: Path, browser: Callable[..., str]
) -> None:
    told = tmp_path / "told.html"
    steps = """
    document.querySelectorAll("details").forEach((one) => { one.open = true; });
    const wide = document.documentElement.clientWidth;
    document.body.dataset.wide = [...document.querySelectorAll("main *, header *")]
      .filter((one) => !one.closest(".table, svg") && one.getBoundingClientRect().right > wide + 1)
      .map((one) => one.tagName + "." + one.className).join(" ");
    document.body.dataset.scrolls = document.documentElement.scrollWidth <= wide;
    """
    text = page.read_text(encoding="utf-8")
    told.write_text(text.replace("</body>", f"<script>{steps}</script></body>"), encoding="utf-8")
    dumped = browser(told, "--window-size=520,900", "--dump-dom")
    assert 'data-wide=""' in dumped
    assert 'data-scrolls="true"' in dumped

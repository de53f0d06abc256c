"""The report of an evaluation: tables, figures, and one page that needs nothing but itself.

Reads:  an evaluation folder, and the images of its examples where they still are
Writes: DIR/tables/, DIR/figures/, DIR/report.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from covar_gen.core.files import Staging
from covar_gen.evaluation.analyses import TABLES
from covar_gen.evaluation.models.zoo import members, zoo
from covar_gen.evaluation.report import examples as showing
from covar_gen.evaluation.report import facts, figures
from covar_gen.evaluation.report.blocks import Block, Laid, Section
from covar_gen.evaluation.report.choosing import Chosen, choose_models
from covar_gen.evaluation.report.class_figures import class_drop_figures
from covar_gen.evaluation.report.drawing import Drawing, style
from covar_gen.evaluation.report.error_examples import (
    RULE,
    VERDICTS,
    ErrorExample,
    error_examples,
)
from covar_gen.evaluation.report.error_figures import error_figures, study_figures
from covar_gen.evaluation.report.error_methods import chosen_methods
from covar_gen.evaluation.report.findings import findings
from covar_gen.evaluation.report.sections import SECTIONS, kind_of, lay_out
from covar_gen.evaluation.report.wording import FILES, INTROS, NOT_THE_PAPERS, ORDER
from covar_gen.evaluation.report.writing import write_figures, write_tables
from covar_gen.evaluation.results import Results

if TYPE_CHECKING:
    from markupsafe import Markup

PAGE = "report.html"
TOY = "toy:"
PUBLISHED = "published"
_HERE = Path(__file__).resolve().parent


def make_report(results: Results, *, compare_paper: bool = False, group: str | None = None) -> Path:
    """Write an evaluation's tables, figures and page.

    The same folder gives the same bytes, the examples as long as their images are there.

    Args:
        results: an evaluation folder with at least one complete model.
        compare_paper: also puts the published numbers beside the measured ones.
        group: names and groups of the zoo, separated by commas: the models that count; None: all
            that are complete.

    Returns:
        The page.

    Raises:
        EvaluationFolderError: none of the models was evaluated.
        IncompleteInputError: a model is not complete.
        MissingExtraError: matplotlib is not installed.
    """
    chosen = choose_models(results, group, members, [entry.name for entry in zoo()])
    with style():
        tables = {
            name: (table.make(chosen), table.title)
            for name, table in TABLES.items()
            if compare_paper or not table.published
        }
        folders = {model: chosen.folder(model).name for model in chosen.models()}
        laid = {name: lay_out(name, table, title) for name, (table, title) in tables.items()}
        drawings = _drawings({name: table for name, (table, _) in tables.items()}, folders)
    page = _page(chosen, results, {n: t for n, (t, _) in tables.items()}, laid, drawings)
    staging = Staging(results.root)
    try:
        kept = {
            name: (table, laid[name].sheet) for name, (table, _) in tables.items() if len(table)
        }
        write_tables(results.root, kept, staging)
        write_figures(results.root, drawings, staging)
        staging.replace(results.root / PAGE, page.encode())
    finally:
        staging.close()
    return results.root / PAGE


def _drawings(tables: Mapping[str, pa.Table], folders: Mapping[str, str]) -> list[Drawing]:
    """Every figure that the tables have numbers for, in the order of the page."""
    models = figures.ranked(tables["accuracy"])
    entries = {entry.name: entry for entry in zoo()}
    families = {name: entry.pretraining for name, entry in entries.items()}
    found: list[Drawing] = []
    for name, table in tables.items():
        kind = kind_of(table)
        if kind == "accuracy":
            found += figures.accuracy_figure(table)
            found += figures.size_figures(table, entries)
        elif kind == "subset_drops":
            found += figures.subset_drop_figure(table, name, models)
        elif kind == "class_drops":
            found += class_drop_figures(table, models, folders, families)
        elif kind == "consistency":
            found += figures.consistency_figure(table, models)
        elif kind == "error_sources":
            found += error_figures(table, name, tables["accuracy"], models, folders)
        elif kind == "cluster_study":
            found += study_figures(table, name, folders)
    return found


def _page(
    chosen: Chosen,
    results: Results,
    tables: Mapping[str, pa.Table],
    laid: Mapping[str, Laid],
    drawings: Sequence[Drawing],
) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: f"{100 * value:.1f}%"
    environment.filters["picture"] = _picture
    environment.filters["breakable"] = _breakable
    models = chosen.models()
    place = str((results.about.get("place") or {}).get("place") or results.root.name)
    return environment.get_template("report.html").render(
        title=Path(place).name or place,
        lead=_lead(chosen),
        toys=[model for model in models if model.startswith(TOY)],
        findings=findings(tables),
        sections=_sections(chosen, results, tables, laid, drawings),
        headings={"missed": "Every model is wrong", "divided": "Models disagree"}
        if len(models) > 1
        else {"missed": "The model is wrong", "divided": ""},
        verdicts=VERDICTS,
        rule=RULE,
        chosen={kind: f"{said} {showing.RULE}" for kind, said in showing.CHOSEN.items()},
        style=Markup((_HERE / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - ours
        script=Markup((_HERE / "report.js").read_text(encoding="utf-8")),  # noqa: S704 - ours
    )


def _lead(chosen: Chosen) -> str:
    models = len(chosen.models())
    said = "1 model" if models == 1 else f"{models} models"
    return f"Zero-shot classification of {chosen.count:,} images by {said}"


def _breakable(text: str) -> Markup:
    """A model's name that is broken after its slash, and not at its hyphens."""
    from markupsafe import Markup

    if "/" not in text or " " in text:
        return Markup("{}").format(text)
    first, _, second = text.partition("/")
    return Markup('<span class="name">{}/<wbr>{}</span>').format(first, second)


def _picture(svg: str, drawing: Drawing) -> Markup:
    """A figure's SVG, which matplotlib has escaped, with what it shows in words."""
    from markupsafe import Markup

    label = Markup('<svg role="img" aria-label="{}" ').format(drawing.alt)
    return label + Markup(svg.removeprefix("<svg "))  # noqa: S704 - texts in it are escaped


def _sections(
    chosen: Chosen,
    results: Results,
    tables: Mapping[str, pa.Table],
    laid: Mapping[str, Laid],
    drawings: Sequence[Drawing],
) -> list[Section]:
    models = chosen.models()
    blocks = _blocks(chosen, tables, laid, drawings)
    errors = _error_examples(chosen, tables)
    about = {"evaluated": facts.what_was_evaluated(chosen) + facts.versions(chosen, models)}
    shown, why = showing.examples(chosen, models)
    left_out = [name for name in results.models(complete=False) if name not in models]
    papers = {entry.name for entry in zoo("paper")}
    said = {
        "evaluated": [f"Not in this report: {', '.join(left_out)}."] if left_out else [],
        "claims": [NOT_THE_PAPERS] if "claims" in blocks and not papers & set(models) else [],
        "examples": [why] if why else [],
        "errors": errors[1],
        "files": FILES,
    }
    found = []
    for key, title in ORDER:
        mine = tuple(shown) if key == "examples" else ()
        if key in blocks or said.get(key) or mine:
            intro = (*INTROS.get(key, ()), *said.get(key, ()))
            # What is shown comes before what is folded.
            parts = tuple(sorted(blocks.get(key, ()), key=lambda block: block.folded))
            drawn = tuple(errors[0]) if key == "errors" else ()
            found.append(Section(key, title, intro, about.get(key, ()), parts, mine, drawn))
    return found


def _error_examples(
    chosen: Chosen, tables: Mapping[str, pa.Table]
) -> tuple[list[ErrorExample], list[str]]:
    """Errors with their maps, of the explanations that the tables show."""
    table = next((one for one in tables.values() if kind_of(one) == "error_sources"), None)
    if table is None or not len(table):
        return [], []
    return error_examples(chosen, chosen_methods(table.to_pylist()))


def _figure(drawing: Drawing) -> Block:
    return Block(f"figure-{drawing.name}", drawing=drawing, folded=drawing.folded)


def _blocks(
    chosen: Chosen,
    tables: Mapping[str, pa.Table],
    laid: Mapping[str, Laid],
    drawings: Sequence[Drawing],
) -> dict[str, list[Block]]:
    """Tables and figures by the section that they belong to."""
    blocks: dict[str, list[Block]] = {}
    for name, table in tables.items():
        if len(table):
            kind = kind_of(table)
            mine = blocks.setdefault(SECTIONS.get(kind, kind), [])
            mine += laid[name].blocks
            mine += [_figure(one) for one in drawings if one.shown and one.beside == name]
    for one in drawings:
        if one.shown and not one.beside:
            blocks.setdefault(one.section, []).append(_figure(one))
    models = chosen.models()
    blocks["evaluated"] = [Block("models", sheet=facts.models_sheet(chosen, models))]
    rejected = facts.rejected_sheet(chosen, models)
    if rejected is not None:
        blocks["rejected"] = [Block("rejected", sheet=rejected)]
    return blocks

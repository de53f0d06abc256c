"""The card of a release: README.md, whose head `datasets` reads and whose body people read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from covar_gen.core.pins import pin
from covar_gen.core.prompts import load_prompt
from covar_gen.release.citation import bibtex
from covar_gen.release.facts import Facts, columns_of, counted, repositories, shown_words
from covar_gen.release.licences import (
    FILE as LICENCES,
)
from covar_gen.release.licences import (
    UNSTATED,
    identifier,
    non_commercial,
    photographs,
    unknown,
)

FILE = "README.md"
TEMPLATE = Path(__file__).with_name("card.md.jinja")

TAGS = ("benchmark", "robustness", "clip", "zero-shot-image-classification", "covar-gen")

WHAT = {
    "original": "the photographs, resized",
    "bg_varied": "the object before each background",
    "scale": "the object made smaller, its surroundings painted",
    "viewpoint": "the object from other camera positions",
    "hflip": "mirrored left to right",
    "vflip": "mirrored top to bottom",
    "translate": "shifted, the uncovered border painted",
    "crop": "a part, brought to full size",
    "rotation": "rotated, the uncovered border painted",
}
"""What a subset varies; a user's own variant is called by its name alone."""

SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))
LARGEST = "1M<n<10M"


@dataclass(frozen=True)
class Stored:
    """How a release holds its images.

    Attributes:
        images: in words, such as "JPEG of quality 95".
        lossless: True if the stored images have the masters' pixels.
        masks: masks in it.
        schema: columns of the subsets, with their meanings.
        recipe_only: True if its images are patches.
        sheet: path of the contact sheet inside it; None without one.
    """

    images: str
    lossless: bool
    masks: int
    schema: pa.Schema
    recipe_only: bool = False
    sheet: str | None = None


def card(facts: Facts, stored: Stored, configs: dict[str, Any], repo: str | None = None) -> str:
    """The whole of README.md.

    Args:
        facts: of the release.
        stored: how it holds its images.
        configs: `configs` and `dataset_info` of the head, as `datasets` reads them.
        repo: USER/NAME on the Hub; None: not published.
    """
    import yaml

    head = {**_head(facts), **configs}
    text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{text}---\n{_body(facts, stored, repo)}"


def _head(facts: Facts) -> dict[str, Any]:
    about = facts.about
    found: dict[str, Any] = {"pretty_name": facts.title, "license": identifier(facts)}
    if identifier(facts) == "other":
        found["license_name"] = "see-licenses"
        found["license_link"] = about.licence_url or LICENCES
    sizes = (name for limit, name in SIZES if facts.images < limit)
    return {
        **found,
        "language": ["en"],
        "task_categories": ["zero-shot-image-classification", "image-classification"],
        "tags": [*TAGS],
        "size_categories": [next(sizes, LARGEST)],
    }


def _body(facts: Facts, stored: Stored, repo: str | None) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(  # noqa: S701 - Markdown, whose special characters `cell` escapes
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["cell"] = _cell
    environment.filters["of"] = counted
    environment.filters["py"] = lambda text: str(text).replace("\\", "\\\\").replace('"', '\\"')
    recipe = facts.recipe
    subsets = facts.subsets()
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=facts.title,
        summary=facts.about.summary or _summary(facts),
        sheet=stored.sheet,
        warnings=_warnings(facts, stored),
        images=facts.images,
        rows=sum(ok + rejected for _, (ok, rejected) in subsets),
        masks=stored.masks,
        photographs=facts.photographs,
        classes=[{"name": each.class_name} for each in recipe.class_list],
        backgrounds=recipe.background_list,
        subsets=[
            {"name": name, "what": WHAT.get(name, name), "images": ok, "rejected": rejected}
            for name, (ok, rejected) in subsets
        ],
        name=repo or "DIR",
        example=next((name for name, (ok, _) in reversed(subsets) if ok), "all"),
        recipe_only=stored.recipe_only,
        lossless=stored.lossless,
        seed=recipe.seed,
        tools=_tools(facts),
        prompt=_prompt(facts),
        stored=stored.images,
        balance=_balance(facts),
        reasons=facts.reasons,
        columns=_columns(stored.schema),
        licence=_licence(facts),
        photographs_terms=photographs(facts),
        limits=_limits(facts, stored),
        bibtex=bibtex(facts, repo and f"https://huggingface.co/datasets/{repo}"),
        contact=facts.about.contact,
        **_counts(facts),
    )
    return str(text)


def _summary(facts: Facts) -> str:
    varied = [name for name, _ in facts.subsets() if name not in {"original", "bg_varied"}]
    then = f", then varied by {', '.join(varied)}" if varied else ""
    before = " placed before other backgrounds" if facts.recipe.background_list else ""
    return (
        f"Controlled variations of photographs: objects{before}{then}, each image with its whole"
        " provenance. Made to find out what vision-language models look at."
    )


def _warnings(facts: Facts, stored: Stored) -> list[dict[str, str]]:
    found = []
    if facts.about.photographs.redistributable is False and not stored.recipe_only:
        text = "It holds photographs whose owners do not allow that they are passed on."
        found.append({"title": "Not to be passed on.", "text": text})
    forbidden = non_commercial(facts)
    if forbidden:
        names = ", ".join(forbidden)
        text = f"The licence of the weights that made part of it ({names}) forbids commercial use."
        found.append({"title": "Not for commercial use.", "text": text})
    if facts.about.licence is None:
        text = f"Its makers have not said under which licence it may be used; see `{LICENCES}`."
        found.append({"title": "No licence stated.", "text": text})
    return found


def _tools(facts: Facts) -> list[dict[str, Any]]:
    rows = []
    for tool in facts.tools:
        known = [pin(repo) for repo in repositories(tool.model)]
        names = [each.licence if each else "not known" for each in known]
        licence = "; ".join(dict.fromkeys(names)) or ("not known" if tool.model else "none needed")
        about = {"table": tool.table, "plugin": tool.plugin, "model": tool.model}
        rows.append({**about, "rows": tool.rows, "licence": licence})
    return rows


def _prompt(facts: Facts) -> str | None:
    """The recipe's instruction, where the editor reads it."""
    section = facts.recipe.backgrounds if facts.instructed else None
    return (section.prompt or load_prompt("background_edit").user) if section else None


def _balance(facts: Facts) -> str:
    """Whether each class has as many images before each background, subset by subset."""
    told = []
    for name, _ in facts.subsets():
        cells = facts.cells.filter(pc.equal(facts.cells["subset"], name))
        counts = set(cells["ok"].to_pylist())
        if len(counts) == 1:
            told.append(f"{counts.pop()} in `{name}`")
        else:
            told.append(f"{min(counts)} to {max(counts)} in `{name}`")
    return (
        "Images of each class before each background (originals: of each class): "
        + ", ".join(told) + "."
    )  # fmt: skip


def _counts(facts: Facts) -> dict[str, Any]:
    by_class, by_background = facts.by("class_id"), facts.by("background_id")
    names = {each.class_id: each.class_name for each in facts.recipe.class_list}
    texts = {each.background_id: each.description for each in facts.recipe.background_list}
    return {
        "class_columns": columns_of(list(by_class.values())),
        "class_rows": _rows(by_class, names),
        "background_columns": columns_of(list(by_background.values())),
        "background_rows": _rows(by_background, texts),
    }


def _rows(counts: dict[int, dict[str, int]], names: dict[int, str]) -> list[dict[str, Any]]:
    columns = columns_of(list(counts.values()))
    return [
        {"name": names.get(number, str(number)), "counts": [row.get(name, 0) for name in columns]}
        for number, row in counts.items()
    ]


def _columns(schema: pa.Schema) -> list[dict[str, str]]:
    return [
        {
            "name": field.name,
            "type": "image" if pa.types.is_struct(field.type) else str(field.type),
            "meaning": (field.metadata or {}).get(b"meaning", b"").decode(),
        }
        for field in schema
    ]


def _licence(facts: Facts) -> str:
    stated = facts.about.licence
    return f"This release: {stated}." if stated else f"The licence of this release is {UNSTATED}."


def _limits(facts: Facts, stored: Stored) -> list[str]:
    """What whoever uses it has to know, as far as it can be told from the rows."""
    unseen = "Nobody has looked at every image. What a model painted may hold a second object of"
    found = [f"{unseen} the class, or none."]
    made = dict(facts.subsets())
    loose = [f"`{name}` ({count} of {made[name][0]})" for name, count in facts.drawn.items()]
    if loose:
        where = ", ".join(loose)
        text = "no pixels are promised to be the parent's: the tool drew the whole image again"
        shown = "; their patches are whole pictures, and show what it took over from the photograph"
        more = shown if stored.recipe_only else ""
        found.append(f"In {where} {text} (`known_pixel_max_diff` is null){more}.")
    found += [shown_words(name, shown) for name, shown in facts.shown.items()]
    rejected = sum(count for _, _, count in facts.reasons)
    if rejected:
        were = "was" if rejected == 1 else "were"
        found.append(
            f"{counted(rejected, 'image')} {were} rejected: not every photograph has every variant;"
            " compare variants on the photographs that have them all."
        )
    if not stored.lossless:
        found.append(
            f"Images are stored as {stored.images}: their pixels differ from the masters' by what"
            " that costs, and accuracies may differ from those on the masters in the last digits."
        )
    strange = unknown(facts)
    if strange:
        found.append(f"The licence of {', '.join(strange)} is not known to the toolkit.")
    if facts.about.photographs.redistributable is None:
        found.append("Whether the photographs may be passed on was not stated.")
    return found


def _cell(text: object) -> str:
    """Text that stays inside its cell of a table, and is not taken for markup."""
    flat = " ".join(str(text).split())
    for special in "\\|<>*_`[]":
        flat = flat.replace(special, f"\\{special}")
    return flat

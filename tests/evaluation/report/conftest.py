"""Evaluations of images that exist, reports of them, and a page as a browser shows it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from covar_gen.evaluation.results import ABOUT, Results, open_results


class Element:
    """One element of a page with all the text in it."""

    def __init__(self, tag: str, attributes: dict[str, str | None], inside: str) -> None:
        self.tag, self.attributes, self.inside, self.text = tag, attributes, inside, ""


class Page(HTMLParser):
    """A page's elements in order, and its tables as texts."""

    VOID = ("meta", "img", "br", "wbr", "path", "use", "link", "input", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.open: list[Element] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        section = next((e.inside for e in reversed(self.open) if e.inside), "")
        found = dict(attrs)
        inside = str(found.get("id")) if tag in ("section", "table") else section
        self.elements.append(Element(tag, found, inside))
        if tag not in self.VOID:
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag: str) -> None:
        for place in range(len(self.open) - 1, -1, -1):
            if self.open[place].tag == tag:
                del self.open[place:]
                break

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def of(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]

    def by_id(self, name: str) -> Element:
        return next(one for one in self.elements if one.attributes.get("id") == name)

    def ids(self) -> list[str]:
        return [str(one.attributes["id"]) for one in self.elements if "id" in one.attributes]

    def cells(self, table: str) -> list[list[Element]]:
        """The cells of a table, row by row, its head first."""
        rows: list[list[Element]] = []
        for one in self.elements:
            if one.inside == table and one.tag == "tr":
                rows.append([])
            elif one.inside == table and one.tag in ("th", "td"):
                rows[-1].append(one)
        return rows


@pytest.fixture(scope="session")
def read_page() -> Callable[[Path], Page]:
    return lambda path: Page(path.read_text(encoding="utf-8"))


@pytest.fixture
def pictured(writer: ModuleType, tmp_path: Path) -> Callable[..., Results]:
    """An evaluation of images that lie in class folders: `pictured(names, {model: answers})`.

    Six images of each class in a folder of its name, as `open_data` finds them; without subsets.
    Each image is of one colour.
    """
    from covar_gen.evaluation.data import open_data

    def write(names: Sequence[str], models: Mapping[str, Any]) -> Results:
        root = tmp_path / "photographs"
        rng = np.random.default_rng(2)
        for name in names:
            (root / name).mkdir(parents=True)
            for number in range(6):
                colour = tuple(rng.integers(0, 256, 3).tolist())
                Image.new("RGB", (32, 24), colour).save(root / name / f"{number}.png")
        data = open_data(str(root))
        listed = [label.name for label in data.labels]
        rows = data.rows.select(["key", "label", "subset", "source", "origin"]).to_pylist()
        results = writer.write_folder(tmp_path / "evaluation", rows, models, names=listed)
        about = json.loads((results.root / ABOUT).read_text())
        about |= {"data": data.identity, "place": {"place": str(root)}}
        (results.root / ABOUT).write_text(json.dumps(about))
        return open_results(results.root)

    return write


@pytest.fixture(scope="session")
def benchmark(writer: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A little benchmark of four classes and three models, one of them a toy."""
    images = writer.benchmark_images()
    models = {
        "strong/test": writer.guesses(images, 0.9, 1),
        "weak/test": writer.guesses(images, 0.4, 2),
        "toy:shortcut": writer.guesses(images, 0.6, 3),
    }
    models["weak/test"][3] = models["strong/test"][3] = models["toy:shortcut"][3] = None
    root = tmp_path_factory.mktemp("report") / "benchmark"
    names = ("<script>alert(1)</script>", "dog & cat_%$", "owl", "ant")
    return writer.write_folder(root, images, models, names=names, block=16)


@pytest.fixture
def explained(pictured: Callable[..., Results], writer: ModuleType) -> Results:
    """Six errors of `a/x` on 18 images of cats, dogs and owls, explained one way each.

    Cats taken for dogs: by the background; by the object, and the two look alike. A cat taken for
    an owl: by the object, and they do not. Dogs taken for owls: by the object, and nobody judged
    the two; by neither; without a mask. Every map is largest on the lower right.
    """
    from covar_gen.evaluation.explained import JUDGED
    from covar_gen.evaluation.judgements import SCHEMA
    from covar_gen.evaluation.preprocessing import Grid
    from covar_gen.evaluation.results import MADE_WITH

    answers = [1, 1, 2, 0, 0, 0, 2, 2, 2, 1, 1, 1, *[2] * 6]
    results = pictured(["cat", "dog", "owl"], {"a/x": answers})
    made = results.folder("a/x") / MADE_WITH
    about = json.loads(made.read_text())
    about["model"]["preprocessing"] = Grid(16, 16, "shortest", 16)._asdict()
    made.write_text(json.dumps(about))
    said = [(0, 1, True, "the judge"), (0, 2, False, "the judge"), (1, 2, None, "the judge")]
    keys = ("truth", "predicted", "similar", "judge")
    judged = [dict(zip(keys, row, strict=True)) for row in said]
    pq.write_table(pa.Table.from_pylist(judged, schema=SCHEMA), results.root / JUDGED)
    driven = ["background", "object", "object", "object", "neither", None]
    results = writer.write_errors(results, "a/x", driven)
    (part,) = results.folder("a/x").glob("errors-cci/*.parquet")
    rows = pq.read_table(part)
    maps = {"map": [[0.0, 0.0, 0.0, 1.0]] * 6, "map_height": [2] * 6, "map_width": [2] * 6}
    for name, values in maps.items():
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(name), pa.array(values, rows[name].type))
    pq.write_table(rows, part)
    return results

"""The Python interface in words: signatures and docstrings of what others may build on.

For docs/generate.py. What is named in `PARTS` is meant to stay; all else may change between
versions.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import covar_gen
from covar_gen.core import plugins

TEXT = """\
What the command line does is done by functions, and these may be called from Python. The names on
this page, and those on [metrics](metrics.md), are meant to stay; everything else of the package may
change from one version to the next. Shapes are written (B, H, W, 3): B images of H rows and W
columns. Every error that you can mend is a [CovarError](../errors.md)."""

METRICS_TEXT = """\
Numbers on arrays, without models, images or files: numpy and scipy are all they need. They are what
the report's tables are computed with."""

WIDTH = 88
"""Columns of a block of the page that need no scrolling."""
SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises")


class Part(NamedTuple):
    """One heading of the page.

    Attributes:
        title: the heading.
        text: what stands below it.
        names: what is described, as `module:name`.
    """

    title: str
    text: str
    names: tuple[str, ...]


BASES = {
    "sources": ("Source", "Photograph"),
    "segmenters": ("Segmenter", "SegmentRequest", "Segmentation"),
    "editors": ("Editor", "EditRequest", "Edit"),
    "inpainters": ("Inpainter", "FillRequest", "Filled", "OutpaintRequest"),
    "viewers": ("Viewer", "ViewRequest", "View", "Pose"),
    "variants": ("Variant", "Varied", "warped"),
    "methods": ("Method", "Explanation"),
    "judges": ("Judge", "ClassPair", "Verdict"),
}
"""The public names of each kind's base.py."""

PARTS = (
    Part(
        "Runs",
        "Making a run, asking how far it is, and reading what it holds.",
        (
            "covar_gen.commands.run:init",
            "covar_gen.commands.run:run_all",
            "covar_gen.core.store:open_run",
            "covar_gen.core.store:Run",
            "covar_gen.commands.status:status",
            "covar_gen.commands.verify:verify",
            "covar_gen.commands.gallery:make_gallery",
            "covar_gen.commands.masks:segment",
        ),
    ),
    Part(
        "Rows",
        "Columns of tables and of the manifest are pyarrow schemas with their meanings: "
        "`covar_gen.core.rows.MANIFEST`, and `TABLES` by the table's name ([all](manifest.md)).",
        ("covar_gen.core.rows:mask_table", "covar_gen.core.rows:to_batch"),
    ),
    Part(
        "Models",
        "One interface over open_clip's and transformers' models ([how](../how-to/own-model.md)).",
        (
            "covar_gen.evaluation.models:load_model",
            "covar_gen.evaluation.models:wrap",
            "covar_gen.evaluation.models:Model",
            "covar_gen.evaluation.models:zoo",
            "covar_gen.evaluation.models:ZooEntry",
            "covar_gen.evaluation.models:expand",
        ),
    ),
    Part(
        "Evaluations",
        "Classifying every image with every model, and reading what was stored.",
        (
            "covar_gen.evaluation.data:open_data",
            "covar_gen.evaluation.preparing:Place",
            "covar_gen.evaluation.zero_shot:evaluate",
            "covar_gen.evaluation.results:open_results",
            "covar_gen.evaluation.results:Results",
            "covar_gen.evaluation.results:Predictions",
            "covar_gen.evaluation.results:Classes",
            "covar_gen.evaluation.error_sources:error_sources",
            "covar_gen.commands.report:report",
        ),
    ),
    Part(
        "Attribution",
        "Which patches of an image a model's answer hangs on.",
        (
            "covar_gen.evaluation.attribution:get_method",
            "covar_gen.evaluation.attribution:Method",
            "covar_gen.evaluation.attribution:Explanation",
            "covar_gen.evaluation.attribution:pixel_map",
            "covar_gen.evaluation.attribution:seen",
        ),
    ),
    Part(
        "Plugins",
        "What every tool has, and how one is found by its name.",
        (
            "covar_gen.core.plugins:Plugin",
            "covar_gen.core.plugins:names",
            "covar_gen.core.plugins:find",
            "covar_gen.core.plugins:make",
        ),
    ),
    Part(
        "Errors",
        "What every error of the toolkit has.",
        ("covar_gen.core.errors:CovarError",),
    ),
)


def page() -> str:
    """The page docs/reference/python.md, without its mark."""
    lines = ["# Python", TEXT]
    described: set[str] = set()
    for part in (*PARTS, *_plugin_parts(described)):
        lines += [f"## {part.title}", part.text]
        for name in part.names:
            described.add(name.partition(":")[2])
            lines += _described(name)
    return "\n\n".join(lines)


def metrics_page() -> str:
    """The page docs/reference/metrics.md, without its mark."""
    lines = ["# Metrics", METRICS_TEXT]
    folder = Path(covar_gen.__file__).parent / "evaluation" / "metrics"
    for path in sorted(folder.glob("[a-z]*.py")):
        module = f"covar_gen.evaluation.metrics.{path.stem}"
        lines += [f"## {path.stem}", _prose(inspect.getdoc(importlib.import_module(module)) or "")]
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef)
            if public and not node.name.startswith("_"):
                lines += _described(f"{module}:{node.name}")
    return "\n\n".join(lines)


def _plugin_parts(described: set[str]) -> Iterator[Part]:
    for kind, names in BASES.items():
        module = f"{plugins.KINDS[kind].package}.base"
        text = f"What one of the [{kind}](plugins.md#{kind}) is; `{module}`."
        new = tuple(f"{module}:{name}" for name in names if name not in described)
        if new:
            yield Part(f"A plugin: {kind}", text, new)


def _described(name: str) -> Iterator[str]:
    """Heading, signature and docstring of a function, or of a class and its public methods."""
    module, _, attribute = name.partition(":")
    thing = getattr(importlib.import_module(module), attribute)
    yield f"### {attribute}"
    yield _code(f"from {module} import {attribute}\n\n{_signature(attribute, thing)}")
    yield from _said(thing)
    if inspect.isclass(thing):
        for method, member in thing.__dict__.items():
            found = member.fget if isinstance(member, property) else member
            found = getattr(found, "__func__", found)
            if method.startswith("_") or not inspect.isfunction(found):
                continue
            yield f"#### {attribute}.{method}"
            if not isinstance(member, property):
                yield _code(_signature(method, found))
            yield from _said(found)


def _said(thing: Any) -> Iterator[str]:
    """A docstring of Google's form as paragraphs and tables."""
    text = inspect.getdoc(thing) or ""
    parts = re.split(rf"^({'|'.join(SECTIONS)}):\n", text, flags=re.MULTILINE)
    yield _prose(parts[0].strip())
    for section, body in zip(parts[1::2], parts[2::2], strict=True):
        inner = textwrap.dedent(body).strip()
        if section in ("Returns", "Yields"):
            yield f"**{section}** {_prose(inner)}"
            continue
        heads = {"Args": "argument", "Attributes": "attribute", "Raises": "error"}
        yield "\n".join(
            [
                f"| {heads[section]} | meaning |",
                "|---|---|",
                *(f"| `{name}` | {_cell(meaning)} |" for name, meaning in _entries(inner)),
            ]
        )


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """`name: meaning`, with the lines below that are indented further."""
    for entry in re.split(r"\n(?=\S)", text):
        name, _, meaning = " ".join(entry.split()).partition(": ")
        yield name, meaning


def _cell(text: str) -> str:
    return _prose(text).replace("|", r"\|")


def _prose(text: str) -> str:
    """Text with what Markdown would take for its own signs left as it is."""
    parts = text.split("`")
    plain = [re.sub(r"([\\<\[])", r"\\\1", part) for part in parts]
    return "`".join(parts[i] if i % 2 else plain[i] for i in range(len(parts)))


def _signature(name: str, thing: Any) -> str:
    """As it would be typed; each argument on a line of its own where one line is too long."""
    if inspect.isclass(thing):
        name = f"class {name}"
        if hasattr(thing, "_fields"):
            return f"{name}(NamedTuple)"
        if "__init__" not in thing.__dict__:
            bases = [base.__name__ for base in thing.__bases__ if base is not object]
            return f"{name}({', '.join(bases)})" if bases else name
    signature = inspect.signature(thing)
    given = list(_arguments(signature))
    plain = inspect.isclass(thing) or signature.return_annotation is signature.empty
    end = "" if plain else f" -> {_type(signature.return_annotation)}"
    line = f"{name}({', '.join(given)}){end}"
    if len(line) > WIDTH:
        line = f"{name}(\n" + "".join(f"    {each},\n" for each in given) + f"){end}"
    return line


def _arguments(signature: inspect.Signature) -> Iterator[str]:
    starred = False
    for each in signature.parameters.values():
        if each.name in ("self", "cls"):
            continue
        if each.kind is each.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        stars = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        starred = starred or stars == "*"
        kind = "" if each.annotation is each.empty else f": {_type(each.annotation)}"
        shown = repr(each.default)
        if shown.startswith("<"):
            shown = "..."  # a function, or a new dictionary: Python has no shorter word for it
        default = "" if each.default is each.empty else f" = {shown}"
        yield f"{stars}{each.name}{kind}{default}"


def _type(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _code(text: str) -> str:
    # `py`, not `python`: signatures are coloured as code and are no code to run.
    return f"```py\n{text}\n```"

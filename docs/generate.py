"""Write docs/reference/ from the code, or check that it is current.

Run:    python docs/generate.py            (what `make docs` does)
Check:  python docs/generate.py --check    exits with 1 and names the pages that would change

Nothing in the pages depends on the machine: help is set 100 columns wide without colours, tables
stand in the order of the code, and plugins in the order of their names.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import covar_gen
from covar_gen.commands.resolve import TOOLS
from covar_gen.core import plugins, recipe, rows
from covar_gen.core.agreement import Agreement
from covar_gen.core.flow import MANIFEST as LAST
from covar_gen.core.flow import STEPS
from covar_gen.core.pins import pins
from covar_gen.core.proposals import Proposal

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # the scripts beside this one, which is loaded by tests as well
import api_page  # noqa: E402 - see above
import messages_page  # noqa: E402 - see above

REFERENCE = HERE / "reference"
MARK = "<!-- Written by docs/generate.py (make docs): change the code, not this page. -->"
WIDTH = 100

COMMANDS_TEXT = """\
Exit codes: 0; 2 for what you can mend, said in one line that begins with the error's name
([errors](../errors.md)); 1 for a bug. Values of `--set` are TOML where they are TOML, text
otherwise: `--set seed=3`, `--set classes.path=photos`, `--set 'scale.factors=[2, 8]'`."""

STAGES_TEXT = """\
Each stage is also a program of its own: `python -m covar_gen.stage_masks --run RUN`, or with
`accelerate launch` ([many processes](../how-to/many-processes.md)). All take `--run RUN`, the run
folder, and `--limit N`, only the first N photographs, evenly over the classes (`stage_classes`
always takes what the recipe asks for). `stage_masks` also takes `--of sources`, `--of backgrounds`
or `--of viewpoints`."""

MANIFEST_TEXT = """\
`manifest.parquet` has one row per image, made or rejected, sorted by key. A column that does not
apply is null. Angles are in degrees, positive counter-clockwise as seen; shifts are positive right
and down; pixel centres lie at integers. The meanings below are in the file too:
`pyarrow.parquet.read_schema("manifest.parquet").field("key").metadata`."""

METADATA_TEXT = """\
`metadata.parquet` holds the rows that are `ok`, with `image` and `mask` renamed to `file_name` and
`mask_file_name`, as `load_dataset("imagefolder", data_dir=RUN)` wants them."""

TABLES_TEXT = """\
`tables/<name>/` holds the rows of each stage. Their columns are those above; the tables below have
some of their own."""

RECIPES_TEXT = """\
A recipe is a TOML file. Unknown keys and values of the wrong type are refused, with the known ones
named. A stage whose section is left out is not run. Paths are relative to the recipe's folder."""

CLASS_ENTRIES_TEXT = """\
Columns of the CSV, or keys of the list's entries; other columns of a CSV are passed over.
`class_id` is counted from 1 where a CSV has no such column."""

BACKGROUND_ENTRIES_TEXT = """\
Columns of the CSV, or keys of the list's entries. `background_id` is counted from 1 where a CSV
has no such column."""

OPTIONS_TEXT = """\
`[<section>.options.<plugin>]` holds a plugin's own options: [plugins](plugins.md) lists them."""

PLUGINS_TEXT = """\
A plugin is a file of its kind's folder; its name is the file's name. Options stand in the recipe
under `[<section>.options.<plugin>]`; those of methods and judges, which no recipe names, are passed
where they are used. The version is part of what a table is made with: it is raised whenever the
same input would give other results."""

WEIGHTS_TEXT = """\
Repositories of the Hugging Face Hub that plugins load, from `manifests/weights.csv`. Options that
name weights take any other repository or folder of the same kind as well. Where a recipe names a
repository without a revision, the commit below is what is fetched; where there is none, the main
branch as it is on the day. `owner/name@REVISION` takes another one.

Memory is that of the device with one image at a time; batches take more, and are halved where they
do not fit. What is not measured is an **estimate**; the last column says which. Licences are those
that the publishers state: read them before you publish images or use them commercially."""

NAMED_BY = {(section, key): kind for section, key, kind, _ in TOOLS} | {
    ("geometry", "variants"): "variants"
}
"""Kind of plugin that a key of a section names."""


def pages() -> dict[Path, str]:
    """Every generated page and its text."""
    made = {
        "cli.md": _cli(),
        "manifest.md": _manifest(),
        "recipe.md": _recipe(),
        "plugins.md": _plugins(),
        "weights.md": _weights(),
        "python.md": api_page.page(),
        "metrics.md": api_page.metrics_page(),
        "messages.md": messages_page.page(),
    }
    return {REFERENCE / name: f"{MARK}\n\n{text.strip()}\n" for name, text in made.items()}


def stale() -> list[Path]:
    """Pages that are missing or that would change."""
    return [
        path
        for path, text in pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str]) -> int:
    """Write the pages; with --check only compare them.

    Returns:
        0; 1 if a page would change.
    """
    if "--check" in arguments:
        found = stale()
        for path in found:
            print(f"{path}: not what the code says. Type: make docs", file=sys.stderr)
        return 1 if found else 0
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    return 0


# The command line.


def _cli() -> str:
    from typer.main import get_command

    from covar_gen.cli import app

    parts = [
        "# Commands",
        COMMANDS_TEXT,
        "## covar-gen",
        _block(_help([])),
    ]
    commands: dict[str, Any] = getattr(get_command(app), "commands")  # noqa: B009 - a group
    for name in commands:
        parts += [f"## covar-gen {name}", _block(_help([name]))]
    parts += [
        "## The stages",
        STAGES_TEXT,
    ]
    modules = dict.fromkeys(step.module for step in (*STEPS, LAST))
    parts += [f"### {module}\n\n{_block(_docstring(module))}" for module in modules]
    return "\n\n".join(parts)


def _help(command: list[str]) -> str:
    from typer.testing import CliRunner

    from covar_gen.cli import app

    environment = {"COLUMNS": str(WIDTH), "NO_COLOR": "1", "TERM": "dumb"}
    done = CliRunner(env=environment).invoke(
        app,
        [*command, "--help"],
        prog_name="covar-gen",
        terminal_width=WIDTH,
        max_content_width=WIDTH,
    )
    if done.exit_code:
        msg = f"covar-gen {' '.join(command)} --help ends with {done.exit_code}: {done.output}"
        raise RuntimeError(msg)
    return "\n".join(line.rstrip() for line in done.output.strip().splitlines())


def _docstring(module: str) -> str:
    path = Path(covar_gen.__file__).parent / f"{module}.py"
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def _block(text: str) -> str:
    return f"```text\n{text}\n```"


# Columns.


def _manifest() -> str:
    shared = set(rows.MANIFEST.names)
    parts = [
        "# The manifest",
        MANIFEST_TEXT,
        _columns(rows.MANIFEST),
        METADATA_TEXT,
        "## The tables of a run",
        TABLES_TEXT,
    ]
    own = {
        name: pa.schema([field for field in schema if field.name not in shared])
        for name, schema in rows.TABLES.items()
    }
    for name, schema in rows.TABLES.items():
        made = next(step for step in STEPS if step.table == name)
        read = ", ".join(f"`{table}`" for table in made.reads) or "the source of photographs"
        parts.append(f"### {name}\n\nMade by `{made.module}` from {read}; {len(schema)} columns.")
        if own[name].names:
            parts.append(_columns(own[name]))
    return "\n\n".join(parts)


def _columns(schema: pa.Schema) -> str:
    return _table(
        ("column", "type", "meaning"),
        [
            (f"`{field.name}`", _arrow(field.type), (field.metadata or {})[b"meaning"].decode())
            for field in schema
        ],
    )


def _arrow(kind: pa.DataType) -> str:
    return f"list of {_arrow(kind.value_type)}" if pa.types.is_list(kind) else str(kind)


# Recipes and plugins.


def _recipe() -> str:
    parts = [
        "# Recipes",
        RECIPES_TEXT,
        "## Top level",
        _fields(recipe.Recipe, ""),
    ]
    for name, field in recipe.Recipe.model_fields.items():
        model = _model_in(field.annotation)
        if model is not None:
            parts += [f"## [{name}]", _summary(model), _fields(model, name)]
    parts += [
        "## [masks.accept]",
        _summary(recipe.Accept),
        _fields(recipe.Accept, "accept"),
        "## [backgrounds.agreement]",
        _summary(Agreement),
        _fields(Agreement, "backgrounds.agreement"),
        "## [classes.propose] and [backgrounds.propose]",
        _summary(Proposal),
        _fields(Proposal, "propose"),
        "## Entries of classes.classes",
        CLASS_ENTRIES_TEXT,
        _fields(recipe.Class, "class"),
        "## Entries of backgrounds.backgrounds",
        BACKGROUND_ENTRIES_TEXT,
        _fields(recipe.Background, "background"),
        "## Options of plugins",
        OPTIONS_TEXT,
    ]
    return "\n\n".join(parts)


def _plugins() -> str:
    parts = [
        "# Plugins",
        PLUGINS_TEXT,
    ]
    for kind in plugins.KINDS:
        folder = plugins.KINDS[kind].package.replace(".", "/")
        parts.append(f"## {kind}\n\nFiles of `{folder}/`.")
        for name in plugins.names(kind):
            parts += _plugin(kind, name)
    return "\n\n".join(parts)


def _weights() -> str:
    lines = []
    for known in pins().values():
        notes = ["terms to be accepted on its page"] if known.gated else []
        if known.removed:
            notes.append(f"removed by its owner; mirror: `{known.mirror}`")
        elif known.mirror:
            notes.append(f"mirror: `{known.mirror}`")
        plugin = ", ".join(f"`{each.partition('/')[2]}`" for each in known.plugins)
        download = f"{known.download_gib:g} GiB"
        memory = f"{known.memory_gib:g} GiB" if known.memory_gib else ""
        revision = f"`{known.revision[:12]}`" if known.revision else ""
        words = (f"`{known.repo}`", plugin, known.licence, download, memory, revision)
        lines.append((*words, "; ".join([*notes, known.source])))
    heads = ("repository", "plugin", "licence of the weights", "download", "memory")
    table = _table((*heads, "commit", "to know, and where the numbers come from"), lines)
    return f"# Weights\n\n{WEIGHTS_TEXT}\n\n{table}"


def _plugin(kind: str, name: str) -> Iterator[str]:
    plugin = plugins.find(kind, name, plugins.Plugin)
    facts = [f"version {plugin.version}"]
    if plugin.requires:
        facts.append(f"needs {', '.join(f'`{module}`' for module in plugin.requires)}")
    if plugin.extra:
        facts.append(f"installed by `pip install 'covar-gen[{plugin.extra}]'`")
    yield f"### {name}"
    yield plugins.summary(kind, name)
    said = inspect.cleandoc(plugin.__doc__ or "").partition("\nAttributes:")[0].strip()
    if said:
        yield said
    yield f"{'; '.join(facts).capitalize()}."
    if plugin.Options.model_fields:
        yield _fields(plugin.Options, "", _inherited(plugin.Options))


def _fields(model: type[BaseModel], section: str, said: Mapping[str, str] | None = None) -> str:
    meanings = said if said is not None else _meanings(model)
    schema = model.model_json_schema()
    lines = []
    for name, field in model.model_fields.items():
        if section == "" and model is recipe.Recipe and _model_in(field.annotation):
            continue
        lines.append(
            (
                f"`{name}`",
                _type(schema["properties"][name], field),
                _default(field),
                meanings.get(name) or _otherwise(section, name),
            )
        )
    return _table(("key", "type", "default", "meaning"), lines)


def _otherwise(section: str, name: str) -> str:
    """The meaning of a key that its section's docstring need not repeat."""
    kind = NAMED_BY.get((section, name))
    if kind is not None:
        return (
            f"one or more of the [{kind}](plugins.md#{kind})"
            if name == kind
            else f"one of the [{kind}](plugins.md#{kind})"
        )
    if name == "options":
        return "options of the section's plugins, by plugin name"
    return "see above"


def _inherited(model: type[BaseModel]) -> dict[str, str]:
    found: dict[str, str] = {}
    for parent in reversed(model.__mro__):
        if issubclass(parent, BaseModel):
            found.update(_meanings(parent))
    return found


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """The Attributes section of a docstring: name -> meaning on one line."""
    text = inspect.cleandoc(model.__dict__.get("__doc__") or "")
    _, _, attributes = text.partition("\nAttributes:\n")
    found: dict[str, str] = {}
    name = ""
    for line in attributes.splitlines():
        begun = re.match(r"    (\w+): (.*)", line)
        if begun:
            name = begun[1]
            found[name] = begun[2].strip()
        elif name and line.startswith("        "):
            found[name] += f" {line.strip()}"
    return found


def _summary(model: type[BaseModel]) -> str:
    first = inspect.cleandoc(model.__doc__ or "").partition("\n")[0]
    said = first.rpartition("]: ")[2]
    return said[:1].upper() + said[1:]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a key of the recipe holds."""
    for choice in (annotation, *typing.get_args(annotation)):
        if inspect.isclass(choice) and issubclass(choice, BaseModel):
            return choice
    return None


WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
}
BOUNDS = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "above {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "below {}"),
)


def _type(schema: Mapping[str, Any], field: FieldInfo | None = None) -> str:
    """A JSON schema in words."""
    if field is not None and any(isinstance(mark, _path_mark()) for mark in _marks(field)):
        return "path"
    if "anyOf" in schema:
        return " or ".join(_type(s) for s in schema["anyOf"] if s.get("type") != "null")
    if "$ref" in schema:
        return "table"
    if "const" in schema or "enum" in schema:
        return " or ".join(f'`"{value}"`' for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        word, _, bounds_of_each = _type(schema["items"]).partition(", ")
        return f"list of {word}s" + (f", each {bounds_of_each}" if bounds_of_each else "")
    if schema.get("type") == "object":
        return "table"
    bounds = [said.format(f"{schema[key]:g}") for key, said in BOUNDS if key in schema]
    if schema.get("maximum", schema.get("exclusiveMaximum", 0)) >= 2**53:
        bounds = [f"at least {schema.get('minimum', 0)}", "below 2^63"]
    if "pattern" in schema:
        bounds.append(f"like `{schema['pattern']}`")
    return ", ".join([WORDS[schema["type"]], *bounds])


def _path_mark() -> type:
    return type(typing.get_args(plugins.RecipePath)[1])


def _marks(field: FieldInfo) -> list[Any]:
    inner = [m for part in typing.get_args(field.annotation) for m in typing.get_args(part)[1:]]
    return [*field.metadata, *inner]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value == {}:
        return "none"
    if isinstance(value, BaseModel):
        return "its own"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return f"`[{', '.join(f'{number:g}' for number in value)}]`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    parts = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for line in lines:
        cells = [cell.replace("|", r"\|") for cell in line]
        parts.append(f"| {' | '.join(cells)} |")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

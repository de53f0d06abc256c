"""Every message that an error of the toolkit can print, read from the code, for docs/generate.py.

An error is made by a call such as `RecipeError(what, where=..., mend=...)`. Its texts stand in the
call or in a name that the same function gave a text before; what is filled in when it is raised is
an ellipsis here.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import covar_gen
from covar_gen.core import errors

PACKAGE = Path(covar_gen.__file__).parent
GAP = "…"
LONGEST = 12
"""Texts that one call may have, by its conditions."""

TEXT = """\
What the toolkit can say when it stops, by the name with which the line begins; `…` stands for names
and numbers of your case. Search for a line, or for some words of it; the page
[errors and reasons](../errors.md) says more of each kind, and what becomes of single images."""


class Message(NamedTuple):
    """One line that may be printed.

    Attributes:
        error: name of its class.
        what: what happened.
        mend: what to do.
    """

    error: str
    what: str
    mend: str


@functools.cache
def messages() -> list[Message]:
    """Every message of the package, each once, sorted by error and text."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))]
    kinds = _kinds(trees)
    found = {message for tree in trees for message in of_module(tree, kinds)}
    return sorted(found, key=lambda message: (message.error, message.what.lower(), message))


def of_module(tree: ast.Module, kinds: Mapping[str, set[str]]) -> Iterator[Message]:
    """The messages of one module.

    Args:
        tree: the module.
        kinds: of a function that is told which error to make: the errors that it is told.
    """
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    tables = dict(_tables(tree))
    for _ in range(2):  # twice: one such function may ask another
        tables |= {function.name: list(_pairs(function, tables)) for function in functions}
    for function in functions:
        yield from _of_function(function, tables, kinds.get(function.name, set()))


def page() -> str:
    """The page docs/reference/messages.md, without its mark."""
    parts = ["# Errors by message", TEXT]
    for error, group in itertools.groupby(messages(), lambda message: message.error):
        known = inspect.getdoc(getattr(errors, error)) or ""
        parts.append(f"## {error}")
        parts.append(f"{known.splitlines()[0]} [More](../errors.md#{error.lower()}).")
        lines = ["| what is said | what to do |", "|---|---|"]
        for what, same in itertools.groupby(group, lambda message: message.what):
            mends = [each.mend for each in same if each.mend not in ("", GAP)]
            lines.append(f"| {_cell(what)} | {'<br>or: '.join(map(_cell, mends)) or GAP} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


class _Scope(NamedTuple):
    """What is known of names in a function.

    Attributes:
        given: assignments, `name = text`.
        added: assignments, `name += text`.
        branches: first and last line of what follows each `if`.
        tables: texts of the module, by the name of a dictionary or of a function.
        bound: names that got their texts together with others, and in which line.
    """

    given: list[ast.Assign]
    added: list[ast.AugAssign]
    branches: list[tuple[int, int]]
    tables: Mapping[str, list[ast.expr]]
    bound: Mapping[str, tuple[int, ast.expr]]

    def texts(self, node: ast.expr, before: int) -> list[str]:
        """What an expression can read; an ellipsis where only running the code would tell."""
        if isinstance(node, ast.FormattedValue):
            node = node.value
        if isinstance(node, ast.Constant):
            return [str(node.value)]
        if isinstance(node, ast.JoinedStr):
            return _joined([self.texts(part, before) for part in node.values])
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return _joined([self.texts(side, before) for side in (node.left, node.right)])
        if isinstance(node, ast.IfExp):
            choices = self.texts(node.body, before) + self.texts(node.orelse, before)
            return list(dict.fromkeys(choices))[:LONGEST]
        entries = _looked_up(node, self.tables)
        if entries:
            return [text for entry in entries for text in self.texts(entry, before)][:LONGEST]
        if isinstance(node, ast.Name):
            return self._named(node.id, before, before) or [GAP]
        return [GAP]

    def _named(self, name: str, before: int, used: int) -> list[str]:
        """The texts that a name may have when it is used.

        The last given; and those before it, where the last was given in a branch of an `if`.
        """
        places = [
            (each.lineno, each.value)
            for each in self.given
            if each.lineno < before and _names(each, name)
        ]
        places += [self.bound[name]] if name in self.bound and self.bound[name][0] < before else []
        if not places:
            return []
        line, value = max(places, key=lambda place: place[0])
        found = self.texts(value, line)
        for each in self.added:
            if _names(each, name) and line < each.lineno < used:
                found = _joined([found, self.texts(each.value, each.lineno)])
        if any(begin <= line <= end and not begin <= used <= end for begin, end in self.branches):
            found = list(dict.fromkeys(found + self._named(name, line, used)))
        return found[:LONGEST]


@functools.cache
def _own(function: ast.FunctionDef) -> list[ast.AST]:
    """The nodes of a function, those of functions inside it left out."""
    inner = {
        node
        for part in ast.walk(function)
        if isinstance(part, ast.FunctionDef) and part is not function
        for node in ast.walk(part)
    }
    return [node for node in ast.walk(function) if node not in inner]


def _scope(
    own: list[ast.AST],
    tables: Mapping[str, list[ast.expr]],
    bound: Mapping[str, tuple[int, ast.expr]],
) -> _Scope:
    return _Scope(
        [node for node in own if isinstance(node, ast.Assign)],
        [node for node in own if isinstance(node, ast.AugAssign)],
        [
            (part[0].lineno, part[-1].end_lineno or 0)
            for node in own
            if isinstance(node, ast.If)
            for part in (node.body, node.orelse)
            if part
        ],
        tables,
        bound,
    )


def _of_function(
    function: ast.FunctionDef, tables: Mapping[str, list[ast.expr]], kinds: set[str]
) -> Iterator[Message]:
    own = _own(function)
    given = [node for node in own if isinstance(node, ast.Assign)]
    calls = [node for node in own if isinstance(node, ast.Call) and node.args]
    told = _told(function)
    for bound in _bindings(given, tables):
        scope = _scope(own, tables, bound)
        for node in calls:
            name = _called(node)
            made = sorted(kinds) if name and name == told else [name] if _is_error(name) else []
            if made:
                mends = [word.value for word in node.keywords if word.arg == "mend"]
                said = scope.texts(node.args[0], node.lineno)
                mended = scope.texts(mends[0], node.lineno) if mends else [GAP]
                for error, what, mend in itertools.product(made, said, mended):
                    if re.search(r"\w{3}", what):
                        yield Message(error, _clean(what), _clean(mend))


def _told(function: ast.FunctionDef) -> str:
    """The argument by which a function is told which error to make; empty if it is not."""
    for argument in (*function.args.args, *function.args.kwonlyargs):
        if argument.annotation and ast.unparse(argument.annotation) == "type[CovarError]":
            return argument.arg
    return ""


def _kinds(trees: list[ast.Module]) -> dict[str, set[str]]:
    """Of every function that is told which error to make: the errors that it is told."""
    functions = [
        node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
    ]
    found: dict[str, set[str]] = {each.name: set() for each in functions if _told(each)}
    for function in functions:
        if _told(function):
            defaults = [*function.args.defaults, *function.args.kw_defaults]
            found[function.name] |= {
                each.id for each in defaults if isinstance(each, ast.Name) and _is_error(each.id)
            }
    for function in (*functions, *functions):  # twice: what was told is told on
        for node in _own(function):
            if isinstance(node, ast.Call) and _called(node) in found:
                for given in (*node.args, *(word.value for word in node.keywords)):
                    name = given.id if isinstance(given, ast.Name) else ""
                    if _is_error(name):
                        found[_called(node)].add(name)
                    elif name and name == _told(function):
                        found[_called(node)] |= found[function.name]
    return found


def _pairs(function: ast.FunctionDef, tables: Mapping[str, list[ast.expr]]) -> Iterator[ast.expr]:
    """The texts that a function returns, or several at a time, as in `return what, mend`."""
    own = _own(function)
    scope = _scope(own, tables, {})
    is_text = function.returns is not None and ast.unparse(function.returns) == "str"
    for node in own:
        if isinstance(node, ast.Return) and node.value is not None and is_text:
            yield from map(ast.Constant, scope.texts(node.value, node.lineno))
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            texts = [scope.texts(each, node.lineno) for each in node.value.elts]
            for choice in itertools.product(*texts):
                yield ast.Tuple([ast.Constant(text) for text in choice], ast.Load())


def _tables(tree: ast.Module) -> Iterator[tuple[str, list[ast.expr]]]:
    """Dictionaries of a module: name -> its values."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if isinstance(target, ast.Name):
                yield target.id, node.value.values


def _looked_up(node: ast.expr, tables: Mapping[str, list[ast.expr]]) -> list[ast.expr]:
    """What `TABLE[key]`, `TABLE.get(key, otherwise)` or `function(...)` can be."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        return tables.get(node.value.id, [])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return tables.get(node.func.id, [])
    is_get = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    if is_get and node.func.attr == "get" and isinstance(node.func.value, ast.Name):
        found = tables.get(node.func.value.id, [])
        return [*found, *node.args[1:]] if found else []
    return []


def _bindings(
    given: list[ast.Assign], tables: Mapping[str, list[ast.expr]]
) -> list[dict[str, tuple[int, ast.expr]]]:
    """Names that get their texts together, as in `what, mend = TABLE[key]`: once per entry."""
    named = {
        each.targets[0].id: each.value for each in given if isinstance(each.targets[0], ast.Name)
    }
    found = []
    for each in given:
        if isinstance(each.targets[0], ast.Tuple):
            value = named.get(each.value.id) if isinstance(each.value, ast.Name) else each.value
            names = [getattr(name, "id", "") for name in each.targets[0].elts]
            entries = _looked_up(value, tables) if value is not None else []
            found += [
                {name: (each.lineno, text) for name, text in zip(names, entry.elts, strict=True)}
                for entry in entries
                if isinstance(entry, ast.Tuple) and len(entry.elts) == len(names)
            ]
    return found or [{}]


def _names(assign: ast.Assign | ast.AugAssign, name: str) -> bool:
    targets = assign.targets if isinstance(assign, ast.Assign) else [assign.target]
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


def _called(node: ast.Call) -> str:
    return getattr(node.func, "id", getattr(node.func, "attr", ""))


def _is_error(name: str) -> bool:
    kind = getattr(errors, name, None)
    return inspect.isclass(kind) and issubclass(kind, errors.CovarError)


def _joined(parts: list[list[str]]) -> list[str]:
    every = itertools.islice(itertools.product(*parts), LONGEST)
    return list(dict.fromkeys("".join(choice) for choice in every))


def _clean(text: str) -> str:
    words = " ".join(text.split()).replace("...", GAP)
    return re.sub(rf"{GAP}[{GAP} ,]*{GAP}", GAP, words).strip()


def _cell(text: str) -> str:
    """A text as a cell of a table: signs of Markdown are signs of the text."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        parts = [text.replace("`", r"\`")]
    plain = [re.sub(r"([\\*_\[\]<>|])", r"\\\1", part) for part in parts]
    plain = [re.sub(r"(?<!\S)(--[a-z-]*[a-z])", r"`\1`", part) for part in plain]
    coded = [part.replace("|", r"\|") for part in parts]
    return "`".join(coded[i] if i % 2 else plain[i] for i in range(len(parts)))

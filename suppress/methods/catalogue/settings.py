"""What `suppress methods NAME` prints: the settings of one method, read from its source file without importing it.

The fields of a method's class and of its bases stand in the order that a dataclass gives them. The comment of a field,
which names the source of its value, is above its line or at the end of it. A preset is a class method that makes an
instance; what it changes is in the literals of its body: {"iterations": 10, …}, or cls(iterations=10, …).
"""

from __future__ import annotations

import ast
import inspect
import io
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from textwrap import wrap
from typing import Any

from minisd import UserError

from .entry import Entry
from .listing import WIDTH, constant, source

_METHODS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Setting:
    name: str
    default: str  # as its text stands in a method's spec
    comment: str  # what it is, and where the value is from


@dataclass(frozen=True)
class Preset:
    changes: dict[str, str]
    about: str  # the first line of its docstring


class Source:
    """A file of Python."""

    def __init__(self, path: Path):
        self.path, self.text = path, path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)

    @cached_property
    def comments(self) -> dict[int, tuple[str, bool]]:
        """Line -> its comment, and whether nothing else is in the line."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        found = [token for token in tokens if token.type == tokenize.COMMENT]
        return {t.start[0]: (t.string.lstrip("# "), not t.line[: t.start[1]].strip()) for t in found}

    def comment(self, node: ast.stmt) -> str:
        """What is said above a statement and in its lines."""
        above = node.lineno
        while self.comments.get(above - 1, ("", False))[1]:
            above -= 1
        last = node.end_lineno or node.lineno
        return " ".join(self.comments[n][0] for n in range(above, last + 1) if n in self.comments)

    def class_(self, name: str) -> ast.ClassDef | None:
        return next((n for n in self.tree.body if isinstance(n, ast.ClassDef) and n.name == name), None)

    def bases(self, node: ast.ClassDef) -> Iterator[tuple[Source, ast.ClassDef]]:
        """The class, after those that it is made from, as far as they are in this package."""
        for base in reversed(node.bases):
            if not isinstance(base, ast.Name):
                continue
            if own := self.class_(base.id):
                yield from self.bases(own)
            elif path := self._imported(base.id):
                other = Source(path)
                if found := other.class_(base.id):
                    yield from other.bases(found)
        yield self, node

    def _imported(self, name: str) -> Path | None:
        """The file of this package that a name is imported from."""
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom) and node.level and any(alias.name == name for alias in node.names):
                path = self.path.parents[node.level - 1].joinpath(*(node.module or "").split(".")).with_suffix(".py")
                return path if path.is_file() else None
        return None

    def value(self, node: ast.expr | None) -> str:
        """The text of a value: of a literal, or of a constant of this file; otherwise its Python."""
        if isinstance(node, ast.Name):
            for line in self.tree.body:
                if isinstance(line, ast.Assign) and any(getattr(t, "id", "") == node.id for t in line.targets):
                    node = line.value
                    break
        if node is None:
            return "none"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "changes.get":  # in a preset
            return f"that of {ast.literal_eval(node.args[0])}"
        try:
            return _text(ast.literal_eval(node))
        except ValueError:
            return ast.unparse(node)


def _text(value: Any) -> str:
    return '""' if value == "" else str(value)


def read(entry: Entry) -> tuple[str, dict[str, Setting], dict[str, Preset]]:
    """(the docstring of the class, its settings by name, its presets by name). UserError if there is no source."""
    origin, node = _class(entry)
    settings: dict[str, Setting] = {}
    presets: dict[str, Preset] = {}
    for file, part in origin.bases(node):
        for line in part.body:
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and not _is_class_variable(line):
                name = line.target.id
                # a field that a subclass sets again keeps its place, as in a dataclass
                settings[name] = Setting(name, file.value(line.value), _comment(file, line))
            elif isinstance(line, ast.FunctionDef) and _is_preset(line):
                about = (ast.get_docstring(line) or "").split("\n")[0]
                presets[line.name] = Preset(_changes(file, line), about)
    return ast.get_docstring(node) or "", settings, presets


def _class(entry: Entry) -> tuple[Source, ast.ClassDef]:
    if isinstance(entry.factory, str):
        file, name = entry.factory.split(".")[:2]
        path: Path | None = _METHODS / f"{file}.py"
    else:
        name = entry.factory.__name__
        try:
            path = Path(inspect.getsourcefile(entry.factory) or "")
        except TypeError:  # a class of a notebook or of the interpreter
            path = None
    origin = Source(path) if path and path.is_file() else None
    node = origin.class_(name) if origin else None
    if origin is None or node is None:
        raise UserError(f"the source of the class {name} was not found; expected it at the top of a file")
    return origin, node


def _is_class_variable(line: ast.AnnAssign) -> bool:
    return ast.unparse(line.annotation).startswith("ClassVar")


def _comment(file: Source, line: ast.AnnAssign) -> str:
    comment, kind = file.comment(line), line.annotation
    literals = [n for n in ast.walk(kind) if isinstance(n, ast.Subscript) and ast.unparse(n.value) == "Literal"]
    if not literals:
        return comment
    chosen = literals[0].slice
    choices = " | ".join(file.value(node) for node in (chosen.elts if isinstance(chosen, ast.Tuple) else [chosen]))
    return f"{choices}{'; ' if comment else ''}{comment}"


def _is_preset(line: ast.FunctionDef) -> bool:
    return any(ast.unparse(d) == "classmethod" for d in line.decorator_list) and bool(_calls(line))


def _calls(function: ast.FunctionDef) -> list[ast.Call]:
    """The calls of `cls`, which make the instance."""
    nodes = ast.walk(function)
    return [n for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "cls"]


def _changes(file: Source, function: ast.FunctionDef) -> dict[str, str]:
    """The settings that a preset changes, in the order of its lines."""
    found: dict[str, str] = {}
    dicts = [node for node in ast.walk(function) if isinstance(node, ast.Dict)]
    for node in sorted(dicts, key=lambda node: (node.lineno, node.col_offset)):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                found[key.value] = file.value(value)
    for call in _calls(function):
        found |= {word.arg: file.value(word.value) for word in call.keywords if word.arg}
    return found


# ---------------------------------------------------------------------- the text


def describe(name: str, methods: Mapping[str, Entry]) -> list[str]:
    """The lines that describe a method: what it is, its settings, and the presets of its class."""
    entry = methods[name]
    docstring, settings, presets = read(entry)
    file, own = _place(entry)
    changed = (presets[own].changes if own else {}) | {k: _text(v) for k, v in entry.bound.items()}
    lines = wrap(f"{name}: {entry.about}{constant(name)}", WIDTH)
    facts = [f"source: {source(entry)}", f"{entry.passes or '?'} UNet passes at 50 steps"]
    facts += [f"needs {entry.needs}"] if entry.needs else []
    facts += ["to be trained"] if entry.training else []
    facts += [] if entry.pictures else ["not for pictures"]
    facts += [] if entry.several else ["one target"]
    lines += [*wrap("; ".join(facts), WIDTH), f"code and equations: {file}", ""]
    lines += [*docstring.splitlines(), ""]
    lines += _table([_row(s, changed, entry) for s in settings.values()])
    lines += ["", "* set by this name"] if changed else []
    return [*lines, *_presets(entry, settings, presets, methods)]


def _place(entry: Entry) -> tuple[str, str]:
    """(where the class is, the preset of the name or nothing)"""
    if not isinstance(entry.factory, str):
        return entry.factory.__name__, ""
    file, _class_name, *preset = entry.factory.split(".")
    return f"suppress/methods/{file}.py", preset[0] if preset else ""


def _row(setting: Setting, changed: Mapping[str, Any], entry: Entry) -> tuple[str, str, str]:
    comment = setting.comment
    if setting.name in entry.bound:
        comment = "belongs to the name and cannot be set"
    value = f"{changed[setting.name]} *" if setting.name in changed else setting.default
    return setting.name, value, comment


def _table(rows: list[tuple[str, str, str]]) -> list[str]:
    rows = [("setting", "default", "what it is, and where the value is from"), *rows]
    first, second = (max(len(row[k]) for row in rows) for k in (0, 1))
    second = min(second, 24)
    lines = []
    for name, value, comment in rows:
        start = f"{name:<{first}}  {value:<{second}}  "
        lines += wrap(comment, WIDTH, initial_indent=start, subsequent_indent=" " * (first + second + 4)) or [start]
    return [line.rstrip() for line in lines]


def _presets(
    entry: Entry, settings: Mapping[str, Setting], presets: Mapping[str, Preset], methods: Mapping[str, Entry]
) -> list[str]:
    """What each preset of the class changes, and the name that stands for it."""
    if not presets:
        return []
    lines = ["", "presets of the class, and what they change:"]
    for preset, each in presets.items():
        factory = ".".join([*str(entry.factory).split(".")[:2], preset])
        result = {name: setting.default for name, setting in settings.items()} | each.changes
        names = [
            name
            for name, other in methods.items()
            if other.factory == factory and all(result[k] == _text(v) for k, v in other.bound.items())
        ]
        changes = ", ".join(f"{k}={v}" for k, v in each.changes.items()) or "nothing"
        text = f"{preset}(), {'by the name ' + ' or '.join(names) if names else 'in Python only'}: {changes}"
        lines += wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
        lines += wrap(each.about, WIDTH, initial_indent="    ", subsequent_indent="    ")
    return lines

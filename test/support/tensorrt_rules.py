"""What is wrong with how source code uses TensorRT, by the names that its releases have."""

from __future__ import annotations

import ast
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensorrt_usage import MODULE, NAMES, Source, conventional, name_of

ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


@dataclass(frozen=True)
class Release:
    """The names in one TensorRT: those of each class, and those of the module."""

    name: str
    classes: Mapping[str, Collection[str]]

    @classmethod
    def described(cls, name: str, description: Mapping[str, Any]) -> Release:
        """Take what scripts/read_tensorrt_api says about a module."""
        classes = {owner: names for owner, names in description.items() if owner not in {"version", MODULE}}
        return cls(name, {**classes, MODULE: [*description[MODULE], *classes]})

    def has(self, owner: str, name: str) -> bool:
        """Say whether a class has this attribute."""
        return name in self.classes.get(owner, ())


RELEASES = [
    Release.described(path.stem, json.loads(path.read_text()))
    for path in sorted((Path(__file__).parents[1] / "engines" / "tensorrt_api").glob("*.json"))
]


def missing(source: Source, release: Release) -> list[str]:
    """Say what a release lacks of what it gets to."""
    return [
        f"{source.place(touch.node)}: {release.name} has no {touch.owner}.{touch.name}: ask for it first"
        for touch in source.touches()
        if touch.owner and touch.owner in release.classes and not touch.probe
        if not release.has(touch.owner, touch.name) and not source.excluded(touch.node, release.has)
    ]


def unknown(source: Source) -> list[str]:
    """Say what is touched or asked for that is in no release at all."""
    return [
        f"{source.place(touch.node)}: no release has {touch.owner}.{touch.name}: misspelt, or missing in RESULTS"
        for touch in source.touches()
        if touch.owner and not any(release.has(touch.owner, touch.name) for release in RELEASES)
    ]


def unattributed(source: Source) -> list[str]:
    """Say what is touched like TensorRT's although nothing says that it is."""
    tellings = telling_names() - {node.name for node in source.nodes if isinstance(node, ast.FunctionDef)}
    others = {"self", *other_modules(source)}
    return [
        f"{source.place(touch.node)}: is {ast.unparse(touch.value)}.{touch.name} TensorRT's? Use a name of NAMES"
        for touch in source.touches()
        if touch.owner is None and touch.name in tellings and ast.unparse(touch.value) not in others
    ]


def telling_names() -> set[str]:
    """Return the names that tell TensorRT's objects: classes, and what our classes have with a `_` inside."""
    names = {name for release in RELEASES for owner in NAMES.values() for name in release.classes.get(owner, ())}
    return {name for name in names if "_" in name or name[0].isupper()} - {"ERROR", "INFO", "WARNING"}


def other_modules(source: Source) -> Iterator[str]:
    """Yield the names of imported modules, without TensorRT's."""
    for node in source.nodes:
        for alias in node.names if isinstance(node, ast.Import) else ():
            if not alias.name.startswith("tensorrt"):
                yield alias.asname or alias.name


def misnamed(source: Source) -> list[str]:
    """Say which names are given to an object of another class than they promise."""
    return [
        f"{source.place(value)}: {ast.unparse(target)} is a {kind}: use its name of NAMES, or add one"
        for target, value in source.bindings
        if isinstance(target, ast.Name) or (isinstance(target, ast.Attribute) and not source.type_of(target.value))
        if (kind := source.type_of(value)) and kind != conventional(name_of(target))
        if conventional(name_of(target)) or kept(target, value, kind)
    ]


def kept(target: ast.AST, value: ast.expr, kind: str) -> bool:
    """Say whether this makes an object, or keeps one beyond its function; members of enums may go by any name."""
    made = isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute)
    return kind.isidentifier() and (made or isinstance(target, ast.Attribute))


def imported_names(source: Source) -> list[str]:
    """Say what is imported out of TensorRT's module."""
    return [
        f"{source.place(node)}: import the module, not names of it"
        for node in source.nodes
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tensorrt")
    ]


def version_comparisons(source: Source) -> list[str]:
    """Say where a version is put in order or held against a constant; whether two are the same may be asked."""
    found = []
    for node in source.nodes:
        match node:
            case ast.Compare(left=left, ops=ops, comparators=others):
                sides = [left, *others]
                telling = any(isinstance(op, ORDERS) for op in ops) or any(map(is_constant, sides))
                compares = telling and any(is_version(source, side) for side in sides)
            case ast.Call(func=ast.Attribute(value=value, attr="startswith")):
                compares = is_version(source, value)
            case _:
                continue
        if compares:
            found.append(f"{source.place(node)}: compares versions: {ast.unparse(node)}")
    return found


def is_constant(node: ast.expr) -> bool:
    """Say whether an expression is made of literals only."""
    return all(isinstance(part, ast.Constant | ast.Tuple | ast.Load) for part in ast.walk(node))


def is_version(source: Source, node: ast.expr) -> bool:
    """Say whether a version but ONNX Runtime's is in an expression, or in what one of its names was set to."""
    return any(
        name_of(part) in {"__version__", "version"} and name_of(getattr(part, "value", part)) != "onnxruntime"
        for root in ast.walk(node)
        for value in [root, *(source.values(root) if isinstance(root, ast.Name) else [])]
        if not isinstance(value, ast.JoinedStr)  # a text for people
        for part in ast.walk(value)
    )


RULES = (unknown, unattributed, misnamed, imported_names, version_comparisons)


def problems(source: Source) -> list[str]:
    """Say everything that is wrong."""
    lacks = (line for release in RELEASES for line in missing(source, release))
    return [*(line for rule in RULES for line in rule(source)), *lacks]

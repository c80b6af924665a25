"""What source code touches of TensorRT's Python API, and under which conditions.

Types follow from names: whatever is called `engine`, `_engine` or `x.engine` is an ICudaEngine. From there they
follow calls (`create_network`), nested names (`trt.ILogger.ERROR`) and aliases (`flags = trt.BuilderFlag`).
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile

MODULE = "module"
NAMES = {
    "trt": MODULE,
    "module": MODULE,
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "runtime_config": "IRuntimeConfig",
    "runtime_cache": "IRuntimeCache",
    "inspector": "EngineInspector",
    "logger": "ILogger",
    "monitor": "IProgressMonitor",
}
# What methods return; None is a value of Python's own.
RESULTS = {
    "create_builder_config": "IBuilderConfig",
    "create_engine_inspector": "EngineInspector",
    "create_execution_context": "IExecutionContext",
    "create_network": "INetworkDefinition",
    "create_optimization_profile": "IOptimizationProfile",
    "create_runtime_cache": "IRuntimeCache",
    "create_runtime_config": "IRuntimeConfig",
    "deserialize_cuda_engine": "ICudaEngine",
    "get_engine_information": None,
    "get_error": "ParserError",
    "get_tensor_name": None,
}
LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)
Condition = tuple[str, str, bool]  # class, attribute, and whether it exists
Has = Callable[[str, str], bool]  # whether a class of some release has an attribute


@dataclass(frozen=True)
class Touch:
    """An attribute that is touched, of a TensorRT class or unknown owner; a probe only asks whether it exists."""

    node: ast.expr
    value: ast.expr
    owner: str | None
    name: str
    probe: bool = False


def conventional(name: str) -> str | None:
    """Return the type that a variable's name promises."""
    return NAMES.get(name.lstrip("_"))


def member_type(owner: str | None, name: str) -> str | None:
    """Return the type of an attribute: by its name, else one that only nested classes have."""
    if owner is None or conventional(name) or name.startswith("__"):
        return conventional(name)
    return name if owner == MODULE else f"{owner}.{name}"


def result_type(owner: str | None, name: str) -> str | None:
    """Return the type of a method's or constructor's result, `name()` where we do not know it."""
    if owner is None or name.startswith("__"):
        return None
    if owner == MODULE and name[0].isupper():
        return name
    return RESULTS.get(name, f"{name}()")


class Source:
    """Source files, read as one.

    Args:
        texts: By file name.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._files: dict[ast.AST, str] = {ast.parse(text): name for name, text in texts.items()}
        self.nodes = [node for tree in self._files for node in ast.walk(tree)]
        self._parents = {child: parent for parent in self.nodes for child in ast.iter_child_nodes(parent)}
        self.bindings = [binding for node in self.nodes for binding in bindings(node)]
        self._values: dict[tuple[ast.AST | None, str], list[ast.expr]] = defaultdict(list)
        for target, value in self.bindings:
            scope = next(self._functions(target), None) if isinstance(target, ast.Name) else None
            self._values[scope, name_of(target)].append(value)

    def place(self, node: ast.AST) -> str:
        """Say where a node is."""
        return f"{self._files[[*self._above(node)][-1]]}:{getattr(node, 'lineno', 0)}"

    def _above(self, node: ast.AST) -> Iterator[ast.AST]:
        while node in self._parents:
            node = self._parents[node]
            yield node

    def _functions(self, node: ast.AST) -> Iterator[ast.FunctionDef]:
        return (above for above in self._above(node) if isinstance(above, ast.FunctionDef))

    def values(self, node: ast.AST) -> list[ast.expr]:
        """Return what a name, an attribute or a call of our own may stand for."""
        if isinstance(node, ast.NamedExpr):
            return [node.value]
        scopes = [*self._functions(node), None] if isinstance(node, ast.Name) else [None]
        name = name_of(node.func if isinstance(node, ast.Call) else node)
        return next((self._values[scope, name] for scope in scopes if (scope, name) in self._values), [])

    def type_of(self, node: ast.AST, seen: tuple[ast.AST, ...] = ()) -> str | None:
        """Return the TensorRT class of an expression, or the class that it is."""
        match node:
            case ast.Name(id=name):
                fresh = (value for value in self.values(node) if value not in seen)
                types = (self.type_of(value, (*seen, value)) for value in fresh)
                return conventional(name) or next(filter(None, types), None)
            case (
                ast.Attribute(value=value, attr=name)
                | ast.Call(func=ast.Name(id="getattr"), args=[value, ast.Constant(value=str(name)), *_])
            ):
                return member_type(self.type_of(value, seen), name)
            case ast.Call(func=ast.Attribute(value=value, attr=name)):
                return result_type(self.type_of(value, seen), name)
            case ast.IfExp(body=body, orelse=orelse):
                return self.type_of(body, seen) or self.type_of(orelse, seen)
        return None

    def touches(self) -> Iterator[Touch]:
        """Yield all attributes that are touched, of TensorRT's objects and of unknown ones."""
        for node in self.nodes:
            match node:
                case ast.Attribute(value=value, attr=name) if not name.startswith("__"):
                    yield Touch(node, value, self.type_of(value), name)
                case ast.Call(
                    func=ast.Name(id="hasattr" | "getattr" | "setattr" as call), args=[value, of, *rest]
                ):
                    probe = call == "hasattr" or (call == "getattr" and bool(rest))
                    for name in self._texts(of):
                        yield Touch(node, value, self.type_of(value), name, probe)

    def _texts(self, node: ast.expr) -> list[str]:
        """Return what an attribute's name may be: a string, or those that a loop around it goes through."""
        if isinstance(node, ast.Constant):
            return [str(node.value)]
        for loop in (loop for above in self._above(node) for loop in (above, *getattr(above, "generators", ()))):
            match loop:
                case (
                    ast.For(target=target, iter=ast.Tuple(elts=items))
                    | ast.comprehension(target=target, iter=ast.Tuple(elts=items))
                ) if name_of(target) == name_of(node):
                    return [ast.unparse(item).strip("'") for item in items]
        return [ast.unparse(node)]

    def excluded(self, node: ast.AST, has: Has, seen: tuple[ast.AST, ...] = ()) -> bool:
        """Say whether a release never gets here, for this place's conditions or those of all its users."""
        if any(has(owner, name) != exists for owner, name, exists in self.conditions(node)):
            return True
        functions = (function for function in self._functions(node) if function not in seen)
        return any(self._unused(function, has, (*seen, function)) for function in functions)

    def _unused(self, function: ast.FunctionDef, has: Has, seen: tuple[ast.AST, ...]) -> bool:
        users = [node for node in self.nodes if _reads(node) and name_of(node) == function.name]
        return bool(users) and all(self.excluded(user, has, seen) for user in users)

    def conditions(self, node: ast.AST) -> set[Condition]:
        """Return what must hold for a node to be reached, or for its function to be defined."""
        found: set[Condition] = set()
        for parent in self._above(node):
            found.update(*(self.implied(test, outcome) for test, outcome in tests_before(parent, node)))
            node = parent
        return found

    def implied(self, test: ast.AST, outcome: bool, seen: tuple[ast.AST, ...] = ()) -> set[Condition]:
        """Return which attributes exist, or do not, if a test has this outcome."""
        match test:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self.implied(operand, not outcome, seen)
            case ast.BoolOp(op=op, values=values) if isinstance(op, ast.And) == outcome:
                return set().union(*(self.implied(value, outcome, seen) for value in values))
            case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot() as op], comparators=[ast.Constant(None)]):
                return self.implied(left, outcome == isinstance(op, ast.IsNot), seen)
            case ast.Call(
                func=ast.Name(id="hasattr" | "getattr" as call), args=[value, ast.Constant(str(name)), *_]
            ):
                owner = self.type_of(value)
                return {(owner, name, outcome)} if owner and (outcome or call == "hasattr") else set()
            case ast.Name() | ast.Attribute() | ast.Call() | ast.NamedExpr():
                values = self.values(test)
                known = len(values) == 1 and values[0] not in seen
                return self.implied(values[0], outcome, (*seen, values[0])) if known else set()
        return set()


def bindings(node: ast.AST) -> Iterator[tuple[ast.AST, ast.expr]]:
    """Yield what a statement gives a name to, and the value; a function that only returns is a name for that."""
    match node:
        case ast.Assign(targets=targets, value=value):
            yield from ((target, value) for target in targets)
        case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value):
            yield target, value
        case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
            yield target, value
        case ast.FunctionDef(body=[ast.Return(value=ast.expr() as value)]):
            yield node, value
        case ast.FunctionDef(body=[ast.Expr(value=ast.Constant()), ast.Return(value=ast.expr() as value)]):
            yield node, value


def tests_before(parent: ast.AST, child: ast.AST) -> Iterator[tuple[ast.expr, bool]]:
    """Yield the tests that decide whether a child of a node is reached, and how each must turn out."""
    match parent:
        case ast.If(test=test, body=body, orelse=orelse) | ast.While(test=test, body=body, orelse=orelse):
            yield from ((test, outcome) for block, outcome in ((body, True), (orelse, False)) if child in block)
        case ast.IfExp(test=test, body=body, orelse=orelse) if child is not test:
            yield test, child is body
        case ast.BoolOp(op=op, values=values):
            yield from (
                (value, isinstance(op, ast.And)) for value in takewhile(lambda value: value is not child, values)
            )
    loops = getattr(parent, "generators", [])
    yield from ((test, True) for loop in loops if child not in loops for test in loop.ifs)
    for block in (getattr(parent, field, ()) for field in ("body", "orelse", "finalbody")):
        if isinstance(block, list) and child in block:
            for earlier in takewhile(lambda statement: statement is not child, block):
                if isinstance(earlier, ast.If) and isinstance(earlier.body[-1], LEAVES):
                    yield earlier.test, False


def name_of(node: ast.AST) -> str:
    """Return the last part of a name: of `a.b` that is `b`."""
    return str(getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "name", ""))


def _reads(node: ast.AST) -> bool:
    return isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load)

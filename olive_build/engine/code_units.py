"""A module's code in units, as far as the cache key of a step goes by it. Reads; imports nothing.

A unit is what a module does when it is imported, or one function or class at its top. Comments,
docstrings and what only a type checker imports belong to none.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Set
from typing import Any

from olive_build import rooms
from olive_build.engine.reach import DATA, MODULE, TOP, WHOLE

_DATA_NAME = re.compile(rf"\*?[\w.-]*\.(?:{'|'.join(DATA)})", re.ASCII)


def units_of(content: bytes, module: str) -> dict[str, Any]:
    """Return of each unit the digest of its code, and what it imports and mentions."""
    units = {TOP: _Unit(module)}
    for statement in ast.parse(content).body:
        defines = isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        name = statement.name if defines else TOP  # type: ignore[attr-defined]
        units.setdefault(name, _Unit(module)).read(statement)
    known = units.keys() | units[TOP].binds.keys()
    return {name: unit.as_json(known) for name, unit in units.items()}


class _Unit:
    """What a part of a module is, imports and mentions."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.code = hashlib.sha256()
        self.imports: list[tuple[str, str]] = []
        self.modules: set[str] = set()
        self.binds: dict[str, tuple[str, str]] = {}
        self.libraries: set[str] = set()
        self.names: set[str] = set()
        self.texts: set[str] = set()

    def read(self, statement: ast.stmt) -> None:
        """Take in a statement with all that is in it."""
        said: list[str] = []
        self._read(statement, said)
        self.code.update("\n".join(said).encode("utf-8", "surrogatepass"))

    def _read(self, node: ast.AST, said: list[str]) -> None:
        """Append what a node is, in a form that differs where code does; docstrings are none."""
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            for other in node.orelse:
                self._read(other, said)
            return
        self._note(node)
        said.append(f"{type(node).__name__}(")
        for name in node._fields:
            value = getattr(node, name, None)
            for item in value if isinstance(value, list) else (value,):
                if isinstance(item, ast.AST):
                    self._read(item, said)
                else:
                    said.append(repr(item))
            said.append(",")

    def _note(self, node: ast.AST) -> None:
        """Note what a node imports and mentions."""
        match node:
            case ast.Name(id=name):
                self.names.add(name)
            case ast.Constant(value=str() as text) if MODULE.fullmatch(text):
                self.modules.add(text)
            case ast.Constant(value=str() as text) if _DATA_NAME.fullmatch(text):
                self.texts.add(text)
            case ast.Call() if asked := _asked_for(node):
                self.modules.add(asked)
            case ast.Import(names=names):
                for alias in names:
                    self._import(alias.name, WHOLE, alias.asname or alias.name)
            case ast.ImportFrom(names=names):
                for alias in names:
                    self._import(self._base(node), alias.name, alias.asname or alias.name)

    def _base(self, node: ast.ImportFrom) -> str:
        """Return the module that names are imported from; dots count upwards from this one."""
        if not node.level:
            return node.module or ""
        package = self.module.rsplit(".", node.level)[0]
        return f"{package}.{node.module}" if node.module else package

    def _import(self, target: str, name: str, bound: str) -> None:
        if target.partition(".")[0] == rooms.PACKAGE:
            self.imports.append((target, name))
            self.binds[bound] = (target, name)
        else:
            self.libraries.add(target.partition(".")[0])

    def as_json(self, known: Set[str]) -> dict[str, Any]:
        """Return it as JSON values; of what it mentions only what the module defines or imports."""
        return {
            "code": self.code.hexdigest()[:16],
            "imports": self.imports,
            "modules": sorted(self.modules),
            "binds": self.binds,
            "libraries": sorted(self.libraries),
            "names": sorted(self.names & known),
            "texts": sorted(self.texts),
        }


def _asked_for(call: ast.Call) -> str | None:
    """Return which modules a call asks a registry for, as a pattern; None for another call."""
    match call:
        case ast.Call(
            ast.Attribute(ast.Name("rooms"), "module" | "kinds"),
            [ast.Constant(value=str() as room), _],
        ):
            return f"{rooms.PACKAGE}.{room}.*"
    return None

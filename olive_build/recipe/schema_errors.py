"""What pydantic finds, as diagnostics; and the largest part of a recipe that is sound.

The sound part lets the checks that come after run as well, so that one run reports everything.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from olive_build.recipe.diagnostics import Code, Report
from olive_build.recipe.fields import Strict
from olive_build.recipe.model import DataFileSpec, Recipe
from olive_build.recipe.suggest import did_you_mean, listed
from olive_build.recipe.tree import Json, Key, KeyPath, Span, YamlNode, replaced, without

_MOST_ROUNDS = 12
_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a map",
    "model_type": "a map of fields",
    "model_attributes_type": "a map of fields",
}
# Members of unions without a `method`, by the tag that pydantic puts into the place of an error.
_TAGS: dict[str, Any] = {
    "file": DataFileSpec,
    "name": str,
    "number": float,
    "by-size": dict[str, float],
}
# Stand-ins for fields that nothing can be checked without; what is said about them is dropped.
_STAND_INS: dict[str, Json] = {
    "recipe": 1,
    "name": "stand-in",
    "description": "stand-in",
    "model": {"family": "sentence-embedding", "licence": "", "source": "hub", "sources": {}},
    "targets": {},
}


def check_schema(tree: YamlNode, report: Report) -> tuple[Recipe | None, frozenset[KeyPath]]:
    """Report every field that is unknown, missing or of a wrong type.

    Returns the recipe without them, and the paths that were left out; None when too little is left.
    """
    dropped: set[KeyPath] = set()
    for attempt in range(_MOST_ROUNDS):
        try:
            return Recipe.model_validate_json(json.dumps(tree.plain())), frozenset(dropped)
        except ValidationError as error:
            found = error.errors(include_url=False)
        if attempt == 0:
            for item in found:
                _report(item, tree, report)
        for item in found:
            tree, path = _dropped(tree, _path(item["loc"])[0], item["type"] == "missing")
            dropped.add(path)
    return None, frozenset(dropped)


def _dropped(tree: YamlNode, path: KeyPath, missing: bool) -> tuple[YamlNode, KeyPath]:
    """Return the tree without what is wrong; for what is missing, without what lacks it."""
    gone = path[:-1] if missing and len(path) > 1 else path
    tree = without(tree, gone)
    if len(gone) == 1 and gone[0] in _STAND_INS:
        node = _node(_STAND_INS[str(gone[0])], tree.span)
        tree = replaced(tree, (str(gone[0]),), tree.span, node)
    return tree, gone


def _node(value: Json, span: Span) -> YamlNode:
    if isinstance(value, dict):
        return YamlNode(
            {key: _node(item, span) for key, item in value.items()}, span, is_block=True
        )
    assert not isinstance(value, list)
    return YamlNode(value, span)


def _report(item: Any, tree: YamlNode, report: Report) -> None:
    path, annotation = _path(item["loc"])
    kind, name = item["type"], dotted(path)
    if kind == "extra_forbidden":
        _report_unknown(path, _fields(_path(item["loc"][:-1])[1]), tree, report)
    elif kind == "missing":
        _report_missing(path, _path(item["loc"][:-1])[1], tree, report)
    elif kind == "union_tag_not_found":
        _report_no_method(path, _methods(annotation), tree, report)
    elif kind in ("literal_error", "union_tag_invalid"):
        if kind == "union_tag_invalid":
            path, choices = (*path, "method"), tuple(_methods(annotation))
        else:
            choices = get_args(annotation)
        _report_choice(path, choices, tree, report)
    else:
        wanted = _WANTED.get(kind, item["msg"])
        seen = describe(tree.find(path))
        hint = _word_hint(annotation, tree.find(path)) or _hint(wanted, tree.find(path))
        message = f"'{name}' must be {wanted}, not {seen}"
        report.add(Code.WRONG_TYPE, message, tree.value_span(path), hint=hint)


def _report_unknown(path: KeyPath, accepted: Sequence[str], tree: YamlNode, report: Report) -> None:
    hint = did_you_mean(str(path[-1]), accepted, "remove it, or see the fields accepted here")
    report.add(
        Code.UNKNOWN_FIELD,
        f"unknown field '{dotted(path)}'",
        tree.key_span(path),
        hint=hint,
        notes=(f"fields accepted here: {listed(accepted)}",),
    )


def _report_missing(path: KeyPath, model: Any, tree: YamlNode, report: Report) -> None:
    field = next((f for k, f in _model_fields(model).items() if k == path[-1]), None)
    report.add(
        Code.MISSING_FIELD,
        f"'{dotted(path)}' is missing",
        tree.key_span(path[:-1]),
        hint=f"add `{path[-1]}:` here" if len(path) > 1 else f"add `{path[-1]}:` to the recipe",
        notes=(field.description,) if field is not None and field.description else (),
    )


def _methods(union: Any) -> Mapping[str, type[Strict]]:
    """Return the members of a union that `method` tells apart, by its words."""
    members = get_args(union) if get_origin(union) in (Union, types.UnionType) else ()
    fields = {member: _model_fields(member).get("method") for member in members}
    return {get_args(f.annotation)[0]: member for member, f in fields.items() if f is not None}


def _report_no_method(
    path: KeyPath, methods: Mapping[str, type[Strict]], tree: YamlNode, report: Report
) -> None:
    report.add(
        Code.MISSING_FIELD,
        f"'{dotted(path)}.method' is missing",
        tree.key_span(path),
        hint=f"add `method:` with one of {listed(methods)}",
    )
    node = tree.find(path)
    known = sorted({name for spec in methods.values() for name in _fields(spec)})
    for key in node.value if node is not None and isinstance(node.value, dict) else ():
        if key not in known:
            _report_unknown((*path, key), known, tree, report)


def _report_choice(path: KeyPath, choices: Sequence[Any], tree: YamlNode, report: Report) -> None:
    from olive_build.recipe.variants import BUILT_IN_METHODS

    node = tree.find(path)
    value = node.value if node is not None else None
    hint = f"write one of {listed(choices)}"
    if isinstance(value, str):
        hint = did_you_mean(value, [str(choice) for choice in choices], hint)
        # A variant's name, such as int8, in the place of the method that it is made by.
        made_by = BUILT_IN_METHODS.get(value) if path[-1] == "method" else None
        if made_by in choices:
            hint = f"did you mean '{made_by}'?"
    report.add(
        Code.BAD_VALUE,
        f"'{dotted(path)}' cannot be {describe(node)}",
        tree.value_span(path),
        hint=hint,
        notes=(f"accepted: {listed(choices)}",),
    )


def _word_hint(annotation: Any, node: YamlNode | None) -> str | None:
    """Return how a method is written, where its word alone stands in the place of the map."""
    word = node.value if node is not None else None
    known = _methods(annotation) if isinstance(word, str) else ()
    return f"write {{method: {word}}}" if word in known else None


def _hint(wanted: str, node: YamlNode | None) -> str:
    value = node.value if node is not None else None
    if wanted == "true or false" and str(value).lower() in ("yes", "no", "on", "off"):
        return "only `true` and `false` are booleans in YAML 1.2"
    if wanted == "text" and isinstance(value, (int, float)):
        return "put it in quotes"
    if wanted == "a list" and isinstance(value, str):
        return f"write [{value}]"
    if wanted.startswith("a map") and value is None:
        return "write {} for one with nothing in it"
    if isinstance(value, str) and "number" in wanted and value.strip(".eE+-0123456789") == "":
        return "remove the quotes"
    return f"write {wanted}"


def describe(node: YamlNode | None) -> str:
    """Return what a value is, in words."""
    value = node.value if node is not None else None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text '{value if len(value) <= 60 else value[:57] + '...'}'"
    if isinstance(value, (int, float)):
        return f"the number {str(value)[:40]}"
    return "nothing" if value is None else "a list" if isinstance(value, list) else "a map"


def dotted(path: Sequence[Key]) -> str:
    """Return a path as a reader writes it: passes[0].options.x."""
    parts = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return "".join(parts).lstrip(".")


def _path(loc: Sequence[Key]) -> tuple[KeyPath, Any]:
    """Return pydantic's place of an error without union tags, and the type that is wanted there."""
    annotation: Any = Recipe
    path: list[Key] = []
    for part in loc:
        annotation = _without_none(annotation)
        if get_origin(annotation) in (Union, types.UnionType):
            annotation = _methods(annotation).get(str(part)) or _TAGS.get(str(part), Any)
            continue
        path.append(part)
        annotation = _below(annotation, part)
    return tuple(path), _without_none(annotation)


def _below(annotation: Any, part: Key) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = _model_fields(annotation).get(str(part))
        return field.annotation if field is not None else Any
    arguments = get_args(annotation)
    if not arguments:
        return Any
    return arguments[1] if get_origin(annotation) is dict else arguments[0]


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) is Annotated:
        return _without_none(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        members = [a for a in get_args(annotation) if a is not type(None)]
        return _without_none(members[0]) if len(members) == 1 else annotation
    return annotation


def _model_fields(model: Any) -> dict[str, Any]:
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return {}
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _fields(model: Any) -> list[str]:
    return list(_model_fields(model))

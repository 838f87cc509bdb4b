"""YAML 1.2 scalars, and documents that mean what JSON means."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olive_build.recipe.diagnostics import Report
from olive_build.recipe.source import read_tree
from olive_build.recipe.tree import resolve_plain, source_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("-3", -3),
        ("+3", 3),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.inf", -math.inf),
        ("1.2.3", "1.2.3"),
        ("2024-01-01", "2024-01-01"),
        ("0b1", "0b1"),
        ("-", "-"),
        ("e3", "e3"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_core_schema(text: str, value: Any) -> None:
    found = resolve_plain(text)
    assert found == value
    assert type(found) is type(value)


def test_not_a_number() -> None:
    found = resolve_plain(".nan")
    assert isinstance(found, float) and math.isnan(found)


def parsed(text: str) -> Any:
    report = Report()
    tree = read_tree(source_of(text, "it.yaml", None), report)
    assert not report.sorted()
    return tree.plain() if tree else None


# JSON writes what lies above U+FFFF as two surrogates, which YAML does not join.
TEXT = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=("Cs",)), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
DOCUMENTS = st.recursive(
    SCALARS.filter(lambda value: value not in (math.inf, -math.inf)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(DOCUMENTS)
def test_json_is_read_as_json(document: Any) -> None:
    assert parsed(json.dumps(document)) == document


def test_a_quoted_merge_key_is_text() -> None:
    assert parsed('{"a": 1, "<<": {"b": 2}}') == {"a": 1, "<<": {"b": 2}}


@settings(deadline=None)
@given(st.dictionaries(st.text("abcxyz_", min_size=1), SCALARS, min_size=1, max_size=5))
def test_block_style_is_read_as_json(document: dict[str, Any]) -> None:
    finite = {k: v for k, v in document.items() if v not in (math.inf, -math.inf)}
    text = "\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in finite.items())
    assert (parsed(text) or {}) == finite

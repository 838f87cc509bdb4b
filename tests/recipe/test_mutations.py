"""Whatever is done to a recipe, what comes out is a recipe or diagnostics, never a traceback."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from olive_build.recipe.diagnostics import RecipeErrors
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve_all

BASE: dict[str, Any] = {
    "recipe": 1,
    "name": "it",
    "description": "One",
    "model": {
        "family": "sentence-embedding",
        "licence": "MIT",
        "source": "hub",
        "sources": {
            "hub": {"repo": "a/b", "revision": "c" * 40},
            "package": {"name": "p", "version": "1", "sha256": "d" * 64, "folder": "f"},
        },
    },
    "export": {"opset": 18},
    "fuse": {"attention": "plain"},
    "compose": "none",
    "variants": {"q4": {"quantize": {"method": "weight-only", "bits": 4}}, "int8": {}},
    "quantize": {"method": "dynamic-int8", "exclude": ["a*"]},
    "passes": [{"pass": "OnnxPeepholeOptimizer", "after": "export", "options": {}}],
    "verify": {"data": "sentences", "metric": "cosine", "budgets": {"int8": {"size_mb": 9}}},
    "targets": {
        "desktop": {"variants": ["int8", "q4"]},
        "web": {},
        "android": {"formats": ["ort"]},
    },
}
TRAINING: dict[str, Any] = {
    **{key: BASE[key] for key in ("recipe", "name", "description")},
    "model": {**BASE["model"], "family": "audio-classification"},
    "export": {"shapes": {"batch_size": 1, "samples": 400}},
    "train": {
        "requires_grad": ["a.*", "b.*"],
        "frozen": ["a.c"],
        "head": {"replace": "classifier", "classes": 2, "labels": ["other", "owner"]},
        "lora": {"modules": ["*.query"], "rank": 4, "alpha": 8},
        "loss": {"method": "cross-entropy", "class_weights": [1, 4]},
        "optimizer": {"method": "adamw", "lr": 0.1, "betas": [0.9, 0.99]},
        "rename": {"input_values": "input"},
        "personalisation": {"trials": {"file": "a.npz"}, "equal_error_rate": 0.1},
        "batch_size": 1,
    },
    "targets": {
        "ios": {"formats": ["ort"]},
        "web": {"train": {"optimizer": {"method": "sgd", "momentum": 0}}},
    },
}
TEXTS = ["", "int8", "q4", "fused", "web", "fp16", "../x", "\ud800"]
NUMBERS = [True, -1, 0, 4, 18, 1.5, 1e400, 10**30]
NESTED = [{"x": 1}, {"method": "fp16"}, {"file": "a.jsonl"}, {"desktop": None}, ["x"]]
VALUES = st.sampled_from([None, [], {}, *TEXTS, *NUMBERS, *NESTED])
KEYS = st.sampled_from(
    "method bits targets task extends train path x speed because variants quantize verify passes "
    "before accuracy_level << options head lora loss optimizer rename betas classes".split()
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    entries = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else ()
    below = [place for key, item in (*entries, *items) for place in places(item, (*path, key))]
    return [path, *below]


@st.composite
def mutated(draw: st.DrawFn, base: dict[str, Any]) -> Any:
    document = copy.deepcopy(base)
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(places(document)[1:] or [()]))
        if not path:
            break
        above = document
        for key in path[:-1]:
            above = above[key]
        action = draw(st.sampled_from(["drop", "replace", "add"]))
        if action == "drop":
            del above[path[-1]]
        elif action == "add" and isinstance(above[path[-1]], dict):
            above[path[-1]][draw(KEYS)] = copy.deepcopy(draw(VALUES))
        else:
            above[path[-1]] = copy.deepcopy(draw(VALUES))
    return document


def assert_recipe_or_diagnostics(path: Path) -> None:
    found = None
    try:
        resolve_all(load_recipe(path))
    except RecipeErrors as errors:
        found = errors
    if found is not None:
        assert found.diagnostics
        assert found.render() and json.dumps(found.as_json())
        for item in found.diagnostics:
            assert item.file and item.line >= 1 and (item.hint or item.notes)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(document=st.sampled_from([BASE, TRAINING]).flatmap(mutated))
def test_mutated_values(tmp_path: Path, document: Any) -> None:
    path = tmp_path / "it.yaml"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert_recipe_or_diagnostics(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_mutated_bytes(tmp_path: Path, shipped: Path, data: st.DataObject) -> None:
    text = bytearray(shipped.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(text) - 1))
        length = data.draw(st.integers(0, 12))
        text[place : place + length] = data.draw(st.binary(max_size=6))
    path = tmp_path / shipped.name
    path.write_bytes(text)
    assert_recipe_or_diagnostics(path)

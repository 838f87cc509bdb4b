"""Every part of a key changes it, and fields survive the way to a worker."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from tiny_steps import Join, Mode, OtherMode

from olive_build.engine import fingerprint
from olive_build.engine.fingerprint import describe, digest_of, from_fields, to_fields
from olive_build.engine.reach import Reached, reached


def test_every_part_of_the_key_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Join("a", mode=Mode(8), names=("x",))
    inputs = {"model": "1" * 64}
    keys = [
        describe(step, inputs).key,
        describe(Join("b", mode=Mode(8), names=("x",)), inputs).key,
        describe(Join("a", mode=Mode(4), names=("x",)), inputs).key,
        describe(Join("a", mode=OtherMode(8), names=("x",)), inputs).key,
        describe(Join("a", mode=Mode(8), names=("x", "y")), inputs).key,
        describe(step, {"model": "2" * 64}).key,
        describe(step, {"other": "1" * 64}).key,
    ]
    for name, value in (("measures", True), ("kind", "olive_build.steps.tiny_steps:Slow")):
        with monkeypatch.context() as patch:
            patch.setattr(Join, name, value)
            keys.append(describe(step, inputs).key)
    for other in (Reached({}, ()), Reached(reached(step.kind).files, ("pytest",))):
        with monkeypatch.context() as patch:
            patch.setattr(fingerprint, "reached", lambda *asked, other=other: other)
            keys.append(describe(step, inputs).key)
            patch.setattr(fingerprint, "tool_version", lambda name: "0.0")
            keys += [describe(step, inputs).key] if other.libraries else []
    with monkeypatch.context() as patch:
        patch.setattr(sys, "version_info", SimpleNamespace(major=4, minor=0))
        keys.append(describe(step, inputs).key)
    assert len(set(keys)) == len(keys)
    assert describe(Join("a", mode=Mode(8), names=("x",)), inputs).key == keys[0]


@pytest.mark.parametrize("mode", [None, Mode(4), OtherMode(4)])
def test_fields_come_back_as_they_were(mode: Mode | OtherMode | None) -> None:
    step = Join("é\n\ud800", keep=3, mode=mode, names=("a", "b"))
    assert from_fields(Join, to_fields(step)) == step


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="JSON-able"):
        to_fields(Join("a", names=["list"]))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="JSON"):
        digest_of(float("nan"))
    with pytest.raises(TypeError, match="no fields"):
        from_fields(Mode, {"bit": 1})


def test_nested_tuples_of_unions_come_back() -> None:
    step = Nested(((1, Mode(1)), (2, OtherMode(2))))
    assert from_fields(Nested, to_fields(step)) == step


@dataclass(frozen=True)
class Nested:
    """Pairs in a tuple."""

    pairs: tuple[tuple[int, Mode | OtherMode], ...]


def test_a_tool_that_is_not_installed_is_part_of_the_key_too() -> None:
    assert fingerprint.tool_version("no-such-distribution") == "absent"

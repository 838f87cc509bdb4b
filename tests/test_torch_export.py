"""Inputs that reach a module's parameter together, as a map; the others stay by themselves."""

from __future__ import annotations

import pytest

from olive_build.olive_bridge import TorchExport


def export(grouped: dict[str, tuple[str, ...]]) -> TorchExport:
    inputs = ("ids", "past.key", "past.value")
    return TorchExport(
        load=dict, example=dict, inputs=inputs, outputs=(), dynamic_axes={}, grouped=grouped
    )


def test_without_groups_each_input_is_a_parameter_in_the_inputs_order() -> None:
    values = {"past.value": 3, "ids": 1, "past.key": 2, "unknown": 4}
    assert list(export({}).by_parameter(values).items()) == [
        ("ids", 1),
        ("past.key", 2),
        ("past.value", 3),
    ]


def test_inputs_of_a_group_are_one_map_by_their_own_names() -> None:
    grouped = {"past": ("past.key", "past.value")}
    found = export(grouped).by_parameter({"past.value": 3, "ids": 1, "past.key": 2})
    assert found == {"ids": 1, "past": {"past.key": 2, "past.value": 3}}
    assert list(found["past"]) == ["past.key", "past.value"]


def test_a_missing_value_is_no_silent_gap() -> None:
    with pytest.raises(KeyError, match=r"past\.key"):
        export({"past": ("past.key", "past.value")}).by_parameter({"ids": 1, "past.value": 3})

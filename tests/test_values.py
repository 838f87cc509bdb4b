"""Quick dataclasses are what `dataclasses` makes of the same fields."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError, field
from typing import Any, ClassVar

import pytest

from olive_build import values


@values.dataclass(frozen=True)
class Quick:
    """A class of ours."""

    kind: ClassVar[str] = "k"
    a: int
    b: tuple[int, ...] = ()
    c: dict[str, int] = field(default_factory=dict, metadata={"m": 1})


@dataclasses.dataclass(frozen=True)
class Plain:
    """The same of Python's."""

    kind: ClassVar[str] = "k"
    a: int
    b: tuple[int, ...] = ()
    c: dict[str, int] = field(default_factory=dict, metadata={"m": 1})


@values.dataclass(frozen=True, kw_only=True)
class Below(Quick):
    """With a field that is given by name, before those of its base."""

    d: str

    def __post_init__(self) -> None:
        if not self.d:
            raise ValueError("it is empty")


BOTH = pytest.mark.parametrize("kind", [Quick, Plain])


@BOTH
def test_fields_have_what_is_given_or_their_defaults(kind: Any) -> None:
    assert dataclasses.asdict(kind(1)) == {"a": 1, "b": (), "c": {}}
    assert dataclasses.asdict(kind(1, c={"x": 2}, b=(3,))) == {"a": 1, "b": (3,), "c": {"x": 2}}
    assert kind(1).c is not kind(1).c
    assert kind.__match_args__ == ("a", "b", "c")
    assert [item.metadata.get("m") for item in dataclasses.fields(kind)] == [None, None, 1]


@BOTH
@pytest.mark.parametrize(
    ("given", "named"), [((), {}), ((1, (), {}, 4), {}), ((1,), {"a": 1}), ((1,), {"z": 1})]
)
def test_what_does_not_fit_the_fields_is_refused(kind: Any, given: Any, named: Any) -> None:
    with pytest.raises(TypeError, match=kind.__name__):
        kind(*given, **named)


@BOTH
def test_it_is_a_value(kind: Any) -> None:
    one, same, other = kind(1, (2,)), kind(1, (2,)), kind(1)
    assert one == same
    assert one != other
    assert one != (1, (2,), {})
    assert repr(one) == f"{kind.__name__}(a=1, b=(2,), c={{}})"
    assert dataclasses.replace(one, b=()) == other
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)
    with pytest.raises(FrozenInstanceError, match="'a'"):
        one.a = 2
    with pytest.raises(FrozenInstanceError, match="'a'"):
        del one.a


def test_equal_values_have_one_hash_and_another_class_is_another_value() -> None:
    @values.dataclass(frozen=True)
    class Point:
        """A point."""

        x: int

    @values.dataclass(frozen=True)
    class Also(Point):
        """A point as well."""

    assert len({Point(1), Point(1), Point(2)}) == 2
    assert Point(1) != Also(1)


def test_a_class_below_another_has_its_fields_too() -> None:
    made = Below(1, d="x")
    assert (made.a, made.b, made.d) == (1, (), "x")
    assert made == Below(a=1, d="x") != Below(2, d="x")
    with pytest.raises(TypeError, match="Below takes 3 values, not 4"):
        Below(1, (), {}, "x")
    with pytest.raises(ValueError, match="it is empty"):
        Below(1, d="")


def test_what_is_no_value_cannot_be_defined() -> None:
    class Counted:
        """A class with a field that is not compared."""

        a: int = field(default=0, compare=False)

    Counted.__annotations__ = {"a": int}
    with pytest.raises(TypeError, match="Counted has a field that is not a part of its value"):
        values.dataclass(frozen=True)(Counted)
    with pytest.raises(TypeError, match="frozen"):
        values.dataclass(frozen=False)

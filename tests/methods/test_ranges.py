"""Ranges of inner values: exact, streamed, and loud about what has none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from small_graphs import model, tokens, two_products

from olive_build.calibration.ranges import BINS, find_ranges
from olive_build.errors import StepError

ROOT = Path(__file__).resolve().parents[2]


def identity() -> object:
    node = helper.make_node("Identity", ["x"], ["y"], name="same")
    return model([node], {}, {"x": (TensorProto.FLOAT, ["n"])}, "y")


def test_the_smallest_and_largest_values_are_those_of_numpy() -> None:
    graph, feeds = two_products(), tokens(8)
    from olive_build.calibration.capture import stream_values

    values = np.concatenate([v["h"].ravel() for v in stream_values(graph, ["h"], feeds)])
    found = find_ranges(graph, ["x", "h"], lambda: feeds)
    assert (found["h"].lowest, found["h"].highest) == (values.min(), values.max())
    assert found["x"].lowest == min(feed["x"].min() for feed in feeds)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([90.0, 99.0, 99.9, 99.99, 100.0]),
    st.lists(st.integers(1, 400), min_size=1, max_size=5),
)
def test_percentiles_are_numpys_to_within_a_bin(
    seed: int, percentile: float, sizes: list[int]
) -> None:
    random = np.random.default_rng(seed)
    feeds = [{"x": random.standard_t(3, size).astype(np.float32)} for size in sizes]
    found = find_ranges(identity(), ["y"], lambda: feeds, percentile=percentile)["y"]
    values = np.concatenate([feed["x"] for feed in feeds]).astype(np.float64)
    width = (values.max() - values.min()) / BINS * 1.001
    cut = (100 - percentile) / 2
    # Between two samples any value is a percentile: what counts is which share lies inside.
    low = np.percentile(values, cut, method="lower")
    high = np.percentile(values, 100 - cut, method="higher")
    assert low - width <= found.lowest <= np.percentile(values, cut, method="higher") + width
    assert np.percentile(values, 100 - cut, method="lower") - width <= found.highest
    assert found.highest <= high + width
    inside = ((values >= found.lowest - 1e-6) & (values <= found.highest + 1e-6)).mean()
    assert inside >= percentile / 100 - 1e-9


def test_what_is_no_float_has_no_range() -> None:
    node = helper.make_node("Shape", ["x"], ["n"], name="shape")
    cast = helper.make_node("Cast", ["n"], ["y"], name="cast", to=TensorProto.FLOAT)
    graph = model([node, cast], {}, {"x": (TensorProto.FLOAT, ["n"])}, "y")
    feeds = [{"x": np.zeros(3, np.float32)}]
    assert set(find_ranges(graph, ["n", "y"], lambda: feeds)) == {"y"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.inf, "is infinite"),
        (float(np.finfo(np.float32).min), "is infinite, or as good as"),
        (np.nan, "is no number"),
    ],
)
def test_a_value_without_a_range_is_named(value: float, said: str) -> None:
    feeds = [{"x": np.array([1, value], np.float32)}]
    with pytest.raises(StepError) as caught:
        find_ranges(identity(), ["y"], lambda: feeds)
    assert f"the value 'y' {said}" in caught.value.what
    assert "attention mask" in (caught.value.why or "")


def test_a_value_that_is_always_empty_is_named() -> None:
    with pytest.raises(StepError, match="the value 'y' is empty on every calibration input"):
        find_ranges(identity(), ["y"], lambda: [{"x": np.zeros(0, np.float32)}])


PEAK = """
import resource, sys
sys.path.insert(0, "tests/methods")
import numpy as np
from small_graphs import two_products
from olive_build.calibration.ranges import find_ranges
def feeds():
    random = np.random.default_rng(0)
    for _ in range(int(sys.argv[1])):
        yield {"x": random.normal(size=(1, 2000, 128)).astype(np.float32)}
find_ranges(two_products(), ["x", "h", "a", "y"], feeds, percentile=99.9)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_memory_does_not_grow_with_the_samples() -> None:
    """A sample's values take 4.6 MB: 448 more would be 2 GB if they were kept."""

    def peak(samples: int) -> int:
        command = [sys.executable, "-c", PEAK, str(samples)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert peak(512) - peak(64) < 30_000_000

"""GPTQ on arrays: never worse than nearest on what it learns from, and always on the grid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olive_build.methods.algorithms.gptq import Grid, gptq_integers, output_error
from olive_build.methods.algorithms.layouts import Blocks, Filters, Matrix, block_grid

Floats = npt.NDArray[np.float32]


def rows(inputs: int, count: int, seed: int, rank: int) -> Floats:
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(count, rank)) @ random.normal(size=(rank, inputs))
    return (mixed + random.normal(0, 0.1, mixed.shape)).astype(np.float32)


def grid_for(weight: Floats, bits: int, block: int) -> Grid:
    inputs = len(weight)
    group = np.arange(inputs) // block
    highest = (1 << bits) - 1
    parts = [weight[group == index] for index in range(group[-1] + 1)]
    scale = np.stack([(p.max(0) - p.min(0)) / highest for p in parts]).astype(np.float32)
    low = np.stack([p.min(0) for p in parts])
    zero = np.rint(-low / np.where(scale == 0, 1, scale)).astype(np.float32)
    return Grid(scale, zero, group, 0, highest)


@settings(max_examples=40, deadline=None)
@given(
    inputs=st.integers(2, 200),
    outputs=st.integers(1, 24),
    count=st.integers(1, 60),
    rank=st.integers(1, 20),
    bits=st.sampled_from([3, 4, 8]),
    block=st.sampled_from([16, 64, 1000]),
    damping=st.sampled_from([0.01, 0.1, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_integers_stay_on_the_grid_whatever_the_inputs(
    inputs: int, outputs: int, count: int, rank: int, bits: int, block: int, damping: float,
    seed: int,
) -> None:  # fmt: skip
    weight = np.random.default_rng(seed).normal(size=(inputs, outputs)).astype(np.float32)
    grid = grid_for(weight, bits, block)
    x = rows(inputs, count, seed, rank)
    moments = x.T @ x
    chosen = gptq_integers(weight, grid, moments, damping=damping)
    assert chosen.min() >= grid.lowest and chosen.max() <= grid.highest
    assert np.isfinite(grid.values(chosen)).all()


def test_the_error_on_other_rows_falls_by_more_than_a_third() -> None:
    weight = np.random.default_rng(0).normal(size=(256, 64)).astype(np.float32)
    grid = grid_for(weight, 4, 64)
    seen, unseen = np.split(rows(256, 2000, 1, 40), 2)
    chosen = gptq_integers(weight, grid, seen.T @ seen, damping=0.01)

    def error(integers: npt.NDArray[np.int32]) -> float:
        return float(np.linalg.norm(unseen @ (grid.values(integers) - weight)))

    assert error(chosen) < 0.65 * error(grid.nearest(weight))


def test_the_error_is_that_of_the_outputs() -> None:
    x = rows(32, 50, 0, 5)
    difference = np.random.default_rng(1).normal(size=(32, 7)).astype(np.float32)
    expected = float(((x @ difference) ** 2).sum())
    assert output_error(difference, x.T @ x) == pytest.approx(expected, rel=1e-4)


def test_inputs_that_are_independent_are_rounded_to_nearest() -> None:
    weight = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    grid = grid_for(weight, 4, 64)
    chosen = gptq_integers(weight, grid, np.eye(64, dtype=np.float32), damping=0.01)
    np.testing.assert_array_equal(chosen, grid.nearest(weight))


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_moments_without_sense_are_refused(value: float) -> None:
    weight = np.ones((4, 2), np.float32)
    moments = np.full((4, 4), value, np.float32)
    with pytest.raises(np.linalg.LinAlgError):
        gptq_integers(weight, grid_for(weight, 4, 4), moments, damping=0.1)


@settings(max_examples=50, deadline=None)
@given(
    bits=st.sampled_from([4, 8]), outputs=st.integers(1, 5), inputs=st.integers(1, 70),
    block=st.sampled_from([16, 32]), seed=st.integers(0, 999),
)  # fmt: skip
def test_blocks_are_read_and_written_back(
    bits: int, outputs: int, inputs: int, block: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    blocks = -(-inputs // block)
    stored = random.integers(0, 256, (outputs, blocks, block * bits // 8), dtype=np.uint8)
    layout = Blocks(bits, inputs)
    integers = layout.read(stored)
    assert integers.shape == (inputs, outputs)
    if bits == 4:
        assert integers[0, 0] == stored[0, 0, 0] & 15
        assert inputs < 2 or integers[1, 0] == stored[0, 0, 0] >> 4
    np.testing.assert_array_equal(layout.write(integers, stored), stored)
    other = random.integers(0, 1 << bits, integers.shape, dtype=np.int32)
    np.testing.assert_array_equal(layout.read(layout.write(other, stored)), other)


def test_zero_points_of_four_bits_are_unpacked() -> None:
    scales = np.arange(6, dtype=np.float32)  # 2 outputs, 3 blocks
    packed = np.array([0x21, 0x03, 0x54, 0x06], np.uint8)
    scale, zero = block_grid(scales, packed, 4, 2, 3)
    np.testing.assert_array_equal(scale, [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(zero, [[1, 4], [2, 5], [3, 6]])
    assert (block_grid(scales, None, 8, 2, 3)[1] == 128).all()
    floats = np.arange(6, dtype=np.float32) / 2
    np.testing.assert_array_equal(block_grid(scales, floats, 4, 2, 3)[1][:, 1], [1.5, 2, 2.5])


def test_other_layouts_are_read_and_written_back() -> None:
    dense = np.arange(12, dtype=np.int8).reshape(3, 4)
    filters = np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2)
    assert Matrix().read(dense)[1, 0] == 4
    assert Matrix(transposed=True).read(dense)[1, 0] == 1
    assert Filters().read(filters)[5, 1] == filters[1, 1, 0, 1]
    for layout, stored in ((Matrix(), dense), (Matrix(True), dense), (Filters(), filters)):
        written = layout.write(layout.read(stored), stored)
        np.testing.assert_array_equal(written, stored)
        assert written.dtype == stored.dtype

"""Choose the integers of a weight so that the layer's output, not the weight, is kept.

GPTQ (Frantar et al. 2022, arXiv 2210.17323): inputs of the product are taken one after another;
what rounding one of them loses is made up for by those that are still to be rounded, as the second
moments of the calibration inputs say. Inputs are taken in falling order of their energy
(`act_order` of the authors' code, github.com/IST-DASLab/gptq) on a grid that is given, so that the
scales of the quantizer stay as they are (`static_groups`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]

# How many inputs are rounded before the loss is carried to the rest in one matrix product.
BLOCK = 128
# A singular matrix gets ten times the damping, this often at most.
ATTEMPTS = 4


@dataclass(frozen=True)
class Grid:
    """Which values can be stored: (integer - zero) * scale, with lowest <= integer <= highest.

    scale, zero: [groups, outputs]; group: [inputs], the row of both that an input uses.
    """

    scale: Floats
    zero: Floats
    group: npt.NDArray[np.intp]
    lowest: int
    highest: int

    def values(self, integers: Integers) -> Floats:
        """Return what the integers [inputs, outputs] stand for."""
        zero, scale = self.zero[self.group], self.scale[self.group]
        found: Floats = ((integers - zero) * scale).astype(np.float32)
        return found

    def nearest(self, weight: Floats) -> Integers:
        """Return the integers whose values are nearest to weight [inputs, outputs]."""
        steps = weight / self._divisor() + self.zero[self.group]
        found: Integers = np.clip(np.rint(steps), self.lowest, self.highest).astype(np.int32)
        return found

    def _divisor(self) -> Floats:
        # A channel of zeros has the scale 0 with some quantizers.
        return np.where(self.scale == 0, np.float32(1), self.scale)[self.group]


def gptq_integers(weight: Floats, grid: Grid, moments: Floats, *, damping: float) -> Integers:
    """Return integers [inputs, outputs] on `grid` that keep `inputs @ weight`.

    moments: [inputs, inputs], the sum of x^T x over calibration rows x. `damping` is added to its
    diagonal, as a fraction of the diagonal's mean. Inputs that are always zero are rounded to
    nearest. Raises LinAlgError when the moments cannot be inverted (they are not finite).
    """
    energy = np.diag(moments)
    order = np.argsort(-energy, kind="stable")
    factor = _inverse_factor(moments[order][:, order], damping)
    zero, scale = grid.zero[grid.group[order]], grid._divisor()[order]
    left = weight[order].astype(np.float32)
    chosen = np.empty(left.shape, np.int32)
    for start in range(0, len(order), BLOCK):
        stop = min(start + BLOCK, len(order))
        lost = np.empty((stop - start, left.shape[1]), np.float32)
        for row in range(start, stop):
            rounded = np.rint(left[row] / scale[row] + zero[row])
            np.clip(rounded, grid.lowest, grid.highest, out=rounded)
            chosen[order[row]] = rounded
            loss = (left[row] - (rounded - zero[row]) * scale[row]) / factor[row, row]
            left[row + 1 : stop] -= np.outer(factor[row, row + 1 : stop], loss)
            lost[row - start] = loss
        left[stop:] -= factor[start:stop, stop:].T @ lost
    return chosen


def output_error(difference: Floats, moments: Floats) -> float:
    """Return the sum of squares of `inputs @ difference` from the inputs' second moments."""
    return max(0.0, float(np.sum(difference * (moments @ difference), dtype=np.float64)))


def _inverse_factor(moments: Floats, damping: float) -> Floats:
    """Return the upper triangle U with U^T U the inverse of the damped moments."""
    mean = float(np.mean(np.diag(moments), dtype=np.float64))
    if not np.isfinite(mean) or mean <= 0:
        raise np.linalg.LinAlgError("the inputs are not finite, or all zero")
    for attempt in range(ATTEMPTS):
        damped = moments.astype(np.float64)
        damped[np.diag_indices(len(damped))] += mean * damping * 10**attempt
        try:
            # With rows and columns reversed, the lower factor L of M = L L^T is the upper one.
            upper = np.linalg.cholesky(damped[::-1, ::-1]).astype(np.float64)
        except np.linalg.LinAlgError:
            continue
        return _inverse_of_triangle(upper[::-1, ::-1]).astype(np.float32)
    raise np.linalg.LinAlgError("the inputs' second moments cannot be inverted")


def _inverse_of_triangle(upper: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the inverse, by halves: a sixth of the work of a general one."""
    size = len(upper)
    if size <= BLOCK:
        return np.triu(np.linalg.inv(upper))
    half = size // 2
    inverse = np.zeros_like(upper)
    first = inverse[:half, :half] = _inverse_of_triangle(upper[:half, :half])
    last = inverse[half:, half:] = _inverse_of_triangle(upper[half:, half:])
    inverse[:half, half:] = -first @ (upper[:half, half:] @ last)
    return inverse

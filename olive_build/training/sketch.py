"""Numbers that two environments draw alike, and large arrays told by eight numbers each.

Philox gives the same bits in every version of numpy; what is made of them here is plain arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
# A byte of random bits has so many signs.
SIGNS = 8
# Elements at once: what is drawn for them takes half a megabyte.
CHUNK = 1 << 16


def drawn(shape: Sequence[int], *key: int) -> Doubles:
    """Return numbers from -1 to 1 of this shape, fixed by up to four small numbers."""
    size = int(np.prod(shape, dtype=np.int64))
    bits = _source(key).random_raw(size)
    values: Doubles = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1
    return values.reshape(tuple(shape))


def sketch(values: npt.NDArray[np.floating], *key: int) -> Doubles:
    """Return eight sums [8] of the values with random signs.

    The mean square of such a sum is the sum of squares of the values (Alon, Matias and Szegedy
    1996), so the sketches of two arrays say how far the arrays are from each other, whatever part
    of them differs.
    """
    source, sums = _source(key), np.zeros(SIGNS)
    for part in _chunks(np.ascontiguousarray(values).reshape(-1)):
        words = source.random_raw(-(-part.size // SIGNS))
        octets = words.astype("<u8").view(np.uint8)[: part.size]
        for sign in range(SIGNS):
            negative = (octets >> sign) & 1 == 1
            sums[sign] += part.sum() - 2 * part[negative].sum()
    return sums


def length(sums: Doubles) -> float:
    """Return the length of the array that these sums are of, known to a fourth or so."""
    return float(np.sqrt(np.mean(np.square(sums))))


def _chunks(values: npt.NDArray[np.floating]) -> Iterator[Doubles]:
    for start in range(0, values.size, CHUNK):
        yield values[start : start + CHUNK].astype(np.float64)


def _source(key: Sequence[int]) -> np.random.Philox:
    number = sum(part << (32 * place) for place, part in enumerate(key))
    return np.random.Philox(key=number)

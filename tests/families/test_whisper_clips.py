"""Files of clips: read as they are stored, or refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from olive_build.errors import StepError
from olive_build.families.whisper.clips import read_clips

GOOD = {
    "audio": np.array([0, 1 << 14, -(1 << 14)], "i2"),
    "lengths": np.array([1, 2]),
    "texts": np.array(["", "one"]),
}


def test_clips_are_floats_and_keep_the_form_in_which_they_are_stored(tmp_path: Path) -> None:
    np.savez(tmp_path / "clips.npz", **GOOD)
    found = read_clips(tmp_path / "clips.npz")
    assert found.texts == ("", "one")
    assert [clip.tolist() for clip in found.audio] == [[0.0], [0.5, -0.5]]
    assert found.stored.audio.dtype == np.int16
    np.testing.assert_array_equal(found.stored.audio, GOOD["audio"])


@pytest.mark.parametrize(
    ("changes", "what", "why"),
    [
        ({"texts": None}, "cannot be read", "has no array 'texts"),
        ({"texts": np.array([1, 2])}, "cannot be used", "`texts` are no text"),
        ({"texts": np.array(["one"])}, "cannot be used", "2 lengths and 1 texts"),
        ({"lengths": np.array([1, 3])}, "cannot be used", "add up to 4"),
        ({"lengths": np.array(3)}, "cannot be used", "axis"),
        ({"audio": np.zeros(3)}, "cannot be used", "`audio` is float64"),
        ({"audio": np.array([0, np.inf, 0], "f4")}, "cannot be used", "no finite numbers"),
    ],
)
def test_bad_data_is_named(
    tmp_path: Path, changes: dict[str, np.ndarray | None], what: str, why: str
) -> None:
    arrays = {name: item for name, item in {**GOOD, **changes}.items() if item is not None}
    np.savez(tmp_path / "clips.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(StepError, match=what) as caught:
        read_clips(tmp_path / "clips.npz")
    assert why in (caught.value.why or "")


def test_what_is_no_file_of_arrays_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "clips.npz").write_bytes(b"RIFF")
    with pytest.raises(StepError, match="cannot be read"):
        read_clips(tmp_path / "clips.npz")

"""Calibration data in two parts: nothing twice, nothing lost, enough to learn from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olive_build.errors import StepError
from olive_build.steps.samples import ENOUGH_TO_LEARN, PARTS, SplitSamples, _chosen


@given(st.integers(0, 2000))
def test_every_sample_is_in_one_part(count: int) -> None:
    learn, judge = _chosen(count, "learn"), _chosen(count, "judge")
    assert sorted(learn + judge) == list(range(count))
    assert len(learn) >= min(count // 2, ENOUGH_TO_LEARN)
    assert len(judge) >= count // 2


@pytest.mark.parametrize(
    ("count", "learnt"), [(1, 1), (64, 32), (257, 129), (376, 188), (512, 128)]
)
def test_how_many_are_learnt_from(count: int, learnt: int) -> None:
    assert len(_chosen(count, "learn")) == learnt


def test_lines(tmp_path: Path) -> None:
    data = tmp_path / "texts.jsonl"
    lines = [json.dumps({"text": str(number)}) for number in range(7)]
    data.write_text("\n".join([*lines[:3], "", *lines[3:]]) + "\n")
    found = {}
    for part in ("learn", "judge"):
        out = tmp_path / part
        out.mkdir()
        SplitSamples(part).run({"data": data}, out)
        found[part] = (out / "texts.jsonl").read_text().splitlines()
    assert found == {"learn": lines[::2], "judge": lines[1::2]}


def test_arrays_stay_together(tmp_path: Path) -> None:
    data = tmp_path / "test.npz"
    np.savez(data, images=np.arange(12).reshape(6, 2), labels=np.arange(6))
    out = tmp_path / "out"
    out.mkdir()
    SplitSamples("judge").run({"data": data}, out)
    with np.load(out / "test.npz") as arrays:
        assert arrays["labels"].tolist() == [1, 3, 5]
        assert arrays["images"].tolist() == [[2, 3], [6, 7], [10, 11]]


def test_a_damaged_file(tmp_path: Path) -> None:
    data = tmp_path / "test.npz"
    data.write_bytes(b"PK not a zip")
    with pytest.raises(StepError, match="the calibration data cannot be read"):
        SplitSamples("learn").run({"data": data}, tmp_path)


def test_pictures_of_several_sizes_stay_whole(tmp_path: Path) -> None:
    pictures = [np.full((side, 2, 1), side, np.uint8) for side in (1, 2, 3, 4, 5)]
    values = np.concatenate([picture.ravel() for picture in pictures])
    data = tmp_path / "test.npz"
    np.savez(data, images=values, shapes=[p.shape for p in pictures], labels=np.arange(5))
    out = tmp_path / "out"
    out.mkdir()
    SplitSamples("judge").run({"data": data}, out)
    with np.load(out / "test.npz") as arrays:
        assert arrays["labels"].tolist() == [1, 3]
        assert arrays["shapes"].tolist() == [[2, 2, 1], [4, 2, 1]]
        assert arrays["images"].tolist() == [2] * 4 + [4] * 8


def test_clips_stay_whole(tmp_path: Path) -> None:
    lengths = np.array([3, 1, 0, 4, 2])
    audio = np.repeat(np.arange(5), lengths).astype(np.int16)
    np.savez(tmp_path / "clips.npz", audio=audio, lengths=lengths, texts=np.array(list("abcde")))
    parts = {}
    for part in PARTS:
        out = tmp_path / part
        out.mkdir()
        SplitSamples(part).run({"data": tmp_path / "clips.npz"}, out)
        with np.load(out / "clips.npz") as found:
            ends = np.cumsum(found["lengths"])[:-1]
            pieces = [piece.tolist() for piece in np.split(found["audio"], ends)]
            parts[part] = dict(zip(found["texts"].tolist(), pieces, strict=True))
    assert parts[PARTS[0]] == {"a": [0, 0, 0], "c": [], "e": [4, 4]}
    assert parts[PARTS[1]] == {"b": [1], "d": [3, 3, 3, 3]}

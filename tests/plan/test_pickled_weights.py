"""Pickled weights become safetensors, and nothing in a pickle is run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from olive_build.errors import PlanError
from olive_build.plan.pickled_weights import to_safetensors


class Runs:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_tensors_and_tied_ones_are_kept(tmp_path: Path) -> None:
    table = torch.arange(6.0).reshape(2, 3)
    state = {"wte.weight": table, "lm_head.weight": table, "h.0.bias": torch.ones(3).half()}
    torch.save(state, tmp_path / "pytorch_model.bin")
    to_safetensors(tmp_path / "pytorch_model.bin")
    found = load_file(tmp_path / "model.safetensors")
    assert found.keys() == state.keys()
    for name, value in state.items():
        assert torch.equal(found[name], value)
        assert found[name].dtype == value.dtype
    assert not (tmp_path / "pytorch_model.bin").exists()


def test_no_code_is_run(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(1), "x": Runs(tmp_path / "ran")}, tmp_path / "a.bin")
    with pytest.raises(PlanError, match="the pickled weights cannot be read") as caught:
        to_safetensors(tmp_path / "a.bin")
    assert "it holds more than tensors" in str(caught.value.why)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "EOFError"),
        (b"<html>not found</html>", "it holds more than tensors"),
        (pickle.dumps(Runs(Path("never"))), "it holds more than tensors"),
    ],
)
def test_what_is_no_state_dict(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    with pytest.raises(PlanError) as caught:
        to_safetensors(tmp_path / "a.bin")
    assert why in str(caught.value.why)
    assert "safe_serialization" in str(caught.value.hint)


@pytest.mark.parametrize(("state", "why"), [({}, "no state dict"), ({"a": 1}, "'a' is no tensor")])
def test_other_things_than_tensors(tmp_path: Path, state: dict[str, object], why: str) -> None:
    torch.save(state, tmp_path / "a.bin")
    with pytest.raises(PlanError) as caught:
        to_safetensors(tmp_path / "a.bin")
    assert why in str(caught.value.why)

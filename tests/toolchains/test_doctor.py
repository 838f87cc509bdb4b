"""What the doctor says of a toolchain: made, not made, broken, impossible here."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from olive_build.report.doctor import run_doctor
from olive_build.toolchains.environments import folder_of

LEADS = "onnxruntime-training-cpu 1.19.2"


def finding(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str]]:
    """Return the doctor's exit code and what it found of the training toolchain."""
    code = run_doctor(as_json=True)
    rows = json.loads(capsys.readouterr().out)
    (found,) = (row for row in rows if row["what"] == "training toolchain")
    return code, found


def test_one_that_works(training_python: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = finding(capsys)
    assert code == 0 and found["status"] == "ok"
    assert found["found"].startswith(f"{LEADS} on Python 3.")
    assert " MB in " in found["found"]
    assert found["found"].endswith(str(training_python.parents[1]))


@pytest.mark.usefixtures("elsewhere")
def test_one_that_is_not_made(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = finding(capsys)
    assert code == 0 and found["status"] == "warning"
    assert found["found"] == f"not made yet, would be {folder_of('training')}"
    assert "a recipe with a section `train` makes it (35 MB to download)" in found["hint"]
    assert "make toolchains" in found["hint"]


@pytest.mark.usefixtures("elsewhere")
def test_one_that_cannot_be_made_here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    code, found = finding(capsys)
    assert code == 0 and found["status"] == "warning"
    assert found["found"] == f"not made: {LEADS} has no wheel for this system"
    assert "only recipes that train need it" in found["hint"] and "WSL" in found["hint"]


def test_one_that_lacks_a_package(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (numpy,) = copied.glob("lib/python3.*/site-packages/numpy-*.dist-info")
    numpy.rename(numpy.with_suffix(".gone"))
    code, found = finding(capsys)
    assert code == 2 and found["status"] == "error"
    assert found["found"] == f"it lacks numpy 2.4.6, in {copied}"
    assert found["hint"] == "make toolchains makes it anew"


def test_one_whose_library_is_broken(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (native,) = copied.glob("lib/python3.*/site-packages/onnxruntime/capi/*pybind11_state*.so")
    native.write_bytes(b"")
    code, found = finding(capsys)
    assert code == 2 and found["status"] == "error"
    assert found["found"].startswith("it does not work: ImportError: ")
    assert "file too short" in found["found"]

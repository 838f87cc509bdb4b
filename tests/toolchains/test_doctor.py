"""What the doctor says of a toolchain: made, not made, broken, impossible here."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from olive_build.report.doctor import run_doctor
from olive_build.toolchains.environments import FILES, _locked, folder_of, pins, write_stamp

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
    write_stamp("training", copied)  # as it was made: what was changed since is not even imported
    code, found = finding(capsys)
    assert code == 2 and found["status"] == "error"
    assert found["found"].startswith("it does not work: ImportError: ")
    assert "file too short" in found["found"]


def change(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"#")


def add(path: Path) -> None:
    path.with_name("sitecustomize.py").write_text("")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (change, "numpy/version.py: changed"),
        (Path.unlink, "numpy/version.py: missing"),
        (add, "numpy/sitecustomize.py: added"),
    ],
)
def test_one_with_other_files_than_were_installed(
    copied: Path, capsys: pytest.CaptureFixture[str], how: Callable[[Path], None], said: str
) -> None:
    (path,) = copied.glob("lib/python3.*/site-packages/numpy/version.py")
    how(path)
    code, found = finding(capsys)
    assert code == 2 and found["status"] == "error"
    assert "its files are not those that were installed" in found["found"]
    assert said in found["found"]


def test_what_was_made_is_written_down_and_held_to_its_stamp(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / FILES).write_text("{}")
    assert f"{FILES}: changed" in finding(capsys)[1]["found"]


def test_every_package_of_the_lock_has_hashes() -> None:
    lines = _locked("training")
    assert len(lines) == len(pins("training"))
    assert all(
        re.fullmatch(r"[\w-]+==[\w.]+( --hash=sha256:[0-9a-f]{64})+", line) for line in lines
    )

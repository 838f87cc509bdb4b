"""A toolchain is made once, whole or not at all; what keeps it from being made is said."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import distributions
from pathlib import Path

import pytest

from olive_build.errors import StepError
from olive_build.toolchains import environments, provision
from olive_build.toolchains.environments import folder_of, missing_from, pins, version_of

ROOT = Path(__file__).resolve().parents[2]
MAKE_ALL = [sys.executable, "-m", "olive_build.toolchains"]


def names_in(root: Path) -> list[str]:
    """Return what lies in a root of toolchains, if there is one."""
    return sorted(path.name for path in root.iterdir()) if root.exists() else []


def test_the_environment_has_what_the_lock_names_and_nothing_else(training_python: Path) -> None:
    folder = training_python.parents[1]
    assert folder == folder_of("training") and provision.is_ready("training")
    (site,) = folder.glob("lib/python3.*/site-packages")
    found = {item.name.replace("_", "-"): item.version for item in distributions(path=[str(site)])}
    assert found == dict(pins("training"))
    assert found["onnxruntime-training-cpu"] == "1.19.2" and "pip" not in found


def test_two_builds_at_once_make_it_once_in_place_of_what_others_left(
    elsewhere: Path, tmp_path: Path
) -> None:
    folder = folder_of("training")
    killed = elsewhere / f".{folder.name}-999999-0badc0de"
    half_made = folder / "bin"
    for leftover in (killed, half_made):
        leftover.mkdir(parents=True)
        (leftover / "python").write_text("half")
    assert not provision.is_ready("training")
    # What a user's settings for pip and Python may say must not lead the files elsewhere.
    astray = {"PIP_TARGET": str(tmp_path / "target"), "PIP_USER": "1", "PYTHONPATH": str(ROOT)}
    builds = [
        subprocess.Popen(MAKE_ALL, stdout=subprocess.PIPE, text=True, env={**os.environ, **astray})
        for _ in range(2)
    ]
    said = [build.communicate(timeout=300)[0] for build in builds]
    assert [build.returncode for build in builds] == [0, 0]
    assert sum("making the training toolchain, once for this machine" in text for text in said) == 1
    assert sum("waiting for another build" in text for text in said) == 1
    assert all(f"the training toolchain is ready: {folder}" in text for text in said)
    assert names_in(elsewhere) == [folder.name, f"{folder.name}.lock"]
    assert not (tmp_path / "target").exists()
    assert provision.is_ready("training")


def test_an_interrupted_one_leaves_nothing(elsewhere: Path) -> None:
    make = subprocess.Popen(MAKE_ALL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    end = time.monotonic() + 60
    while not list(elsewhere.glob(f".{folder_of('training').name}-*")):
        assert time.monotonic() < end and make.poll() is None
        time.sleep(0.01)
    os.killpg(make.pid, signal.SIGINT)  # as a terminal's Ctrl-C does
    _, said = make.communicate(timeout=30)
    assert make.returncode == 130 and said == "interrupted; nothing was left half made\n"
    assert names_in(elsewhere) == [f"{folder_of('training').name}.lock"]


@pytest.mark.usefixtures("offline")
def test_what_is_made_needs_neither_network_nor_time(copied: Path) -> None:
    said: list[str] = []
    started = time.perf_counter()
    python = provision.python_of("training", said.append)
    assert time.perf_counter() - started < 0.5
    assert python == copied / "bin" / "python" and said == []
    assert names_in(copied.parent) == [copied.name]  # not even a lock


@pytest.mark.usefixtures("offline")
def test_offline_the_error_says_what_to_do_and_nothing_is_left(elsewhere: Path) -> None:
    with pytest.raises(StepError) as caught:
        provision.python_of("training")
    error = caught.value
    assert error.exit_code == 4
    assert error.what == "the training toolchain could not be installed"
    assert str(error.where).endswith("toolchains/training.lock")
    assert "No matching distribution found for" in str(error.why)
    for advice in (
        "check the",
        "PIP_INDEX_URL or PIP_FIND_LINKS",
        "make toolchains",
        "pip download --no-deps --only-binary :all: -d wheels -r ",
        "PIP_NO_INDEX=1 PIP_FIND_LINKS=wheels make toolchains",
    ):
        assert advice in str(error.hint)
    assert "none for this system" not in str(error.hint)
    assert names_in(elsewhere) == [f"{folder_of('training').name}.lock"]


def test_an_index_that_does_not_answer_is_the_same_error(
    elsewhere: Path, offline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens there
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(StepError, match="could not be installed") as caught:
        provision.python_of("training")
    assert "Connection refused" in str(caught.value.why)


@pytest.mark.usefixtures("elsewhere", "offline")
def test_the_command_line_shows_the_error_and_no_traceback() -> None:
    done = subprocess.run(MAKE_ALL, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr.startswith("error: the training toolchain could not be installed\n  at:")
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("elsewhere", "offline")
def test_a_system_without_wheels_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(StepError) as caught:
        provision.python_of("training")
    hint = str(caught.value.hint)
    assert hint.startswith(
        "onnxruntime-training-cpu 1.19.2 has wheels for Linux with glibc on x86-64, macOS, and "
        f"Windows on x86-64; none for this system ({platform.system()} on aarch64)"
    )


def test_a_python_without_pip_is_told_how_to_get_it(elsewhere: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    done = subprocess.run(
        [tmp_path / "bare" / "bin" / "python", "-m", "olive_build.toolchains"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert "cannot be made without pip 22.3 or newer" in done.stderr
    assert "this environment has no pip" in done.stderr and "-m ensurepip" in done.stderr
    assert names_in(elsewhere) == [f"{folder_of('training').name}.lock"]


def test_a_root_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(environments.VARIABLE, str(tmp_path / "file" / "toolchains"))
    with pytest.raises(StepError, match="the toolchains' folder cannot be written") as caught:
        provision.python_of("training")
    assert "set OLIVE_BUILD_TOOLCHAINS to a folder" in str(caught.value.hint)


@pytest.mark.usefixtures("offline")
def test_what_lacks_a_package_is_not_used(copied: Path) -> None:
    (found,) = copied.glob("lib/python3.*/site-packages/onnx-*.dist-info")
    found.rename(found.with_name("onnx-1.17.0.dist-info"))
    assert missing_from("training", copied) == ("onnx 1.23.2 (it has 1.17.0)",)
    assert not provision.is_ready("training")
    with pytest.raises(StepError, match="could not be installed"):  # it is made anew
        provision.python_of("training")
    shutil.rmtree(found.with_name("onnx-1.17.0.dist-info"))
    assert missing_from("training", copied) == ("onnx 1.23.2",)


def test_an_environment_whose_python_is_gone_is_not_used(copied: Path) -> None:
    python = copied / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert missing_from("training", copied) == ("its Python",)
    assert not provision.is_ready("training")


@pytest.mark.usefixtures("offline")
def test_a_broken_library_is_found_when_toolchains_are_made(copied: Path) -> None:
    (native,) = copied.glob("lib/python3.*/site-packages/onnxruntime/capi/*pybind11_state*.so")
    native.write_bytes(b"")
    done = subprocess.run(MAKE_ALL, capture_output=True, text=True, check=False)
    assert "the training toolchain is broken: " in done.stdout and "ImportError" in done.stdout
    assert "making the training toolchain" in done.stdout
    assert done.returncode == 4 and "could not be installed" in done.stderr


def test_the_lock_holds_exact_versions_of_all_that_is_asked_for() -> None:
    asked = (ROOT / "olive_build" / "toolchains" / "training.in").read_text(encoding="utf-8")
    lines = [line.partition("#")[0].strip() for line in asked.splitlines()]
    named = dict(line.split("==") for line in lines if line)
    assert named and named.items() <= pins("training").items()
    assert all(version for version in pins("training").values())
    assert version_of("training", "Onnxruntime_Training.CPU") == "1.19.2"
    assert version_of("training", "torch") == "absent"
    with pytest.raises(LookupError, match="no toolchain is called 'weaving'"):
        version_of("weaving", "numpy")

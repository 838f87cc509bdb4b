"""Whatever is typed or lies about: a clear error with its exit code, never a bug of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "record"))
from samples import manifest_data, proof_data

from olive_build.bundle.verify import verify
from olive_build.engine.store import default_root
from olive_build.errors import BundleError, UsageError
from olive_build.report.caching import _ago
from olive_build.report.differences import print_differences

ROOT = Path(__file__).resolve().parents[2]


def call(
    folder: Path, *words: str, stdout: Any = subprocess.PIPE, cache: str = ""
) -> tuple[int, str, str]:
    cache = cache or str(folder / "c")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OLIVE_BUILD_CACHE": cache}
    done = subprocess.run(
        [sys.executable, "-m", "olive_build", *words],
        cwd=folder,
        env=environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert "bug of olive-build" not in done.stderr
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout or "", done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("build", "--json"),
        ("plan", "x", "--bogus", "--json"),
        ("nope", "--json"),
        ("build", "x", "--jobs", "0", "--json"),
        ("cache", "gc", "--max-age-days", "-1", "--json"),
        ("cache", "gc", "--max-size-mb", "nan", "--json"),
    ],
)
def test_a_wrong_command_line_is_json_too(tmp_path: Path, words: tuple[str, ...]) -> None:
    code, out, err = call(tmp_path, *words)
    assert code == 2
    error = json.loads(out)["error"]
    assert error["exit_code"] == 2
    assert error["what"]
    assert err


def test_a_closed_stdout_is_no_bug(tmp_path: Path) -> None:
    command = ["sh", "-c", f'"{sys.executable}" -m olive_build build nope >&-']
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "there is no recipe 'nope'" in done.stderr


def test_a_schema_goes_into_a_folder_that_is_there(tmp_path: Path) -> None:
    code, _, err = call(tmp_path, "schema", "--recipes", "nope")
    assert code == 2
    assert "the schema cannot be written" in err


@pytest.mark.parametrize("words", ["cache ls", "cache verify", "cache gc --max-size-mb 1"])
def test_a_file_as_the_cache_is_refused(tmp_path: Path, words: str) -> None:
    (tmp_path / "c").touch()
    code, out, err = call(tmp_path, *words.split())
    assert (code, out) == (2, "")
    assert "the cache cannot be there" in err
    assert "set OLIVE_BUILD_CACHE to a folder" in err


@pytest.mark.parametrize("words", ["cache ls", "cache verify", "cache gc --max-size-mb 1"])
def test_a_cache_that_cannot_be_made_is_refused(tmp_path: Path, words: str) -> None:
    # Nobody can make a folder there, not even root.
    nowhere = "/proc/nowhere/cache"
    code, out, err = call(tmp_path, *words.split(), cache=nowhere)
    assert (code, out) == (2, "")
    assert "the cache cannot be made" in err and f"at:      {nowhere}\n  because: /" in err
    code, out, _ = call(tmp_path, "doctor", cache=nowhere)
    assert code == 2 and f"cache: {nowhere} cannot be made: /" in out


def test_a_cache_tells_how_long_ago_in_words() -> None:
    told = [_ago(seconds) for seconds in (3, 60, 6000, 7200, 86400, 200_000)]
    assert told == ["just now", "1 min ago", "100 min ago", "2 h ago", "24 h ago", "2 days ago"]


def test_no_home_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("OLIVE_BUILD_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(UsageError) as caught:
        default_root()
    assert "OLIVE_BUILD_CACHE" in str(caught.value.hint)


def bundle(folder: Path, manifest: object, proof: object) -> Path:
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "proof.json").write_text(json.dumps(proof))
    return folder


DAMAGED: dict[str, Any] = {
    "a path that is a number": {"files": [{"path": 5, "sha256": "", "size_bytes": 1}]},
    "no list of files": {"files": 5},
    "a file without a digest": {"files": [{"path": "x"}]},
    "variants as a list": {"variants": [1]},
    "a variant's file outside the bundle": {"variants": {"int8": {"files": {"onnx": "../x"}}}},
}


@pytest.mark.parametrize("change", DAMAGED.values(), ids=DAMAGED.keys())
def test_verify_of_a_damaged_manifest(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = bundle(tmp_path / "b", {**manifest_data(), **change}, proof_data())
    with pytest.raises(BundleError, match=r"manifest\.json is damaged"):
        verify(folder)


def test_verify_runs_no_file_that_is_not_listed(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        verify(bundle(tmp_path / "b", manifest_data(), proof_data()))
    assert "int8/model.onnx: not listed, but a variant's file" in str(caught.value.why)


@pytest.mark.parametrize(
    ("manifest", "proof"),
    [
        ({"files": 5}, {}),
        ({"files": [1]}, {}),
        ({"variants": [1]}, {}),
        ({"variants": {"int8": {}}}, {"variants": {"int8": {"quality": "x"}}}),
        ({"tools": 1}, {}),
    ],
)
def test_diff_of_a_damaged_bundle(
    tmp_path: Path, manifest: dict[str, object], proof: dict[str, object]
) -> None:
    old = bundle(tmp_path / "old", manifest_data(), proof_data())
    changed = {**manifest_data(), **manifest}, {**proof_data(), **proof}
    with pytest.raises(BundleError):
        print_differences(old, bundle(tmp_path / "new", *changed), as_json=False)


def test_verify_and_diff_of_a_file_say_what_a_bundle_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for words in (("verify", "file"), ("diff", "file", "file")):
        code, _, err = call(tmp_path, *words)
        assert code == 6
        assert "this is no bundle" in err

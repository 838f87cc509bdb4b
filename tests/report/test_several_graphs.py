"""What the commands say of models of several graphs, where they cannot do what they are for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "record"))
from samples import manifest_data

from olive_build.engine.store import Store
from olive_build.errors import UsageError
from olive_build.families.registry import FAMILIES
from olive_build.report import benching
from olive_build.report.attribution_sources import compare_bundle
from olive_build.report.contestants import gather


def bundle(folder: Path, files: dict[str, str]) -> Path:
    """A folder with the manifest of a Whisper's bundle, as far as it is read before the files."""
    said = {
        "recipe": "whisper-digits",
        "target": "web",
        "smoke": True,
        "model": {"family": "whisper"},
        "variants": {"q8": {"quantize": {"method": "dynamic-int8"}, "files": files}},
        "files": [{"path": p, "sha256": "0" * 64, "size_bytes": 1} for p in files.values()],
    }
    for path in files.values():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"1")
    (folder / "manifest.json").write_text(json.dumps(manifest_data(said)), encoding="utf-8")
    return folder


SPLIT = {"encoder_model": "onnx/e.onnx", "decoder_model_merged": "onnx/d.onnx"}


@pytest.mark.parametrize("files", [SPLIT, {"onnx": "int8/model.onnx"}], ids=["split", "one file"])
def test_layers_inside_a_search_are_not_judged(tmp_path: Path, files: dict[str, str]) -> None:
    folder = bundle(tmp_path / "web", files)
    with pytest.raises(UsageError) as caught:
        compare_bundle(folder, None, tmp_path, 8)
    assert "whisper" in caught.value.what
    assert caught.value.where == str(folder)
    assert caught.value.why and "encoder, decoder" in caught.value.why
    assert caught.value.hint and "olive-build report" in caught.value.hint


def test_variants_of_several_files_are_not_benched(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "web", SPLIT)
    with Store(tmp_path / "cache") as store, pytest.raises(UsageError) as caught:
        gather([folder], [], store, recipes=tmp_path, outputs=tmp_path)
    assert "several files" in caught.value.what
    assert caught.value.where == str(folder)
    assert caught.value.why and "decoder_model_merged" in caught.value.why
    assert caught.value.hint and "single-file" in caught.value.hint


def test_batches_are_refused_where_a_file_takes_one_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise one clip would be timed, and counted as many."""
    field: Any = SimpleNamespace(family=FAMILIES["whisper"], model=None, candidates=())
    monkeypatch.setattr(benching, "gather", lambda *_args, **_more: field)
    monkeypatch.setenv("OLIVE_BUILD_CACHE", str(tmp_path / "cache"))
    asked = benching.Bench(tmp_path, tmp_path, batches=(1, 4))
    with pytest.raises(UsageError, match="one of its clips at a time, not 4"):
        benching.run_bench([], asked, as_json=False)

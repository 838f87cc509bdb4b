"""The Python of a bundle's README runs where only the bundle's packages are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from speech_graph import INPUTS, told

from olive_build.bundle.readme import code_sections
from olive_build.families.facts import Axes
from olive_build.steps.describe import describe

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "record"))
from samples import manifest


class Facts:
    """What the code asks of a model's facts."""

    def templates(self, language: str, takes: Axes) -> dict[str, tuple[str, ...]]:
        return {"": (f"audio.{language}",)}

    def placeholders(self, takes: Axes, options: Mapping[str, str]) -> dict[str, str]:
        samples, file = "np.zeros(16000, np.float32)", 'np.fromfile("clip.wav", np.uint8)'
        example = samples if "audio_pcm" in takes else file
        return {"longest_text": "99", "audio_is": "audio", "example": example}


@pytest.mark.parametrize("takes", INPUTS)
def test_the_python_gives_the_model_its_inputs(
    bare_python: Path, speech_models: dict[str, Path], tmp_path: Path, takes: str
) -> None:
    """The manifest's inputs are the graph's own, as a build describes them."""
    path = speech_models[takes]
    described = describe(path)
    said = {
        "recipe": "speech",
        "model": {"family": "whisper"},
        "target": "desktop",
        "provider": "cpu",
        "variants": {"v1": {"files": {"onnx": "model.onnx"}, **described}},
    }
    shutil.copy(path, tmp_path / "model.onnx")
    (tmp_path / "clip.wav").write_bytes(bytes([1, 2, 4]))
    code = code_sections(manifest(said), Facts()).partition("```python\n")[2].partition("```")[0]
    done = subprocess.run(
        [str(bare_python), "-I", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    audio = (16_000, 0) if takes == "audio_pcm" else (3, 7)
    assert done.stdout == told(*audio, 1, 99, 1, 1, 1.0, 1.0) + "\n", done.stderr

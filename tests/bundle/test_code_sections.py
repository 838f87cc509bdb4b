"""The code for a single-file Whisper gives each input that the manifest names, in its type."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from olive_build.errors import BundleError
from olive_build.targets import Target, load_target, target_names

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from family_facts import AUDIO, NUMBERS, code_sections  # noqa: E402
from family_facts import SPEECH as FACTS  # noqa: E402
from family_facts import speech_manifest as manifest  # noqa: E402

# How each language says a type, beside the name of an input.
TYPES = {
    "python": {"int32": "np.int32", "float": "np.float32"},
    "kotlin": {"int32": "int32(", "float": "float32("},
    "swift": {"int32": ".int32", "float": ".float"},
    "javascript": {"int32": "'int32'", "float": "'float32'"},
    "csharp": {"int32": "DenseTensor<int>", "float": "DenseTensor<float>"},
}
AUDIO_TYPES = {
    "python": {"audio_pcm": "np.float32", "audio_stream": "np.uint8"},
    "kotlin": {"audio_pcm": "FloatBuffer.wrap(samples)", "audio_stream": "OnnxJavaType.UINT8"},
    "swift": {"audio_pcm": "samples, .float,", "audio_stream": "file, .uInt8,"},
    "javascript": {"audio_pcm": "'float32', samples", "audio_stream": "'uint8', file"},
    "csharp": {"audio_pcm": "<float>(samples,", "audio_stream": "<byte>(file,"},
}
# The languages of each target's README, in order.
SHOWN = {
    "android": ("kotlin", "javascript", "csharp"),
    "ios": ("swift", "javascript", "csharp"),
    "desktop": ("python",),
    "windows": ("csharp",),
}
# What a line of code may keep of the signs that templates use.
KEPT = r"\$0|returned \$read"


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("takes", AUDIO)
@pytest.mark.parametrize("target", SHOWN)
def test_each_language_gives_each_input_in_its_type(target: str, takes: str) -> None:
    text = code_sections(manifest(target, takes), FACTS)
    for language in SHOWN[target]:
        code = blocks(text, language)[0]
        lines = [line for line in code.splitlines() if "Returns" not in line]
        for name, kind in NUMBERS.items():
            (line,) = [line for line in lines if re.search(rf"\b{name}\b\W* .*\d", line)]
            assert TYPES[language][kind] in line
        assert takes in code and AUDIO_TYPES[language][takes] in code
        assert "text_out" in code and "v1/model.onnx" in code
        assert re.search(r"max_length.*77", code)
    assert "$" not in re.sub(KEPT, "", text)


def test_the_first_language_is_the_systems_and_others_follow_under_headings() -> None:
    for target, first in (("android", "kotlin"), ("ios", "swift")):
        text = code_sections(manifest(target), FACTS)
        headings = [line for line in text.splitlines() if line.startswith("### ")]
        assert headings[-2:] == ["### From React Native", "### From .NET MAUI"]
        assert text.index(f"```{first}") < text.index(headings[0])
        assert "onnxruntimeExtensionsEnabled" in text and "RegisterOrtExtensions" in text
    for target in ("desktop", "windows"):
        assert "### " not in code_sections(manifest(target), FACTS)


def test_only_samples_are_recorded() -> None:
    recorded = code_sections(manifest("android"), FACTS)
    assert "ENCODING_PCM_FLOAT" in recorded and "seconds: Int = 7" in recorded
    assert "AudioRecord" not in code_sections(manifest("android", "audio_stream"), FACTS)


@pytest.mark.parametrize("target", SHOWN)
def test_what_the_model_bounds_is_said_once(target: str) -> None:
    text = code_sections(manifest(target), FACTS)
    assert text.count("Audio after the first 7 s is cut off.") == 1
    assert "is at most 77" in text


def _packages(target: Target) -> set[str]:
    return {package.name for package in (*target.packages, *target.extension_packages)}


@pytest.mark.parametrize("target", SHOWN)
def test_the_code_names_no_package_of_another_target(target: str) -> None:
    """Before the sections for other frameworks, which name their own."""
    text = code_sections(manifest(target), FACTS).partition("### From React Native")[0]
    here = _packages(load_target(target))
    foreign = {name for other in target_names() for name in _packages(load_target(other))} - here
    named = set(re.findall(r"[\w./@:-]*onnxruntime[\w./:-]*", text, re.IGNORECASE))
    assert not named & foreign


@pytest.mark.parametrize(
    ("target", "provider", "line"),
    [
        ("android", "xnnpack", "options.addXnnpack(emptyMap())"),
        ("android", "nnapi", "options.addNnapi()"),
        ("ios", "coreml", "appendCoreMLExecutionProvider"),
        ("ios", "xnnpack", "appendXnnpackExecutionProvider"),
        ("windows", "directml", "AppendExecutionProvider_DML"),
        ("windows", "cuda", "AppendExecutionProvider_CUDA"),
    ],
)
def test_the_code_asks_for_the_bundles_provider(target: str, provider: str, line: str) -> None:
    assert line in code_sections(manifest(target, provider=provider), FACTS)
    on_cpu = code_sections(manifest(target, provider="cpu"), FACTS)
    assert "append" not in on_cpu.lower() and "options.add" not in on_cpu
    assert not re.search(r"[^\n]\n +\n", on_cpu)


def test_an_input_that_no_code_knows_is_an_error_and_one_that_is_absent_is_not_given() -> None:
    described = manifest("android")
    inputs = described["variants"]["v1"]["inputs"]
    inputs.pop()
    assert "repetition_penalty" not in code_sections(described, FACTS)
    for wrong in (
        {"name": "temperature", "type": "float", "axes": [1]},
        {"name": "num_beams", "type": "int64", "axes": [1]},
        {"name": "num_beams", "type": "int32", "axes": [1, 2]},
    ):
        inputs[1] = wrong
        with pytest.raises(BundleError, match=wrong["name"]):
            code_sections(described, FACTS)


def test_a_model_in_parts_is_for_transformers_js() -> None:
    described = manifest("web", "input_features")
    text = code_sections(described, FACTS)
    (code,) = blocks(text, "javascript")
    assert "pipeline('automatic-speech-recognition', 'my-speech', { dtype: 'v1' })" in code
    assert "env.allowRemoteModels = false" in code
    assert "transcribe(samples, { language: 'en', task: 'transcribe' })" in code
    english = replace(FACTS, languages={}, tasks={})
    assert "transcribe(samples)" in code_sections(described, english)
    assert "$" not in text and "max_length" not in text


def test_an_npu_runs_the_encoder_on_features_of_its_shape() -> None:
    described = manifest("npu", "input_features")
    described["variants"]["v1"]["inputs"][0]["axes"] = [1, 81, 700]
    (code,) = blocks(code_sections(described, FACTS), "python")
    ast.parse(code)
    assert "np.zeros((1, 81, 700), np.float32)" in code and '{"input_features": features}' in code

"""The code in a bundle's README uses the names, files and sizes of the bundle."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from olive_build.bundle import readme as module
from olive_build.families.facts import Facts
from olive_build.targets import load_language, load_target

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "record")]

from family_facts import IMAGES  # noqa: E402
from family_facts import SENTENCES as FACTS  # noqa: E402
from samples import manifest as sound  # noqa: E402


def readme(described: dict[str, Any], facts: Facts) -> bytes:
    return module.readme(sound(described), facts)


def manifest(target: str, family: str = "sentence-embedding") -> dict[str, Any]:
    web = target == "web"
    files = {"onnx": "onnx/model_quantized.onnx" if web else "v1/model.onnx"}
    value = {"name": "input_ids" if web else "in_here", "type": "string", "axes": ["batch_size"]}
    output = {"name": "out_there", "type": "float", "axes": ["batch_size", 77]}
    return {
        "recipe": "my-model",
        "description": "A model for this test",
        "target": target,
        "status": "prepared, not run",
        "provider": load_target(target).default_provider,
        "model": {"family": family, "origin": "package x", "revision": "1", "licence": "MIT"},
        "variants": {
            "v1": {"precision": "fp32", "files": files, "inputs": [value], "outputs": [output]},
        },
        "runtime": {
            "execution_provider": "CPUExecutionProvider",
            "packages": [
                {"name": "some-runtime", "ecosystem": "npm", "lowest": "1.2.3", "why": "it runs"}
            ],
        },
        "files": [{"path": files["onnx"], "size_bytes": 1_500_000, "sha256": "0" * 64}],
    }


@pytest.mark.parametrize("target", ["desktop", "web", "android", "ios", "windows"])
def test_the_readme_speaks_of_this_bundle(target: str) -> None:
    text = readme(manifest(target), FACTS).decode()
    language = load_language(load_target(target).language).fence
    (code,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert "$" not in re.sub(r"\$0", "", code)
    assert "77" in code
    assert "some-runtime (npm) 1.2.3 or newer: it runs" in text
    assert "Status: prepared, not run." in text
    assert "| 1.5 |" in text
    if target == "web":
        assert "pipeline('feature-extraction', 'my-model', { dtype: 'v1' })" in code
        assert "pooling: 'cls'" in code and "normalize: false" in code
    else:
        assert "in_here" in code and "out_there" in code and "v1/model.onnx" in code
    if target == "desktop":
        ast.parse(code)


@pytest.mark.parametrize("target", ["desktop", "web", "android", "ios", "windows", "npu"])
@pytest.mark.parametrize("takes", ["image", "pixel_values"])
def test_the_code_for_images_is_of_their_size_and_has_no_tokenizer(target: str, takes: str) -> None:
    described = manifest(target, "image-classification")
    variant = described["variants"]["v1"]
    variant["inputs"][0]["name"] = takes
    variant["outputs"] = [{**variant["outputs"][0], "name": name} for name in ("first", "last")]
    text = readme(described, IMAGES).decode()
    language = load_language(load_target(target).language).fence
    shown = language if takes == "image" or target == "web" else "python"
    (code,) = re.findall(rf"```{shown}\n(.*?)```", text, re.DOTALL)
    assert "$" not in re.sub(r"\$0", "", code)
    assert "48" in code and "56" in code and "77" in code
    assert "okenizer" not in text
    if target == "web":
        assert "pipeline('image-classification', 'my-model', { dtype: 'v1' })" in code
        assert "grayscale()" in code
    else:
        assert takes in code and "last" in code
    if shown == "python":
        ast.parse(code)
        assert ("pixels.transpose(0, 3, 1, 2)" in code) == (takes == "pixel_values")
        assert ("picture.resize(" in code) == (takes == "pixel_values")


@pytest.mark.parametrize("target", ["desktop", "android", "npu"])
def test_the_python_for_pixels_prepares_a_picture_of_any_size_as_pillow_does(target: str) -> None:
    import numpy as np
    from PIL import Image

    described = manifest(target, "image-classification")
    described["variants"]["v1"]["inputs"][0]["name"] = "pixel_values"
    (code,) = re.findall(r"```python\n(.*?)```", readme(described, IMAGES).decode(), re.DOTALL)
    example = re.search(r"picture = (Image\.new\(.*?\)\))", code)
    assert example
    lines = code[example.end() : code.index("scores = ")].partition("\n")[2]
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (61, 90), np.uint8))
    known = {"np": np, "Image": Image, "picture": picture}
    exec(lines, known)  # noqa: S102 - the code is of this test
    resized = np.array(picture.resize((56, 48), Image.Resampling.BILINEAR))
    wanted = (resized[None, None] / 255 - 0.5) / 0.25
    np.testing.assert_allclose(known["pixels"], wanted, atol=1e-6)


def test_the_code_for_an_npu_pads_to_the_graphs_length_and_says_what_it_takes() -> None:
    described = manifest("npu")
    variant = described["variants"]["v1"]
    variant["inputs"] = [
        {"name": name, "type": "int64", "axes": [1, 61]} for name in ("input_ids", "attention_mask")
    ]
    variant["partition"] = {"text": "Qualcomm QNN takes the graph in 1 piece: 7 of 7 nodes"}
    text = readme(described, FACTS).decode()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    ast.parse(code)
    assert "enable_truncation(61)" in code and "enable_padding(length=61)" in code
    assert "get_qnn_htp_path()" in code and "v1/model.onnx" in code
    assert "- v1: Qualcomm QNN takes the graph in 1 piece: 7 of 7 nodes" in text
    assert "61 tokens" in text and "pool it (cls over the tokens" in text

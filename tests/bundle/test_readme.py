"""The code in a bundle's README uses the names, files and sizes of the bundle."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest

from olive_build.bundle.readme import readme
from olive_build.families.sentence_embedding.spec import SentenceEmbeddingFacts
from olive_build.targets import load_target

FACTS = SentenceEmbeddingFacts("bert", 6, 12, 77, 256, "cls", False, ("input_ids",), ())


def manifest(target: str) -> dict[str, Any]:
    web = target == "web"
    files = {"onnx": "onnx/model_quantized.onnx" if web else "v1/model.onnx"}
    value = {"name": "in_here", "type": "string", "axes": ["batch_size"]}
    output = {"name": "out_there", "type": "float", "axes": ["batch_size", 77]}
    return {
        "recipe": "my-model",
        "description": "A model for this test",
        "target": target,
        "status": "prepared, not run",
        "execution_provider": "SomeExecutionProvider",
        "model": {"origin": "package x", "revision": "1", "licence": "MIT"},
        "variants": {
            "v1": {"files": files, "inputs": [value], "outputs": [output]},
        },
        "runtime": {
            "packages": [
                {"name": "some-runtime", "ecosystem": "npm", "lowest": "1.2.3", "why": "it runs"}
            ]
        },
        "files": [{"path": files["onnx"], "size_bytes": 1_500_000, "sha256": "0"}],
    }


@pytest.mark.parametrize("target", ["desktop", "web", "android", "ios", "windows"])
def test_the_readme_speaks_of_this_bundle(target: str) -> None:
    text = readme(manifest(target), FACTS).decode()
    language = load_target(target).language
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

"""A configuration of Olive becomes a bundle, with nothing written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable

from tiny_recipe import Project

CONFIGURATION = {
    "input_model": {"type": "HfModel", "model_path": "recipes/model", "task": "feature-extraction"},
    "systems": {
        "local": {
            "type": "LocalSystem",
            "accelerators": [{"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}],
        }
    },
    "passes": {
        "conversion": {"type": "OnnxConversion", "target_opset": 18},
        "fusion": {"type": "OrtTransformersOptimization", "model_type": "bert"},
        "quantization": [
            {"type": "OnnxDynamicQuantization", "per_channel": True},
            {"type": "OnnxFloatToFloat16", "keep_io_types": True},
        ],
        "metadata": {"type": "AddOliveMetadata", "graph_name": "sentences"},
    },
    "target": "local",
    "output_dir": "models",
}


def test_an_imported_configuration_is_built_and_verified(
    new_project: Callable[..., Project],
) -> None:
    project = new_project()
    (project.folder / "olive.json").write_text(json.dumps(CONFIGURATION), encoding="utf-8")
    imported = project.run("import", "olive.json", "--licence", "Apache-2.0", "--json")
    assert imported.code == 0, imported.err
    assert [row["path"] for row in imported.json["left_out"]] == [
        "passes.fusion.model_type",
        "output_dir",
    ]
    built = project.run("build", "olive", "--set", "verify.timing=false")
    assert built.code == 0, built.out + built.err
    bundle = project.bundle("desktop", "olive")
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    assert {name: item["precision"] for name, item in manifest["variants"].items()} == {
        "int8": "int8",
        "fp16": "fp16",
    }
    verified = project.run("verify", str(bundle))
    assert verified.code == 0, verified.out + verified.err

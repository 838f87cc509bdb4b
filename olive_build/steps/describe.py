"""What a file is, for its manifest: inputs, outputs, opset, operators by domain and type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.engine.step import Step, write_json
from olive_build.onnx_files.header import Value, read_onnx

DESCRIPTION = "description.json"
# What onnx calls the types that others name by their size.
ONNX_NAMES = {"float32": "float", "float64": "double"}


@dataclass(frozen=True)
class Describe(Step):
    """Write description.json of an ONNX model. Inputs: model.

    Holds inputs and outputs (name, type, axes), opset and IR versions, operators by domain with
    counts, stored values, what the mobile usability checker of onnxruntime finds where `mobile`
    asks for it, and into how many pieces `provider` would take the graph apart ("" for none). The
    graphs inside nodes, such as branches, and functions are counted too.
    """

    mobile: bool
    provider: str = ""

    worker = "onnxruntime"
    stage = "prove"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.steps.model_check import MODEL, read

        path = inputs["model"] / MODEL
        description = describe(path)
        model = read(path, weights=False) if self.provider or self.mobile else None
        if self.provider:
            from olive_build.record.codec import encode
            from olive_build.targets.partition import partition

            description["partition"] = encode(partition(model, self.provider))
        if self.mobile:
            description["mobile_usability"] = _mobile_usability(model)
        write_json(out / DESCRIPTION, description)


def describe(path: Path) -> dict[str, Any]:
    """Return the description of an ONNX file as plain data, without loading onnx.

    Raises DamagedFile where it is none.
    """
    model = read_onnx(path)
    domains: dict[str, dict[str, int]] = {}
    for node in model.nodes:
        counts = domains.setdefault(node.domain, {})
        counts[node.name] = counts.get(node.name, 0) + 1
    return {
        "inputs": [_value(value) for value in model.inputs],
        "outputs": [_value(value) for value in model.outputs],
        "ir_version": model.ir,
        "opsets": model.opsets,
        "operators": domains,
        "stored_values": model.stored_values,
    }


def _value(value: Value) -> dict[str, Any]:
    dtype = ONNX_NAMES.get(value.element, value.element)
    return {"name": value.name, "type": dtype, "axes": [axis or 0 for axis in value.shape]}


def _mobile_usability(given: Any) -> dict[str, Any]:
    import onnx
    from onnxruntime.tools.mobile_helpers import usability_checker

    checker: Any = usability_checker
    # As the checker's own ModelProtoWithShapeInfo does, which takes all weights into memory.
    model = onnx.shape_inference.infer_shapes(given, strict_mode=True)
    checks: dict[str, Any] = {
        "nnapi": lambda fixed: checker.check_nnapi_partitions(model, fixed),
        "coreml_mlprogram": lambda fixed: checker.check_coreml_partitions(
            model, fixed, "coreml_supported_mlprogram_ops.md"
        ),
    }
    result: dict[str, Any] = {}
    for name, check in checks.items():
        for key, fixed in (("as_is", True), ("with_fixed_shapes", False)):
            info = check(fixed)
            result.setdefault(name, {})[key] = {
                "nodes": info.num_nodes,
                "supported_nodes": info.num_supported_nodes,
                "partitions": info.num_partitions,
                "suitability": info.suitability().name.lower(),
                "unsupported_operators": sorted(info.unsupported_ops),
            }
    return result

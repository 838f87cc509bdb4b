"""Which method of ours stands for each quantizing pass of Olive, and what its options become."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

# What an option's value becomes: a knob of the method and its value, or why there is none.
Rule = Callable[[Any], tuple[str, Any] | str]


def same(knob: str) -> Rule:
    """Return the rule of an option whose values are those of a knob."""
    return lambda value: (knob, value)


def chosen(knob: str, values: Mapping[str, Any], why: str) -> Rule:
    """Return the rule of an option of which these values have a counterpart."""

    def rule(value: Any) -> tuple[str, Any] | str:
        name = str(value).lower()
        return (knob, values[name]) if name in values else why

    return rule


def never(why: str) -> Rule:
    """Return the rule of an option that no knob stands for."""
    return lambda _: why


NAMES = never(
    "the nodes of a bundle have other names: look them up in its fp32 graph and write `exclude`"
)
BESIDE = "weights lie beside a graph from 1.8 GB on, whatever is written"
DATA = "calibration reads a file: verify.calibration, or --calibration"
ROUNDING = "how values are rounded is the method's own"
COMMON: Mapping[str, Rule] = {
    "save_as_external_data": never(BESIDE),
    "all_tensors_to_one_file": never(BESIDE),
    "external_data_name": never(BESIDE),
    "size_threshold": never(BESIDE),
    "convert_attribute": never(BESIDE),
    "nodes_to_exclude": NAMES,
    "nodes_to_include": NAMES,
    "nodes_to_quantize": NAMES,
    "node_block_list": NAMES,
    "node_include_list": NAMES,
    "int4_nodes_to_exclude": NAMES,
    "force_fp32_nodes": NAMES,
    "op_types_to_exclude": never("write `operators`, those to quantize"),
    "data_config": never(DATA),
    "quant_preprocess": never("graphs are always prepared for their quantizer"),
    "prepare_qdq_config": never("the method prepares its graph for the provider"),
    "extra_options": never("options of onnxruntime's quantizer are set by the method"),
    "weight_symmetric": never("int8 weights lie round zero, uint8 weights have zero points"),
    "activation_symmetric": never("activations have zero points"),
    "calibration_providers": never("calibration runs on the CPU"),
    "min_real_range": never(ROUNDING),
    "tensor_quant_overrides": NAMES,
    "axis": never("blocks lie along the inputs of a product"),
    "device": never("builds run on the CPU"),
    "op_include_list": never("write `exclude_operators`, those that stay in fp32"),
    "min_positive_val": never(ROUNDING),
    "max_finite_val": never(ROUNDING),
    "use_symbolic_shape_infer": never("shapes are inferred as the converter needs them"),
}
_BYTES = {"int8": "int8", "qint8": "int8", "uint8": "uint8", "quint8": "uint8"}
_NOT_BYTES = "the method has int8 and uint8 weights"
_OPERATORS = {"op_types_to_quantize": same("operators")}
_DYNAMIC: Mapping[str, Rule] = {
    "per_channel": same("per_channel"),
    "reduce_range": same("reduce_range"),
    "precision": chosen("weight_type", _BYTES, _NOT_BYTES),
    "weight_type": chosen("weight_type", _BYTES, _NOT_BYTES),
    "activation_type": never("activations are quantized while running, to uint8"),
    "quant_mode": chosen("", {"dynamic": None}, "the pass is for another mode"),
    **_OPERATORS,
}
_STATIC: Mapping[str, Rule] = {
    "per_channel": same("per_channel"),
    "precision": chosen("weights", _BYTES, _NOT_BYTES),
    "weight_type": chosen("weights", _BYTES, _NOT_BYTES),
    "activation_type": chosen(
        "activations",
        {"uint8": "uint8", "quint8": "uint8", "uint16": "uint16", "quint16": "uint16"},
        "the method has uint8 and uint16 activations",
    ),
    "calibrate_method": chosen(
        "calibration",
        {"minmax": "min-max", "percentile": "percentile"},
        "the method takes ranges by min-max or percentile",
    ),
    "quant_format": chosen("", {"qdq": None}, "the method writes QDQ"),
    "quant_mode": chosen("", {"static": None}, "the pass is for another mode"),
    "reduce_range": never("products that could overflow are kept from it by the method"),
    **_OPERATORS,
}
_BLOCKS: Mapping[str, Rule] = {
    "bits": same("bits"),
    "block_size": same("block_size"),
    "group_size": same("block_size"),
    "is_symmetric": same("symmetric"),
    "sym": same("symmetric"),
    "accuracy_level": same("accuracy_level"),
    "embeds": same("embeddings"),
    "customized_weight_config": NAMES,
    "overrides": NAMES,
    "lm_head": never("all products are quantized: `exclude` keeps some as they are"),
    "algorithm": chosen(
        "algorithm",
        {"default": "rtn", "rtn": "rtn", "k_quant": "k-quant", "gptq": "gptq", "hqq": "k-quant"},
        "the method has rtn, k-quant and gptq",
    ),
}
_HALF: Mapping[str, Rule] = {
    "keep_io_types": lambda value: (
        ("keep_io_types", value)
        if isinstance(value, bool)
        else "inputs and outputs are kept all or none"
    ),
    "op_block_list": same("exclude_operators"),
    "atol": never("a variant is judged by its budgets"),
}
_BUILDER: Mapping[str, Rule] = {
    "int4_block_size": same("block_size"),
    "int4_is_symmetric": same("symmetric"),
    "int4_accuracy_level": same("accuracy_level"),
    "int4_algo_config": chosen(
        "algorithm",
        {"default": "rtn", "rtn": "rtn", "k_quant": "k-quant"},
        "all products have the same number of bits, by rtn, k-quant or gptq",
    ),
    "int4_op_types_to_quantize": never("products and lookup tables are quantized"),
    "int4_nodes_to_exclude": NAMES,
}


@dataclass(frozen=True)
class Quantizer:
    """The method that stands for a pass, what it says whatever the options, and their rules.

    `remark` is said beside it in the recipe.
    """

    method: str
    rules: Mapping[str, Rule]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    remark: str = ""


_GPTQ = Quantizer("weight-only", _BLOCKS, {"algorithm": "gptq"})
_RTN = Quantizer("weight-only", _BLOCKS)
_K_QUANT = Quantizer("weight-only", _BLOCKS, {"algorithm": "k-quant"})
_NEURAL = "olive_build's method in place of Neural Compressor's"
QUANTIZERS: Mapping[str, Quantizer] = {
    "onnxdynamicquantization": Quantizer("dynamic-int8", _DYNAMIC),
    "onnxstaticquantization": Quantizer("static-int8", _STATIC),
    "incdynamicquantization": Quantizer("dynamic-int8", {"reduce_range": same("reduce_range")},
                                        remark=_NEURAL),
    "incstaticquantization": Quantizer("static-int8", {"quant_format": _STATIC["quant_format"]},
                                       remark=_NEURAL),
    "onnxblockwisertnquantization": _RTN,
    "onnxmatmul4quantizer": _RTN,  # of Olive before 0.9
    "onnxkquantquantization": _K_QUANT,
    "onnxhqqquantization": Quantizer(
        "weight-only", _BLOCKS, {"algorithm": "k-quant"}, "Olive's HQQ computes noise"
    ),
    "gptq": _GPTQ,
    "gptqquantizer": _GPTQ,
    "gptqmodel": _GPTQ,
    "rtn": _RTN,
    "kquant": _K_QUANT,
    "onnxfloattofloat16": Quantizer("fp16", _HALF),
    "ortmixedprecision": Quantizer(
        "fp16", _HALF, remark="with the operators of op_block_list in fp32"
    ),
}  # fmt: skip
# By the precision that the pass of onnxruntime-genai is given.
BUILDER_PRECISIONS: Mapping[str, Quantizer | None] = {
    "fp32": None,
    "fp16": Quantizer("fp16", _BUILDER),
    "int4": Quantizer("weight-only", _BUILDER),
    "uint4": Quantizer("weight-only", _BUILDER),
    "int8": Quantizer("weight-only", _BUILDER, {"bits": 8}),
    "uint8": Quantizer("weight-only", _BUILDER, {"bits": 8}),
}
# The name of a variant by its method, activations and bits, as the built-in ones are called.
FP16_BLOCKS = "q4f16"


def variant_name(quantize: Mapping[str, Any]) -> str:
    """Return what a variant of a method is called."""
    method = quantize["method"]
    if method == "weight-only":
        if quantize.get("bits", 4) != 4:
            return "q8"
        return FP16_BLOCKS if quantize.get("activations") == "fp16" else "q4"
    if method == "static-int8":
        return "w8a16" if quantize.get("activations") == "uint16" else "w8a8"
    return {"dynamic-int8": "int8", "fp16": "fp16"}[str(method)]

"""`passes` of a configuration -> export, fuse, variants and passes of a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from olive_build.importing.ledger import Found, Ledger, Part, as_list
from olive_build.importing.quantizers import (
    BUILDER_PRECISIONS,
    COMMON,
    QUANTIZERS,
    Quantizer,
    variant_name,
)
from olive_build.recipe.catalogue import load_catalogue
from olive_build.recipe.draft import Draft, Where
from olive_build.recipe.suggest import did_you_mean
from olive_build.recipe.variants import FOR_SIZE

EXPORTS = ("onnxconversion", "optimumconversion", "modelbuilder", "mobiusbuilder")
FUSIONS = ("orttransformersoptimization", "onnxscriptfusion")
SHAPES, OPSET, BUILDER = "dynamictofixedshape", "onnxopversionconversion", "modelbuilder"
SEARCHED = "SEARCHABLE_VALUES"
_BEFORE = "it works on the PyTorch model, and passes of a recipe run on the exported graph"
_VENDOR = "bundles hold graphs for ONNX Runtime, which its provider compiles on the device"
_TOOL = "it quantizes by a tool of its own: write a method of ours, see docs/quantization.md"
_PARTS = "the parts of a model are made and joined by its family"
# Passes that a recipe has no use for, with why.
NOT_USED: Mapping[str, str] = {
    "onnxpeepholeoptimizer": "the export does this, and a pass that changes nothing fails a build",
    "onnxquantizationpreprocess": "graphs are always prepared for their quantizer",
    "ortsessionparamstuning": "it tunes a session on one machine, and changes no file",
    "onnxdiscrepancycheck": "every file is compared with PyTorch",
    "onnxbnb4quantization": "4-bit floats have no method: the nearest is weight-only with 4 bits",
    "mergeadapterweights": "model.adapter is merged before the export",
    "splitmodel": _PARTS,
    "composeonnxmodels": _PARTS,
    "optimummerging": _PARTS,
    "extractadapters": "an adapter is merged, or trained on the device by `train`",
    "mixedprecisionoverrides": _TOOL,
    "incquantization": _TOOL,
    "aimetquantization": _TOOL,
    "quarkquantization": _TOOL,
    "vitisaiquantization": _TOOL,
    "nvmodeloptquantization": _TOOL,
    "openvinoquantization": _TOOL,
    "openvinoquantizationwithaccuracy": _TOOL,
    "openvinoweightcompression": _TOOL,
    "epcontextbinarygenerator": _VENDOR,
    "openvinoconversion": _VENDOR,
    "qnnconversion": _VENDOR,
    "qnnpreprocess": "the target npu prepares its graph",
    "vitisaiaddmetadata": _VENDOR,
    "vitisgeneratemodelllm": _VENDOR,
    "vitisgeneratemodelsd": _VENDOR,
    "qairtmha2sha": _VENDOR,
}
_FUSION_OPTIONS: Mapping[str, str] = {
    "model_type": "it is found from the model",
    "num_heads": "it is found from the model",
    "num_key_value_heads": "it is found from the model",
    "hidden_size": "it is found from the model",
    "use_gpu": "the provider of a target says it",
    "use_gqa": "the provider of a target says it",
    "opt_level": "the runtime optimizes when it loads a file",
    "only_onnxruntime": "the runtime optimizes when it loads a file",
    "optimization_options": "attention is fused as a whole, or not",
    "input_int32": "inputs keep the types that client libraries give them",
    "force_fp16_inputs": "inputs keep the types that client libraries give them",
}
_EXPORT_OPTIONS: Mapping[str, str] = {
    "device": "models are exported on the CPU",
    "parallel_jobs": "`olive-build build --jobs` says it",
    "merge_components": _PARTS,
    "components": _PARTS,
    "fp16": "write a variant fp16",
    "extra_args": "the export is the family's own",
    "optimize": "the exporter always optimizes",
    "dynamic": "axes are dynamic unless `export.shapes` gives their sizes",
    "use_dynamo_exporter": "the export is always by torch.export (dynamo)",
}
_BUILDER_OPTIONS = "it is for onnxruntime-genai, whose layout is not built"
Quantize = dict[str, tuple[Any, Where]]


@dataclass
class _Line:
    """One way through the passes: what quantizes, knob by knob, with where each is written."""

    quantize: Quantize = field(default_factory=dict)
    remark: str = ""

    def plain(self) -> dict[str, Any]:
        return {knob: value for knob, (value, _) in self.quantize.items()}


@dataclass
class _Passes:
    """What the passes come to while they are read, in their order."""

    ledger: Ledger
    draft: Draft
    stage: str = "export"
    others: int = 0
    lines: list[_Line] = field(default_factory=lambda: [_Line()])


def say_passes(ledger: Ledger, draft: Draft) -> None:
    """Write what the passes are in a recipe; alternatives of a quantizing one become variants."""
    root = Part(ledger, Found((), ledger.configuration))
    state = _Passes(ledger, draft)
    for _, slot in root.part("passes").entries():
        _say_slot(state, slot)
    _say_variants(state)


def _say_slot(state: _Passes, slot: Found) -> None:
    """Write a pass of the configuration, or its alternatives."""
    parts = [Part(state.ledger, item, "config") for item in as_list(slot)]
    made = [(part, found) for part in parts if (found := _quantizers(part)) is not None]
    if made:
        before, state.lines = state.lines, []
        for part, quantizer in made:
            for line in before:
                state.lines.append(_quantized(state, line, part, quantizer))
        state.stage = "quantize"
    others = [part for part in parts if all(part is not own for own, _ in made)]
    for at, part in enumerate(others):
        _leave_run(part)
        if at or made:
            why = NOT_USED.get(_kind(part), "alternatives are for variants, which quantize")
            state.ledger.leave(part.where, why)
        else:
            _say_pass(state, part)


def _kind(part: Part) -> str:
    return (part.text("type") or "").rpartition(".")[2].lower()


def _quantizers(part: Part) -> Quantizer | None:
    """Return the method for a pass, or None where it quantizes nothing."""
    kind = _kind(part)
    mode = part.find("quant_mode") or part.find("approach")
    if kind == "onnxquantization":
        is_dynamic = mode is not None and str(mode.value).lower() == "dynamic"
        kind = "onnxdynamicquantization" if is_dynamic else "onnxstaticquantization"
    if kind == "incquantization":
        is_static = mode is not None and str(mode.value).lower() == "static"
        kind = "incstaticquantization" if is_static else "incdynamicquantization"
    return QUANTIZERS.get(kind)


def _leave_run(part: Part) -> None:
    part.leave("host", "builds run on this machine")
    part.leave("evaluator", "every variant of a recipe is measured")


def _quantized(state: _Passes, line: _Line, part: Part, quantizer: Quantizer) -> _Line:
    """Return a line with what a quantizing pass adds to it."""
    _leave_run(part)
    part.use("type", "approach")
    kind = (*part.where, "type")
    said: Quantize = {"method": (quantizer.method, kind)}
    said |= {knob: (value, kind) for knob, value in quantizer.fixed.items()}
    for key, found in part.entries():
        if key in ("type", "host", "evaluator", "approach"):
            continue
        result = _option(key, found.value, quantizer)
        if isinstance(result, str):
            state.ledger.leave(found.where, result)
            continue
        state.ledger.use(found.where)
        if result[0]:
            said[result[0]] = (result[1], found.where)
    return _joined(state, line, _Line(said, quantizer.remark), part.where)


def _option(key: str, value: Any, quantizer: Quantizer) -> tuple[str, Any] | str:
    if value == SEARCHED:
        return "no value is written: `quantize: auto` searches, by the budgets"
    if value == "DEFAULT_VALUE":
        return "", None
    rule = quantizer.rules.get(key) or COMMON.get(key)
    return rule(value) if rule else f"the method {quantizer.method} has no such option"


def _joined(state: _Passes, line: _Line, new: _Line, where: Where) -> _Line:
    """Return two methods as one, if there is one; else the first, and the second is listed."""
    if not line.quantize:
        return new
    by_method = {item.plain()["method"]: item for item in (line, new)}
    if set(by_method) != {"weight-only", "fp16"}:
        first = line.plain()["method"]
        state.ledger.leave(where, f"a variant has one method, and this one is {first} already")
        return line
    blocks, half = by_method["weight-only"], by_method["fp16"]
    quantize = {**blocks.quantize, "activations": ("fp16", half.quantize["method"][1])}
    for knob, (value, at) in half.quantize.items():
        if knob == "keep_io_types":
            quantize[knob] = (value, at)
        elif knob != "method":
            state.ledger.leave(at, "with weights in blocks, all else becomes fp16")
    return _Line(quantize, blocks.remark)


def _say_pass(state: _Passes, part: Part) -> None:
    """Write a pass that quantizes nothing."""
    kind = _kind(part)
    if kind in EXPORTS:
        _say_export(state, part, kind)
    elif kind in FUSIONS:
        _say_fusion(state, part)
    elif kind == SHAPES:
        _say_shapes(state, part)
    elif kind == OPSET and part.find("target_opset"):
        _say_opset(state, part)
    else:
        _say_other(state, part, kind)


def _say_export(state: _Passes, part: Part, kind: str) -> None:
    part.use("type")
    _say_opset(state, part)
    for key, found in part.entries():
        if kind == BUILDER and key != "type":
            part.leave(key, _BUILDER_OPTIONS)
        elif key in COMMON:
            why = COMMON[key](found.value)
            state.ledger.leave(found.where, why if isinstance(why, str) else "")
        elif key in _EXPORT_OPTIONS:
            part.leave(key, _EXPORT_OPTIONS[key])
    part.use("type", "target_opset")
    dynamo = part.find("use_dynamo_exporter")
    if dynamo and dynamo.value is True:
        part.use("use_dynamo_exporter")
    dtype = part.find("torch_dtype")
    if dtype and str(dtype.value).lower() == "float16":
        _say_half(state, dtype.where)
    elif dtype and str(dtype.value).lower() == "float32":
        part.use("torch_dtype")
    elif dtype:
        part.leave("torch_dtype", "variants are fp32, fp16 or quantized")
    if kind == BUILDER:
        _say_builder(state, part)


def _say_half(state: _Passes, where: Where) -> None:
    """Write that what is exported in half precision is a variant of it."""
    state.ledger.use(where)
    half = _Line({"method": ("fp16", where)})
    state.lines = [_joined(state, line, half, where) for line in state.lines]


def _say_builder(state: _Passes, part: Part) -> None:
    """Write the precision that onnxruntime-genai's builder is asked for."""
    precision = part.find("precision")
    name = str(precision.value).lower() if precision else "fp32"
    if name not in BUILDER_PRECISIONS:
        part.leave("precision", "variants are fp32, fp16, int8 or have weights of 4 or 8 bits")
        return
    part.use("precision")
    quantizer = BUILDER_PRECISIONS[name]
    if quantizer is None:
        return
    said: Quantize = {"method": (quantizer.method, precision.where if precision else part.where)}
    said |= {knob: (value, part.where) for knob, value in quantizer.fixed.items()}
    for key, found in part.entries():
        result = quantizer.rules[key](found.value) if key in quantizer.rules else ""
        if isinstance(result, tuple):
            state.ledger.use(found.where)
            said[result[0]] = (result[1], found.where)
        elif result:
            state.ledger.leave(found.where, result)
    state.lines = [_joined(state, line, _Line(said), part.where) for line in state.lines]


def _say_fusion(state: _Passes, part: Part) -> None:
    part.use("type")
    state.draft.say(("fuse", "attention"), "fused", (*part.where, "type"))
    state.stage = "fuse"
    half = part.find("float16")
    for key, found in part.entries():
        if key in COMMON:
            why = COMMON[key](found.value)
            state.ledger.leave(found.where, why if isinstance(why, str) else "")
        elif key in _FUSION_OPTIONS:
            part.leave(key, _FUSION_OPTIONS[key])
    if half is None or half.value is not True:
        part.use("float16", "keep_io_types")  # false, and what is of no effect then
        return
    _say_half(state, half.where)
    for key, knob in (("keep_io_types", "keep_io_types"), ("force_fp32_ops", "exclude_operators")):
        said = part.find(key)
        for line in state.lines:
            if said and line.plain()["method"] == "fp16":
                line.quantize[knob] = (said.value, said.where)
                state.ledger.use(said.where)


def _say_shapes(state: _Passes, part: Part) -> None:
    names, sizes = as_list(part.find("dim_param")), as_list(part.find("dim_value"))
    for key in ("input_name", "input_shape"):
        part.leave(key, "sizes are given by axis, which the family names: `export.shapes`")
    if not names:
        part.leave("type", "it names no axis: `export.shapes` gives sizes by axis")
        return
    part.use("type")
    for name, size in zip(names, sizes, strict=False):
        at = ("export", "shapes", str(name.value))
        state.draft.say(at, size.value, name.where, size.where)
        state.ledger.use(name.where)
        state.ledger.use(size.where)


def _say_opset(state: _Passes, part: Part) -> None:
    opset = part.find("target_opset")
    if opset:
        part.use("type", "target_opset")
        state.draft.say(("export", "opset"), opset.value, opset.where)


def _say_other(state: _Passes, part: Part, kind: str) -> None:
    """Write a pass as one of the recipe's `passes`, or why it cannot be."""
    catalogue = load_catalogue()
    name = next((known for known in catalogue.passes if known.lower() == kind), None)
    if kind in NOT_USED or name is None:
        near = did_you_mean(part.text("type") or "", catalogue.passes, "write it out in a recipe")
        unknown = f"Olive {catalogue.olive_version} has no such pass: {near}"
        state.ledger.leave(part.where, NOT_USED.get(kind, unknown))
        return
    if catalogue.passes[name].accepts != "onnx":
        state.ledger.leave(part.where, _BEFORE)
        return
    at = ("passes", state.others)
    state.others += 1
    state.draft.say((*at, "pass"), name, (*part.where, "type"))
    state.draft.say((*at, "after"), state.stage)
    for key, found in part.entries():
        if key not in ("type", "host", "evaluator"):
            state.draft.say((*at, "options", key), found.value, found.where)
            state.ledger.use(found.where)
    part.use("type")


def _say_variants(state: _Passes) -> None:
    """Write the variants, and that each target builds all of them."""
    names: dict[str, _Line] = {}
    for line in state.lines:
        name = variant_name(line.plain()) if line.quantize else "fp32"
        alike = [said for said, other in names.items() if other.plain() == line.plain()]
        if not alike:
            names[_free(name, names)] = line
    for name, line in names.items():
        told = "algorithm" if "algorithm" in line.quantize else "method"
        for knob, (value, where) in line.quantize.items():
            remark = line.remark if knob == told else ""
            state.draft.say(("variants", name, "quantize", knob), value, where, remark=remark)
        if name not in FOR_SIZE and name.startswith(FOR_SIZE):
            state.draft.say(("variants", name, "speed"), "any")
            state.draft.say(("variants", name, "because"), "weights in blocks are for size")
    for target in dict.fromkeys(at[1] for at in state.draft.below(("targets",))):
        for at, name in enumerate(names):
            state.draft.say(("targets", target, "variants", at), name)


def _free(name: str, names: Mapping[str, _Line]) -> str:
    """Return a name that no other variant has."""
    return next(free for free in _numbered(name) if free not in names)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1

"""One pair as a miniature, through all that the product does: export, fuse, int8, fp16."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from olive_build.calibration.inputs import CALIBRATION, write_inputs
from olive_build.clients.onnxruntime_client import open_session, run_named
from olive_build.engine.step import Step
from olive_build.errors import OliveBuildError, first_line
from olive_build.families.configuration import read_object
from olive_build.families.transformers import by_signature, rung
from olive_build.families.transformers.exceptions import refusal_of, start_of
from olive_build.families.transformers.ladder import climb
from olive_build.families.transformers.miniature import REPORT, write_miniature
from olive_build.families.transformers.rungs import RUNGS, TOLERANCE, relative_difference
from olive_build.families.transformers.trace import run, settings_of
from olive_build.methods import Method
from olive_build.methods._chain import Chain
from olive_build.methods.dynamic_int8 import DynamicInt8
from olive_build.methods.fp16 import Fp16
from olive_build.methods.static_int8 import StaticInt8
from olive_build.onnx_files.models import read
from olive_build.steps.fuse import FUSED, FuseKnownAttention
from olive_build.steps.model_check import MODEL, operators
from tests.architectures.forks import Found, forked
from tests.architectures.pairs import Pair

OPSET = 18
# Of one rung, and of all that is done with a pair.
RUNG_SECONDS, PAIR_SECONDS = 120, 600
BY_SIGNATURE = by_signature.__name__
# Nodes that a step may ask for to stay in fp32.
MOST_KEPT = 8


def proved(pair: Pair, folder: Path) -> Found:
    """Return what became of a pair; `verdict` is works, refused, no miniature, or fails."""
    config = pair.configuration()
    reason = refusal_of(config.to_dict())
    if reason is not None:
        return {"verdict": "refused", "why": reason}
    source, model, graph = (_made(folder / name) for name in ("source", "model", "graph"))
    config.save_pretrained(str(source))
    try:
        write_miniature(model, source=source, task=pair.task)
    except Exception as error:  # noqa: BLE001 - configurations of all kinds; it is told
        return {"verdict": "no miniature", "why": _said(error)}
    report = read_object(model / REPORT)
    found: Found = {"start": start_of(config.to_dict()), "notes": report["notes"]}
    try:
        climbed = climb(model, BY_SIGNATURE, OPSET, graph, seconds=RUNG_SECONDS, attempt=_attempt)
    except OliveBuildError as error:
        return {**found, "verdict": "fails", "why": f"export: {_said(error)}"}
    found |= climbed.as_json()
    proof = _Proof.of(model, climbed.rung)
    found["fused"] = _tried(lambda: _fused(graph, _made(folder / "fused"), proof))
    int8, fp16 = (_made(folder / name) for name in ("int8", "fp16"))
    found["int8"] = _tried(lambda: _quantized(_int8(graph), graph, int8, proof))
    found["fp16"] = _tried(lambda: _fp16(graph, fp16, proof))
    if "count" in found["fused"] and "error" in found["fused"]:
        return {**found, "verdict": "fails", "why": f"fusing: {found['fused']['error']}"}
    wrong = [
        f"{name}: {found[name]['error']}" for name in ("int8", "fp16") if "error" in found[name]
    ]
    return {**found, "verdict": "fails" if wrong else "works", "why": "; ".join(wrong)}


@dataclass(frozen=True)
class _Proof:
    """Inputs in all settings with what PyTorch gives for them."""

    feeds: list[Mapping[str, Any]]
    expected: list[Mapping[str, Any]]

    @classmethod
    def of(cls, model: Path, name: str) -> _Proof:
        used = RUNGS[name]
        given = {"attn_implementation": used.attention} if used.attention else {}
        traced = by_signature.opened(model, **given)
        feeds = list(settings_of(traced, used.free).feeds)
        return cls(feeds, [run(traced, each) for each in feeds])

    def pairs(self, path: Path) -> list[tuple[str, Any, Any]]:
        """Return name, found and expected of every output at every setting."""
        session = open_session(path)
        names = [value.name for value in session.get_outputs()]
        return [
            (name, made, wanted[name])
            for feeds, wanted in zip(self.feeds, self.expected, strict=True)
            for name, made in zip(names, run_named(session, feeds), strict=True)
        ]


def _attempt(
    folder: Path, module: str, opset: int, name: str, out: Path, seconds: int
) -> dict[str, Any]:
    """Try a rung in a fork, where the product tries it in a new process."""
    found = forked(lambda: rung.attempted(folder, module, opset, name, out), seconds)
    if "error" in found:
        for path in out.glob("model.onnx*"):
            path.unlink()
    return found


def _fused(graph: Path, out: Path, proof: _Proof) -> Found:
    """Fuse attention by the product's step, and hold the graph to PyTorch again."""
    FuseKnownAttention().run({"model": graph}, out)
    made = operators(read(out / MODEL))
    count = sum(made[f"com.microsoft::{name}"] for name in FUSED)
    softmax = operators(read(graph / MODEL))["Softmax"]
    apart = max(relative_difference(made, wanted) for _, made, wanted in proof.pairs(out / MODEL))
    if not apart <= TOLERANCE:
        return {"error": f"differs by {apart:.2g}", "count": count}
    return {"count": count, "softmax": softmax, "difference": apart}


def _quantized(method: Method, graph: Path, out: Path, proof: _Proof) -> Found:
    """Run a method's steps, and return the lowest cosine with PyTorch of any output."""

    def add(step: Step, inputs: Mapping[str, str], stage: str) -> str:
        place = _made(out / f"{len(list(out.iterdir()))}-{stage}")
        step.run({name: Path(path) for name, path in inputs.items()}, place)
        return str(place)

    def calibration() -> str:
        place = _made(out / "calibration")
        single = ({name: value[:1] for name, value in feeds.items()} for feeds in proof.feeds)
        write_inputs(single, place / CALIBRATION)
        return str(place)

    convolutional = _is_convolutional(graph)
    mixed = _convolves(graph) and not convolutional
    chain = Chain(add, calibration, convolutional=convolutional, mixed=mixed, miniature=True)
    made = Path(method.steps(chain, str(graph)).node)
    outputs = proof.pairs(made / MODEL)
    # A network that tells how many things it found may find another number of them.
    cosines = [_cosine(one, other) for _, one, other in outputs if one.shape == other.shape]
    if not cosines or not all(np.isfinite(cosines)):
        return {"error": "its outputs are no numbers of the same shapes", "method": method.method}
    resized = sorted({name for name, one, other in outputs if one.shape != other.shape})
    return {"cosine": min(cosines), "method": method.method, "resized": resized}


def _fp16(graph: Path, out: Path, proof: _Proof) -> Found:
    """Convert to fp16, with what is said that has to stay in fp32, as whoever reads it does.

    The step names nodes, and the CPU's kernels the operators that they do not have in fp16. Raises
    what neither does.
    """
    kept: list[str] = []
    operators: list[str] = []
    while True:
        method = Fp16(exclude=tuple(kept), exclude_operators=tuple(operators))
        place = _made(out / str(len(kept) + len(operators)))
        try:
            return {**_quantized(method, graph, place, proof), "kept": [*kept, *operators]}
        except Exception as error:
            node = re.search(r"`exclude: \['(.+)'\]`", getattr(error, "hint", None) or "")
            operator = re.search(r"MLFloat16 data type is not supported with (\w+)", str(error))
            if len(kept) + len(operators) == MOST_KEPT or not (node or operator):
                raise
            kept += [node[1]] if node else []
            operators += [operator[1]] if operator else []


def _int8(graph: Path) -> Method:
    """Return what the product takes on CPUs: fixed ranges where all weights are convolutions'."""
    return StaticInt8() if _is_convolutional(graph) else DynamicInt8()


def _is_convolutional(graph: Path) -> bool:
    """Whether a network convolves, and multiplies no weights as matrices or has no attention.

    Shares of weights say nothing: small widths leave most of them to convolutions.
    """
    model = read(graph / MODEL)
    stored = {tensor.name for tensor in model.graph.initializer}
    products = [
        node
        for node in model.graph.node
        if node.op_type in ("MatMul", "Gemm") and stored & set(node.input)
    ]
    return _convolves(graph) and not (products and operators(model)["Softmax"])


def _convolves(graph: Path) -> bool:
    found = operators(read(graph / MODEL))
    return bool(found["Conv"] + found["ConvTranspose"])


def _cosine(found: Any, expected: Any) -> float:
    masked = np.abs(expected) > 1e30
    one, other = (
        np.where(masked, 0, value).astype(np.float64).ravel() for value in (found, expected)
    )
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def _tried(work: Callable[[], Found]) -> Found:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - what a pass raises is told in the table
        import traceback

        traceback.print_exc()
        return {"error": _said(error)}


def _said(error: Exception) -> str:
    if isinstance(error, OliveBuildError):
        return f"{error.what}: {error.why}" if error.why else error.what
    return f"{type(error).__name__}: {first_line(error)}"


def _made(path: Path) -> Path:
    path.mkdir(parents=True)
    return path

"""What sentence-transformers does after its transformer, as nodes of a graph.

Pooling, Dense, LayerNorm and Normalize follow that library (sentence_transformer/modules/pooling.py
and layer_norm.py, base/modules/dense.py and normalize.py); functions are those of torch.nn with
their default arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from olive_build.errors import StepError, first_line
from olive_build.families.graph_writer import GraphWriter
from olive_build.families.sentence_embedding.modules import (
    SENTENCE,
    TOKENS,
    Dense,
    LayerNorm,
    Module,
    Normalize,
    Pooling,
)

PREFIX = "pooling"
EPSILON = 1e-5
# By torch's name: an operator that does the same, with its attributes.
OPERATORS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "Identity": ("Identity", {}),
    "Tanh": ("Tanh", {}),
    "ReLU": ("Relu", {}),
    "Sigmoid": ("Sigmoid", {}),
    "LeakyReLU": ("LeakyRelu", {"alpha": 0.01}),
    "ELU": ("Elu", {"alpha": 1.0}),
    "SELU": ("Selu", {}),
    "CELU": ("Celu", {"alpha": 1.0}),
    "Softplus": ("Softplus", {}),
    "Softsign": ("Softsign", {}),
    "Hardsigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
}


def write_after(
    w: GraphWriter,
    modules: Sequence[Module],
    folder: Path,
    hidden: str,
    mask: str,
    *,
    prompt_tokens: int,
    truncate: int | None,
) -> str:
    """Append the nodes of all modules and return the embedding's name, [batch_size, dimensions].

    `hidden` is [batch_size, sequence_length, hidden], `mask` int64 [batch_size, sequence_length]
    with padding at the right; `folder` holds the modules' weights. A Pooling that leaves the
    prompt out leaves out the first `prompt_tokens`. Raises StepError for weights that do not fit.
    """
    values = {TOKENS: hidden}
    for number, module in enumerate(modules, 1):
        name = f"{number}/"
        match module:
            case Pooling():
                left_out = 0 if module.include_prompt else prompt_tokens
                values[SENTENCE] = _pooled(w, module.modes, values[TOKENS], mask, left_out, name)
            case Dense():
                values[module.gives] = _dense(w, module, folder, values[module.takes], name)
            case LayerNorm():
                values[SENTENCE] = _layer_norm(w, folder / module.folder, values[SENTENCE], name)
            case Normalize() if module.takes in values:
                values[module.gives] = _normalized(w, values[module.takes], name)
    if truncate is None:
        return values[SENTENCE]
    limits = [w.constant(f"cut/{key}", [n], np.int64) for key, n in (("from", 0), ("to", truncate))]
    return w.add("Slice", [values[SENTENCE], *limits, w.constant("cut/axis", [1], np.int64)], "cut")


def _pooled(
    w: GraphWriter, modes: Sequence[str], hidden: str, mask: str, left_out: int, name: str
) -> str:
    weights = _Weights(w, hidden, mask, left_out, name)
    found = [POOLED[mode](weights) for mode in modes]
    return found[0] if len(found) == 1 else w.add("Concat", found, f"{name}all", axis=1)


class _Weights:
    """The mask in the forms that poolings need, each made once; prompts are left out of it."""

    def __init__(self, w: GraphWriter, hidden: str, mask: str, left_out: int, name: str) -> None:
        self.writer, self.hidden, self._name = w, hidden, name
        self.whole, self._mask, self._left_out = left_out == 0, mask, left_out
        self._made: dict[str, str] = {}

    def add(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Append a node unless it is there, and return its output."""
        if name not in self._made:
            full = self._name + name
            self._made[name] = self.writer.add(operator, inputs, full, **attributes)
        return self._made[name]

    def constant(self, name: str, value: Any, dtype: Any = np.int64) -> str:
        return self.writer.constant(self._name + name, value, dtype)

    @property
    def axis(self) -> str:
        """The axis of tokens."""
        return self.constant("tokens_axis", [1])

    @property
    def positions(self) -> str:
        """1, 2, ... for the tokens, int64 [sequence_length]."""
        shape = self.add("Shape", [self._mask], "shape", start=1, end=2)
        length = self.add("Squeeze", [shape], "length")
        one = self.constant("one", 1)
        begin = self.add("Range", [self.constant("zero", 0), length, one], "places")
        return self.add("Add", [begin, one], "positions")

    @property
    def mask(self) -> str:
        """int64 [batch_size, sequence_length], 0 for the prompt where that is left out."""
        if self.whole:
            return self._mask
        after = self.add(
            "Greater", [self.positions, self.constant("prompt", self._left_out)], "is_after"
        )
        return self.add("Mul", [self._mask, self.add("Cast", [after], "after", to=7)], "mask")

    @property
    def weights(self) -> str:
        """The mask as float [batch_size, sequence_length, 1]."""
        mask = self.add("Cast", [self.mask], "mask_float", to=TensorProto.FLOAT)
        return self.add("Unsqueeze", [mask, self.constant("last_axis", [2])], "weights")

    def summed(self, weights: str, name: str) -> str:
        """The sum over tokens of the hidden states by their weights, [batch_size, hidden]."""
        weighted = self.add("Mul", [self.hidden, weights], f"{name}weighted")
        return self.add("ReduceSum", [weighted, self.axis], f"{name}sum", keepdims=0)

    def counted(self, weights: str, name: str) -> str:
        """The sum of weights, above zero, [batch_size, 1]."""
        count = self.add("ReduceSum", [weights, self.axis], f"{name}count", keepdims=0)
        least = self.constant("smallest_count", 1e-9, np.float32)
        return self.add("Max", [count, least], f"{name}safe_count")

    def token(self, place: str, hidden: str, name: str) -> str:
        """The state at int64 [batch_size, 1] of each text, [batch_size, hidden]."""
        return self.add("GatherND", [hidden, place], name, batch_dims=1)


def _mean(w: _Weights) -> str:
    count = w.counted(w.weights, "")
    return w.add("Div", [w.summed(w.weights, ""), count], "mean")


def _mean_sqrt(w: _Weights) -> str:
    root = w.add("Sqrt", [w.counted(w.weights, "")], "root")
    return w.add("Div", [w.summed(w.weights, ""), root], "mean_sqrt")


def _weighted_mean(w: _Weights) -> str:
    places = w.add("Cast", [w.positions], "positions_float", to=TensorProto.FLOAT)
    places = w.add("Unsqueeze", [places, w.constant("end_axis", [1])], "position_weights")
    weights = w.add("Mul", [w.weights, places], "rising")
    return w.add(
        "Div", [w.summed(weights, "rising/"), w.counted(weights, "rising/")], "rising_mean"
    )


def _max(w: _Weights) -> str:
    keep = w.add("Cast", [w.weights], "keep", to=TensorProto.BOOL)
    padding = w.constant("padding", -np.inf, np.float32)
    tokens = w.add("Where", [keep, w.hidden, padding], "tokens_only")
    return w.add("ReduceMax", [tokens, w.axis], "max", keepdims=0)


def _first(w: _Weights) -> str:
    if w.whole:
        return w.add("Gather", [w.hidden, w.constant("first", 0)], "cls", axis=1)
    # The first of the largest: where all are left out, the very first.
    place = w.add("ArgMax", [w.mask], "first_place", axis=1, keepdims=1)
    return w.token(place, w.hidden, "cls")


def _last(w: _Weights) -> str:
    places = w.add("Mul", [w.mask, w.positions], "kept_positions")
    last = w.add("ReduceMax", [places, w.axis], "last_position", keepdims=1)
    one = w.constant("one", 1)
    place = w.add("Sub", [w.add("Max", [last, one], "at_least_one"), one], "last_place")
    kept = w.add("Mul", [w.hidden, w.weights], "kept_tokens")
    return w.token(place, kept, "last_token")


POOLED: Mapping[str, Callable[[_Weights], str]] = {
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt,
    "weightedmean": _weighted_mean,
    "max": _max,
    "cls": _first,
    "lasttoken": _last,
}


def _dense(w: GraphWriter, module: Dense, folder: Path, value: str, name: str) -> str:
    weights = read_weights(folder / module.folder)
    wanted = {"linear.weight"} | ({"linear.bias"} if module.bias else set())
    kernel = _taken(weights, "linear.weight", folder / module.folder)
    out = w.add(
        "MatMul", [value, w.constant(f"{name}weight", kernel.T, np.float32)], f"{name}product"
    )
    if module.bias:
        bias = w.constant(
            f"{name}bias", _taken(weights, "linear.bias", folder / module.folder), np.float32
        )
        out = w.add("Add", [out, bias], f"{name}biased")
    out = _activated(w, module.activation, out, name)
    if module.residual:
        other = value
        if kernel.shape[0] != kernel.shape[1]:
            wanted.add("residual.weight")
            kernel = _taken(weights, "residual.weight", folder / module.folder)
            kernel_name = w.constant(f"{name}residual_weight", kernel.T, np.float32)
            other = w.add("MatMul", [value, kernel_name], f"{name}residual")
        out = w.add("Add", [out, other], f"{name}with_residual")
    _check_all_used(weights, wanted, folder / module.folder)
    return out


def _activated(w: GraphWriter, function: str, value: str, name: str) -> str:
    """Return the output of one of torch.nn's functions with its default arguments."""

    def constant(key: str, number: float) -> str:
        return w.constant(f"{name}{key}", number, np.float32)

    if function in OPERATORS:
        operator, attributes = OPERATORS[function]
        return w.add(operator, [value], f"{name}{function}", **attributes)
    if function in ("Hardtanh", "ReLU6"):
        low, high = (-1, 1) if function == "Hardtanh" else (0, 6)
        return w.add("Clip", [value, constant("low", low), constant("high", high)], f"{name}clip")
    if function == "GELU":
        scaled = w.add("Div", [value, constant("root_2", np.sqrt(2))], f"{name}scaled")
        gate = w.add("Add", [w.add("Erf", [scaled], f"{name}erf"), constant("one", 1)], f"{name}up")
        gate = w.add("Mul", [gate, constant("half", 0.5)], f"{name}gate")
    elif function == "Mish":
        gate = w.add("Tanh", [w.add("Softplus", [value], f"{name}softplus")], f"{name}gate")
    elif function == "Hardswish":
        gate = w.add("HardSigmoid", [value], f"{name}gate", alpha=1 / 6, beta=0.5)
    else:
        gate = w.add("Sigmoid", [value], f"{name}gate")  # SiLU
    return w.add("Mul", [value, gate], f"{name}{function}")


def _layer_norm(w: GraphWriter, folder: Path, value: str, name: str) -> str:
    weights = read_weights(folder)
    _check_all_used(weights, {"norm.weight", "norm.bias"}, folder)
    ends = [
        w.constant(f"{name}{key}", _taken(weights, f"norm.{key}", folder), np.float32)
        for key in ("weight", "bias")
    ]
    return w.add("LayerNormalization", [value, *ends], f"{name}norm", axis=-1, epsilon=EPSILON)


def _normalized(w: GraphWriter, value: str, name: str) -> str:
    axis = w.constant(f"{name}axis", [-1], np.int64)
    length = w.add("ReduceL2", [value, axis], f"{name}length", keepdims=1)
    safe = w.add(
        "Max", [length, w.constant(f"{name}smallest", 1e-12, np.float32)], f"{name}safe_length"
    )
    return w.add("Div", [value, safe], f"{name}normalized")


def read_weights(folder: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Return a module's tensors in fp32. Raises StepError where they cannot be read."""
    import ml_dtypes  # noqa: F401 - numpy then knows bfloat16
    from safetensors.numpy import load_file

    path = folder / "model.safetensors"
    try:
        return {name: value.astype(np.float32) for name, value in load_file(path).items()}
    except Exception as error:
        raise StepError(
            "a module's weights cannot be read", where=str(path), why=first_line(error)
        ) from error


def _taken(
    weights: Mapping[str, npt.NDArray[np.float32]], name: str, folder: Path
) -> npt.NDArray[np.float32]:
    if name not in weights:
        raise StepError(
            f"a module has no {name}", where=str(folder), why=f"it has {', '.join(weights)}"
        )
    return weights[name]


def _check_all_used(weights: Mapping[str, Any], wanted: set[str], folder: Path) -> None:
    """Raise StepError for a tensor that the module's class has no place for."""
    if others := sorted(set(weights) - wanted):
        raise StepError(
            f"a module has tensors of no use: {', '.join(others)}",
            where=str(folder),
            why="sentence-transformers refuses them too",
        )

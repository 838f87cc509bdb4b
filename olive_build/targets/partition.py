"""Into how many pieces a provider would take a graph apart, and what it would leave to the CPU.

An estimate for providers that are not on this machine, from the operators that they have kernels
for. The grouping is onnxruntime's own: its mobile usability checker repeats in Python what
CreateSupportedPartitions (onnxruntime/core/providers/partitioning_utils.cc) does for a provider's
GetCapability. Conditions on single nodes are not looked at, so the shares are upper bounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from olive_build.targets import Provider, load_provider

# Operators whose weights are what a provider is for.
PRODUCTS = frozenset(
    (
        "Attention",
        "Conv",
        "ConvInteger",
        "ConvTranspose",
        "DynamicQuantizeMatMul",
        "FusedConv",
        "FusedMatMul",
        "Gemm",
        "MatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "MatMulNBits",
        "QLinearConv",
        "QLinearMatMul",
    )
)
# Through these a stored weight reaches its product.
CARRIERS = frozenset(("Cast", "DequantizeLinear", "Identity", "QuantizeLinear", "Transpose"))
MOST_NAMED = 5


@dataclass(frozen=True)
class Breaks:
    """Nodes of one operator that the provider leaves to the CPU, with the names of the first."""

    operator: str
    count: int
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Partition:
    """How a provider would take a graph: pieces, and the shares of nodes and weights in them.

    `weight_share` is that of the stored values which matrix products and convolutions read; None
    where there are none. `breaks` are the operators outside, most frequent first.
    """

    provider: str
    partitions: int
    nodes: int
    taken_nodes: int
    weight_share: float | None
    breaks: tuple[Breaks, ...]

    @property
    def node_share(self) -> float:
        return self.taken_nodes / self.nodes if self.nodes else 0.0

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "node_share": round(self.node_share, 4), "text": self.text()}

    def text(self) -> str:
        """Return it as a person reads it, in one line."""
        title = load_provider(self.provider).title
        pieces = "1 piece" if self.partitions == 1 else f"{self.partitions} pieces"
        if not self.partitions:
            return f"{title} takes none of {self.nodes} nodes"
        shares = f"{self.taken_nodes} of {self.nodes} nodes"
        if self.weight_share is not None:
            shares += f", {self.weight_share:.0%} of the weights"
        line = f"{title} takes the graph in {pieces}: {shares}"
        if self.breaks:
            rest = ", ".join(f"{b.operator} x{b.count}" for b in self.breaks[:MOST_NAMED])
            line += f"; on the CPU: {rest}{' ...' if len(self.breaks) > MOST_NAMED else ''}"
        return line


class _Kernels:
    """What the checker asks of a provider; Constant nodes are folded before it sees a graph."""

    def __init__(self, provider: Provider, model: Any) -> None:
        useless = _has_symbolic_inputs(model) and not provider.takes_symbolic_axes
        operators = () if useless else provider.operators()
        self._known = frozenset((entry.domain, entry.name) for entry in operators)

    def is_op_supported(self, node: Any) -> bool:
        return (node.domain or "ai.onnx", node.op_type) in self._known

    def get_caveats(self) -> list[str]:
        return []


def partition(model: Any, provider: str) -> Partition:
    """Return how a provider would take a ModelProto.

    One that takes no symbolic axes takes nothing of a graph whose inputs have them.
    """
    from onnxruntime.tools.mobile_helpers.usability_checker import check_partitioning

    graph = _skeleton(model)
    kernels: Any = _Kernels(load_provider(provider), model)
    found: Any = check_partitioning(graph, kernels, False)
    inside = {output for group in found.supported_groups for n in group for output in n.output}
    outside = [node for node in graph.node if not inside.intersection(node.output)]
    return Partition(
        provider=provider,
        partitions=found.num_partitions,
        nodes=len(graph.node),
        taken_nodes=len(graph.node) - len(outside),
        weight_share=_weight_share(graph, inside),
        breaks=_breaks(outside),
    )


def _breaks(nodes: Iterable[Any]) -> tuple[Breaks, ...]:
    names: dict[str, list[str]] = {}
    for node in nodes:
        names.setdefault(node.op_type, []).append(node.name or node.output[0])
    ordered = sorted(names.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(Breaks(op, len(found), tuple(found[:MOST_NAMED])) for op, found in ordered)


def _weight_share(graph: Any, inside: set[str]) -> float | None:
    sizes = _stored_sizes(graph)
    total = taken = 0
    for node in graph.node:
        if node.op_type in PRODUCTS:
            # A bias or scale is of no weight; a product of two activations has none.
            weight = max((sizes.get(name, 0) for name in node.input), default=0)
            total += weight
            taken += weight if inside.intersection(node.output) else 0
    return round(taken / total, 4) if total else None


def _stored_sizes(graph: Any) -> Mapping[str, int]:
    """Return how many stored values are behind each value, through casts and dequantizers."""
    sizes: dict[str, int] = {}
    for tensor in graph.initializer:
        count = 1
        for dim in tensor.dims:
            count *= dim
        sizes[tensor.name] = count
    for node in graph.node:
        if node.op_type in CARRIERS and node.input[0] in sizes:
            sizes[node.output[0]] = sizes[node.input[0]]
    return sizes


def _skeleton(model: Any) -> Any:
    """Return the graph sorted, without its weights' bytes, Constant nodes as stored values."""
    import onnx

    from olive_build.rewrites.node_order import sort_nodes

    bare = onnx.ModelProto()
    graph = bare.graph
    graph.name = model.graph.name
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        graph.initializer.add(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)
    for node in model.graph.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            graph.initializer.add(name=node.output[0], dims=())
        else:
            graph.node.append(node)
    # The checker, unlike the runtime, reads nodes in their order.
    sort_nodes(bare)
    return graph


def _has_symbolic_inputs(model: Any) -> bool:
    axes = [dim for value in model.graph.input for dim in value.type.tensor_type.shape.dim]
    return any(not dim.HasField("dim_value") for dim in axes)

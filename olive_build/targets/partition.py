"""Into how many pieces a provider would split a graph, and what it would leave to the CPU.

An estimate for providers that are not on this machine, from the operators that they have kernels
for. The grouping is onnxruntime's own: its mobile usability checker repeats in Python what
CreateSupportedPartitions (onnxruntime/core/providers/partitioning_utils.cc) does for a provider's
GetCapability. Conditions on single nodes are not looked at, so the shares are upper bounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from olive_build.record.manifest import Break, Inside, Partition
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


def _text(provider: Provider, found: Partition) -> str:
    """Return a partition as a person reads it, in one line."""
    pieces = "1 piece" if found.partitions == 1 else f"{found.partitions} pieces"
    if not found.partitions:
        return f"{provider.title} takes none of {found.nodes} nodes"
    shares = _shares(found.taken_nodes, found.nodes, found.weight_share)
    line = f"{provider.title} takes the graph in {pieces}: {shares}{_inside(provider, found)}"
    if found.breaks:
        rest = ", ".join(f"{b.operator} x{b.count}" for b in found.breaks[:MOST_NAMED])
        line += f"; on the CPU: {rest}{' ...' if len(found.breaks) > MOST_NAMED else ''}"
    return line


def _inside(provider: Provider, found: Partition) -> str:
    """Return what the provider takes inside nodes that hold weights, and why it takes nothing."""
    because = provider.no_subgraphs_because
    on_cpu = {item.operator for item in found.breaks}
    line = ""
    weighty = [item for item in found.inside if item.weight_share is not None]
    # Files hold them by name: from the last on, encoder is before decoder, then before else.
    weighty.sort(key=lambda item: item.graph, reverse=True)
    for operator in dict.fromkeys(item.operator for item in weighty):
        parts = [
            f"{item.graph} {_shares(item.taken_nodes, item.nodes, item.weight_share)}"
            for item in weighty
            if item.operator == operator
        ]
        line += f"; inside {operator}"
        line += ", which stays on the CPU itself" if operator in on_cpu else ""
        line += f" ({because})" if because else ""
        line += f": {' and '.join(parts)}"
    return line


def _shares(taken: int, nodes: int, weights: float | None) -> str:
    if not taken:
        return f"none of {nodes} nodes"
    shares = f"{taken} of {nodes} nodes"
    return shares if weights is None else f"{shares}, {weights:.0%} of the weights"


class _Kernels:
    """What the checker asks of a provider; Constant nodes are folded before it sees a graph."""

    def __init__(self, provider: Provider, *, useless: bool) -> None:
        operators = () if useless else provider.operators()
        self._known = frozenset((entry.domain, entry.name) for entry in operators)

    def is_op_supported(self, node: Any) -> bool:
        return (node.domain or "ai.onnx", node.op_type) in self._known

    def get_caveats(self) -> list[str]:
        return []


@dataclass(frozen=True)
class _Found:
    """One graph taken apart. `weight` and `taken_weight` are stored values of its products."""

    graph: str
    operator: str
    partitions: int
    nodes: int
    outside: tuple[Any, ...]
    weight: int
    taken_weight: int

    def as_inside(self) -> Inside:
        return Inside(
            operator=self.operator,
            graph=self.graph,
            nodes=self.nodes,
            taken_nodes=self.nodes - len(self.outside),
            partitions=self.partitions,
            weight_share=_share(self.taken_weight, self.weight),
        )


def partition(model: Any, provider: str) -> Partition:
    """Return how a provider would take a ModelProto, and the graphs inside its nodes.

    One that takes no symbolic axes takes nothing of a graph whose inputs have them. A graph inside
    a node is taken apart by itself, as onnxruntime does it; what it reads from around it counts as
    stored where it is.
    """
    taker = load_provider(provider)
    found = list(_walk(model.graph, taker, {}))
    nodes = sum(item.nodes for item in found)
    taken = sum(item.nodes - len(item.outside) for item in found)
    made = Partition(
        text="",
        provider=provider,
        partitions=sum(item.partitions for item in found),
        nodes=nodes,
        taken_nodes=taken,
        node_share=round(taken / nodes, 4) if nodes else 0.0,
        weight_share=_share(sum(x.taken_weight for x in found), sum(x.weight for x in found)),
        breaks=_breaks(node for item in found for node in item.outside),
        inside=tuple(item.as_inside() for item in found[1:]),
    )
    return replace(made, text=_text(taker, made))


def _walk(
    graph: Any,
    provider: Provider,
    around: Mapping[str, int],
    where: tuple[str, str] = ("", ""),
    useless: bool = False,
) -> Iterator[_Found]:
    """Yield the graph and those inside its nodes; `around` are the stored sizes that it sees.

    `where` is the attribute and the operator that hold it.
    """
    from onnxruntime.tools.mobile_helpers.usability_checker import check_partitioning

    bare = _skeleton(graph)
    useless = useless or (_has_symbolic_inputs(graph) and not provider.takes_symbolic_axes)
    useless = useless or (where[0] != "" and provider.no_subgraphs_because != "")
    kernels: Any = _Kernels(provider, useless=useless)
    taken: Any = check_partitioning(bare, kernels, False)
    inside = {output for group in taken.supported_groups for n in group for output in n.output}
    sizes = _stored_sizes(bare, around)
    weight, taken_weight = _weights(bare, inside, sizes)
    yield _Found(
        *where,
        taken.num_partitions,
        len(bare.node),
        tuple(node for node in bare.node if not inside.intersection(node.output)),
        weight,
        taken_weight,
    )
    for node in graph.node:
        for attribute, inner in _graphs_of(node):
            yield from _walk(inner, provider, sizes, (attribute, node.op_type), useless)


def _graphs_of(node: Any) -> Iterator[tuple[str, Any]]:
    for attribute in node.attribute:
        for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
            yield attribute.name, inner


def _breaks(nodes: Iterable[Any]) -> tuple[Break, ...]:
    names: dict[str, list[str]] = {}
    for node in nodes:
        names.setdefault(node.op_type, []).append(node.name or node.output[0])
    ordered = sorted(names.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(Break(op, len(found), tuple(found[:MOST_NAMED])) for op, found in ordered)


def _share(taken: int, total: int) -> float | None:
    return round(taken / total, 4) if total else None


def _weights(graph: Any, inside: set[str], sizes: Mapping[str, int]) -> tuple[int, int]:
    """Return how many stored values the graph's products read, and those of them `inside`."""
    total = taken = 0
    for node in graph.node:
        if node.op_type in PRODUCTS:
            # A bias or scale is of no weight; a product of two activations has none.
            weight = max((sizes.get(name, 0) for name in node.input), default=0)
            total += weight
            taken += weight if inside.intersection(node.output) else 0
    return total, taken


def _stored_sizes(graph: Any, around: Mapping[str, int]) -> dict[str, int]:
    """Return how many stored values are behind each value, through casts and dequantizers."""
    sizes = dict(around)
    for tensor in graph.initializer:
        count = 1
        for dim in tensor.dims:
            count *= dim
        sizes[tensor.name] = count
    for node in graph.node:
        if node.op_type in CARRIERS and node.input[0] in sizes:
            sizes[node.output[0]] = sizes[node.input[0]]
    return sizes


def _skeleton(graph: Any) -> Any:
    """Return the graph sorted, without its weights' bytes, Constant nodes as stored values.

    Its nodes hold no graphs; what those read is an input of the node, and what the graph reads from
    around it an input of the graph.
    """
    import onnx

    from olive_build.rewrites.node_order import read_by, sort_nodes

    model = onnx.ModelProto()
    bare = model.graph
    bare.name = graph.name
    bare.input.extend(graph.input)
    bare.output.extend(graph.output)
    for tensor in graph.initializer:
        bare.initializer.add(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)
    for node in graph.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            bare.initializer.add(name=node.output[0], dims=())
            continue
        copy = bare.node.add(op_type=node.op_type, domain=node.domain, name=node.name)
        inner = sorted(read_by(node) - set(node.input)) if any(_graphs_of(node)) else ()
        copy.input.extend((*node.input, *inner))
        copy.output.extend(node.output)
        if node.op_type == "Transpose":
            # The checker reads it without a look at whether it is there.
            copy.attribute.extend(node.attribute or [onnx.AttributeProto(name="perm")])
    here = {value.name for value in (*bare.input, *bare.initializer)}
    here.update(output for node in bare.node for output in node.output)
    for name in sorted({name for node in bare.node for name in node.input if name} - here):
        bare.input.add(name=name)
    # The checker, unlike the runtime, reads nodes in their order.
    sort_nodes(model)
    return bare


def _has_symbolic_inputs(graph: Any) -> bool:
    axes = [dim for value in graph.input for dim in value.type.tensor_type.shape.dim]
    return any(not dim.HasField("dim_value") for dim in axes)

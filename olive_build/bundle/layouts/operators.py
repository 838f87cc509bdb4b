"""Whether the client's runtimes read a graph's format and have its operators, device by device.

Which operators there are is data of `olive_build/targets`: the web target's domains, and the
kernels of the providers cpu (of which WebAssembly's are compiled) and webgpu.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from olive_build.bundle.layouts.configuration import Settings
from olive_build.bundle.layouts.findings import Code, Finding, Severity
from olive_build.bundle.layouts.interface import Graph
from olive_build.bundle.layouts.requests import Request
from olive_build.onnx_files.header import ONNX, FileNode
from olive_build.targets import load_provider, load_target, provider_operators
from olive_build.targets.client import Client

_CONTRIB = "com.microsoft"
_EXTENSIONS = "ai.onnx.contrib"
_KEY_PADDING_MASK = 4
_MASK_LIMIT = "no mask"


def check_format(graph: Graph, client: Client) -> Iterator[Finding]:
    """Yield an opset or IR that a runtime of the client, or of an older one, does not read."""
    web = load_target("web")
    ours = {"opset": graph.file.opsets.get(ONNX, 0), "IR": graph.file.ir}
    older = {"opset": web.opset_max, "IR": web.ir_max}
    advice = {"opset": web.opset_default, "IR": web.ir_max}
    for name, value in ours.items():
        refusing = [r for r in client.runtimes.values() if value > r.reads[name]]
        if refusing:
            highest = max(runtime.reads[name] for runtime in refusing)
            named = " and ".join(f"{r.package} {r.version}" for r in refusing)
            yield Finding(
                Code.FORMAT,
                "error",
                f"{name} {value} is above {highest}",
                graph.path,
                f"{named} of the client read no higher one",
                f"export with {name} {advice[name]}",
            )
        if not refusing and value > older[name]:
            lowest = [f"{p.name} {p.lowest}" for p in web.packages_for(web.default_provider)]
            yield Finding(
                Code.FORMAT,
                "note",
                f"{name} {value} is above {older[name]}",
                graph.path,
                f"{client.title} reads it; {' or '.join(lowest)} may not",
                "",
            )


def check_operators(
    graph: Graph, requests: tuple[Request, ...], settings: Settings
) -> Iterator[Finding]:
    """Yield operators that are not there, that a device does not run, or that are wrong on it."""
    nodes = [node for node in graph.file.nodes if not _is_function(node, graph)]
    yield from _check_domains(graph, nodes)
    yield from _check_kernels(graph, nodes, settings.client)
    yield from _check_masked_attention(graph, nodes, requests)
    yield from _check_accuracy_level(graph, nodes, settings)


def _is_function(node: FileNode, graph: Graph) -> bool:
    return (node.domain, node.name) in graph.file.functions


def _check_domains(graph: Graph, nodes: list[FileNode]) -> Iterator[Finding]:
    domains = load_target("web").domains
    unknown: dict[str, Counter[str]] = {}
    for node in nodes:
        if node.domain not in domains:
            unknown.setdefault(node.domain, Counter())[node.name] += 1
    for domain, counts in unknown.items():
        hint = "export the model without them"
        if domain == _EXTENSIONS:
            hint = "leave the tokenizer out of the graph, the client has its own"
        elif domain.endswith("nchwc"):
            hint = "this file was saved after optimizing for one CPU; take the one before that"
        yield Finding(
            Code.OPERATOR,
            "error",
            f"operators of the domain {domain}: {_listed(counts)}",
            graph.path,
            f"the client's runtime has {', '.join(domains)} and nothing else",
            hint,
        )


def _check_kernels(graph: Graph, nodes: list[FileNode], client: Client) -> Iterator[Finding]:
    known = {(entry.domain, entry.name) for entry in provider_operators("cpu")}
    missing = Counter(
        node.name
        for node in nodes
        if node.domain == _CONTRIB and (node.domain, node.name) not in known
    )
    if missing:
        yield Finding(
            Code.OPERATOR,
            "error",
            f"no kernel for {_listed(missing)} of {_CONTRIB}",
            graph.path,
            f"neither WebAssembly nor the CPU of {client.title} has one; another device's"
            " optimizer wrote them",
            "optimize for the CPU, or not at all",
        )
    rest = Counter(
        node.name
        for node in nodes
        if node.domain == ONNX and (ONNX, node.name) not in known and node.name != "Constant"
    )
    if rest:
        yield Finding(
            Code.OPERATOR,
            "note",
            f"no kernel is known for {_listed(rest)} of {ONNX}",
            graph.path,
            "it runs only if ONNX defines the operator by others",
            "",
        )


def _check_masked_attention(
    graph: Graph, nodes: list[FileNode], requests: tuple[Request, ...]
) -> Iterator[Finding]:
    for name in _operators_without_mask("webgpu"):
        masked = [n for n in nodes if n.name == name and n.has_input(_KEY_PADDING_MASK)]
        if not masked:
            continue
        devices = [r.device for r in requests if r.path == graph.path]
        asked = any(device.provider == "webgpu" for device in devices)
        severity: Severity = "error" if asked else "warning"
        provider = load_provider("webgpu")
        yield Finding(
            Code.DEVICE_OPERATOR,
            severity,
            f"{provider.title} does not run {name} with a mask ({_nodes(masked)})",
            graph.path,
            "its kernel refuses key_padding_mask when a step runs"
            " (contrib_ops/webgpu/bert/multihead_attention.cc of microsoft/onnxruntime)",
            "leave attention unfused, or name another device for this file",
        )


def _operators_without_mask(provider: str) -> list[str]:
    entries = provider_operators(provider)
    return [e.name for e in entries if e.domain == _CONTRIB and e.limit == _MASK_LIMIT]


def _check_accuracy_level(
    graph: Graph, nodes: list[FileNode], settings: Settings
) -> Iterator[Finding]:
    level = [n for n in nodes if n.name == "MatMulNBits" and n.numbers.get("accuracy_level") == 4]
    if not level:
        return
    named = settings.device_named(graph.session)
    how = load_provider("wasm").support_of("int4").how
    yield Finding(
        Code.DEVICE_OPERATOR,
        "error" if named in (None, "wasm") else "warning",
        f"MatMulNBits with accuracy_level 4 is wrong in WebAssembly ({_nodes(level)})",
        graph.path,
        f"it runs without a message and gives other numbers: {how}",
        "quantize again with accuracy_level 0",
    )


def _nodes(nodes: list[FileNode]) -> str:
    return f"{len(nodes)} node{'' if len(nodes) == 1 else 's'}"


def _listed(counts: Counter[str]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{name} x{count}" if count > 1 else name for name, count in ordered[:5]]
    return ", ".join(shown) + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")

"""Judge a graph for a target and a provider by its operators, where nothing can run it.

Pure and without onnx: whoever has the model counts its nodes by domain and name. An error says
that the file does not load or that the provider is of no use to it; a note says what to expect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from olive_build.record.proof import Finding
from olive_build.targets import provider_operators
from olive_build.targets.model import OperatorSupport, Provider, Target
from olive_build.targets.requirement import required_runtime, version_key

ONNX = "ai.onnx"
CONTRIB = "com.microsoft"
EXTENSIONS = "ai.onnx.contrib"

ATTENTION_OPERATORS = frozenset(
    {
        "Attention",
        "DecoderAttention",
        "DecoderMaskedMultiHeadAttention",
        "DecoderMaskedSelfAttention",
        "GroupQueryAttention",
        "LongformerAttention",
        "MultiHeadAttention",
        "PackedAttention",
        "PackedMultiHeadAttention",
        "PagedAttention",
        "QAttention",
        "SparseAttention",
    }
)

Counts = Mapping[str, Mapping[str, int]]


def check_operators(
    operators: Counts,
    opset: int,
    ir: int,
    *,
    target: Target,
    provider: Provider,
    has_dynamic_shapes: bool,
) -> tuple[Finding, ...]:
    """Return all findings for a graph, errors first.

    ``operators`` counts the nodes of the graph (subgraphs and functions included) by domain and
    name; the domain of ONNX may be "" or "ai.onnx". ``opset`` is that of ai.onnx. The counts of
    what a provider takes are upper bounds: limits such as constant weights are not looked at.
    """
    graph = {domain or ONNX: counts for domain, counts in operators.items() if counts}
    findings = [
        *_check_format(opset, ir, target, provider),
        *_check_domains(graph, target),
        *_check_kernels(graph, provider),
        *_check_attention(graph, provider),
        *_check_shapes(provider, has_dynamic_shapes),
        *_note_runtime(graph, opset, ir, target, provider),
        *_note_partition(graph, provider),
    ]
    return tuple(sorted(findings, key=lambda finding: finding.severity != "error"))


def _check_format(opset: int, ir: int, target: Target, provider: Provider) -> Iterator[Finding]:
    lowest = " or ".join(f"{p.name} {p.lowest}" for p in target.packages_for(provider.name))
    hint = f"export with opset {target.opset_default}"
    if opset > target.opset_max:
        yield Finding(
            "error",
            f"opset {opset} is above {target.opset_max}",
            f"{lowest}, the lowest for {target.name}, loads opset {target.opset_max} at most",
            hint,
        )
    if provider.opset_max is not None and opset > provider.opset_max:
        yield Finding(
            "error",
            f"opset {opset} is above {provider.opset_max}",
            f"{provider.title} has kernels up to opset {provider.opset_max}",
            hint,
        )
    if ir > target.ir_max:
        yield Finding(
            "error",
            f"IR {ir} is above {target.ir_max}",
            f"{lowest}, the lowest for {target.name}, loads IR {target.ir_max} at most",
            f"write the model with IR {target.ir_max}",
        )


def _check_domains(graph: Counts, target: Target) -> Iterator[Finding]:
    for domain in sorted(graph):
        if domain in target.domains or (domain == EXTENSIONS and target.extension_packages):
            continue
        why = f"the runtime of {target.name} has {', '.join(target.domains)}"
        if domain == EXTENSIONS:
            why += " and no package with onnxruntime-extensions"
        hint = (
            "leave the tokenizer out of the graph for this target (compose: none)"
            if domain == EXTENSIONS
            else "remove the operators, or the pass that put them in"
        )
        what = f"{_nodes(graph[domain])} of the domain {domain}: {_listed(graph[domain])}"
        yield Finding("error", what, why, hint)


def _check_kernels(graph: Counts, provider: Provider) -> Iterator[Finding]:
    known = _names(provider.operators()) | _names(provider_operators("cpu"))
    for domain in (ONNX, CONTRIB):
        missing = {
            name: count
            for name, count in graph.get(domain, {}).items()
            if (domain, name) not in known and name != "Constant"
        }
        if not missing:
            continue
        what = f"no kernel is known for {_listed(missing)} of {domain}"
        where = f"neither {provider.title} nor the CPU provider has one"
        if domain == ONNX:
            why = f"{where}; it runs only if ONNX defines it by other operators"
            yield Finding("note", what, why, "")
        else:
            yield Finding("error", what, where, "leave out the fusion or quantizer that makes it")


def _check_attention(graph: Counts, provider: Provider) -> Iterator[Finding]:
    fused = {n: c for n, c in graph.get(CONTRIB, {}).items() if n in ATTENTION_OPERATORS}
    if fused and not provider.contrib_attention:
        yield Finding(
            "error",
            f"{_nodes(fused)} of fused attention: {_listed(fused)}",
            f"{provider.title}: {provider.no_attention_because}",
            "build this target with `fuse: {attention: plain}`",
        )


def _check_shapes(provider: Provider, has_dynamic_shapes: bool) -> Iterator[Finding]:
    if has_dynamic_shapes and provider.shapes_because:
        yield Finding(
            "error" if provider.needs_fixed_shapes else "note",
            "the graph has dynamic shapes",
            f"{provider.title}: {provider.shapes_because}",
            "give this target `export: {shapes: ...}` with a size for each axis",
        )


def _note_runtime(
    graph: Counts, opset: int, ir: int, target: Target, provider: Provider
) -> Iterator[Finding]:
    needed = required_runtime(graph, opset, ir)
    for package in target.packages_for(provider.name):
        if version_key(package.onnxruntime) < version_key(needed.version):
            yield Finding(
                "note",
                f"it needs onnxruntime {needed.version}, over {package.name} {package.lowest}",
                needed.because,
                "",
            )


def _note_partition(graph: Counts, provider: Provider) -> Iterator[Finding]:
    support = {(entry.domain, entry.name): entry for entry in provider.operators()}
    total = taken = 0
    rest: dict[str, int] = {}
    limits: list[str] = []
    for domain, counts in sorted(graph.items()):
        for name, count in sorted(counts.items()):
            if name == "Constant" and domain == ONNX:
                continue  # folded into an initializer when the model is loaded
            total += count
            entry = support.get((domain, name))
            if entry is None:
                rest[name] = rest.get(name, 0) + count
                continue
            taken += count
            if entry.limit:
                limits.append(f"{name} ({entry.limit})")
    what = f"{provider.title} takes at most {taken} of {total} nodes"
    if rest:
        verb = "runs" if total - taken == 1 else "run"
        what += f", {total - taken} {verb} on the CPU: {_listed(rest)}"
    why = "estimated from the operators that it has kernels for"
    if limits:
        why += f", under these limits: {'; '.join(limits)}"
    yield Finding("note", what, why, "")


def _names(entries: tuple[OperatorSupport, ...]) -> frozenset[tuple[str, str]]:
    return frozenset((entry.domain, entry.name) for entry in entries)


def _nodes(counts: Mapping[str, int]) -> str:
    number = sum(counts.values())
    return f"{number} node{'' if number == 1 else 's'}"


def _listed(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} x{count}" if count > 1 else name for name, count in ordered)

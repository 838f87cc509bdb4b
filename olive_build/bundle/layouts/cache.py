"""Whether the client can make the first, empty cache, and hand each step's cache to the next.

The client fills the cache from the inputs' own shapes: `batch_size` and `batch_size x num_heads`
are known to it, every other name counts as 0 (resolveCacheShape and addPastKeyValues in
src/models/modeling_utils.js, getKeyValueNames in src/configs.js of
github.com/huggingface/transformers.js 4.3.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from olive_build.bundle.layouts.configuration import CONFIG
from olive_build.bundle.layouts.findings import Code, Finding
from olive_build.bundle.layouts.interface import PAST, Graph
from olive_build.bundle.layouts.kinds import DECODER, Kind
from olive_build.onnx_files.header import Value
from olive_build.targets.client import Client

BATCH = "batch_size"
# No model has as many; a configuration may say anything.
_MOST_LAYERS = 10_000
_KNOWN_AXES = (BATCH, "batch_size x num_heads")
# src/utils/dtypes.js, DataTypeMap
_FILLED = ("float32", "float16", "float64", "int8", "uint8", "int32", "int64")


def check_cache(
    graph: Graph, kind: Kind, config: Mapping[str, Any], client: Client
) -> Iterator[Finding]:
    """Yield what keeps the steps of generation from following one another."""
    if graph.session != kind.cached:
        return
    past = [value for value in graph.file.inputs if value.name.startswith(PAST)]
    if not past:
        yield Finding(
            Code.CACHE_NAME,
            "error",
            "the graph has no cache",
            graph.path,
            "after the first token the client gives the newest token alone, with the cache",
            "export it with past_key_values in and present out (text-generation-with-past)",
        )
        return
    if config.get("model_type") in client.models[kind.task]:
        yield from _check_names(graph, past, config, client)
    yield from _check_presents(graph, past)
    wrong = [(value, problem) for value in past for problem in _axis_problems(value)]
    for problem in dict.fromkeys(problem for _, problem in wrong):
        values = [value for value, other in wrong if other == problem]
        yield _axis_finding(graph, values, problem)
    for value in past:
        if value.element not in _FILLED:
            why = "the client has no array for it (DataTypeMap, src/utils/dtypes.js)"
            what = f"the cache is {value.element}"
            hint = "export it as float32 or float16"
            where = f"{graph.path}: {value.name}"
            yield Finding(Code.CACHE_AXIS, "error", what, where, why, hint)
            break


def cache_names(config: Mapping[str, Any], session: str, client: Client) -> set[str] | None:
    """Return the cache inputs that the client makes of config.json, None where that is not known.

    An empty set says that config.json lacks the number of layers.
    """
    field = client.layers.get(str(config.get("model_type")))
    if field is None:
        return None
    layers = config.get(field)
    if not isinstance(layers, int) or layers < 0:
        return set()
    if session == DECODER:
        parts = [f"{side}.{half}" for side in ("encoder", "decoder") for half in ("key", "value")]
    else:
        parts = ["key_value"] if config.get("multi_query") else ["key", "value"]
    counted = range(min(layers, _MOST_LAYERS))
    return {f"past_key_values.{layer}.{part}" for layer in counted for part in parts}


def _check_names(
    graph: Graph, past: list[Value], config: Mapping[str, Any], client: Client
) -> Iterator[Finding]:
    names = cache_names(config, graph.session, client)
    if names is None:
        yield Finding(
            Code.CACHE_NAME,
            "note",
            "the names of the cache were not checked",
            graph.path,
            f"models of the type {config.get('model_type')!r} have a cache of another kind",
            "",
        )
        return
    field = client.layers[str(config.get("model_type"))]
    if not names:
        why = f"the client counts the layers by '{field}' of config.json, and makes no cache"
        hint = f"write the number of layers as '{field}'"
        where = f"{CONFIG}: {field}"
        yield Finding(Code.CACHE_NAME, "error", f"no '{field}'", where, why, hint)
        return
    lost = [value.name for value in past if value.name not in names]
    if lost:
        yield Finding(
            Code.CACHE_NAME,
            "error",
            f"the client makes no cache for {_named(lost)}",
            graph.path,
            f"it makes one for each layer, and '{field}' in config.json is {config[field]}",
            "name the inputs past_key_values.N.key and .value, one pair a layer",
        )


def _check_presents(graph: Graph, past: list[Value]) -> Iterator[Finding]:
    presents = {value.name: value for value in graph.file.outputs}
    pairs = [(value, presents.get(_present(value.name))) for value in past]
    lost = [value.name for value, present in pairs if present is None]
    if lost:
        yield Finding(
            Code.CACHE_NAME,
            "error",
            f"no output becomes {_named(lost)}",
            graph.path,
            f"the client takes {_present(lost[0])} as the next step's {lost[0]}",
            "export the outputs as present.N.key and .value",
        )
    changed = [v for v, present in pairs if present and present.element != v.element]
    if changed:
        present = presents[_present(changed[0].name)]
        yield Finding(
            Code.CACHE_NAME,
            "error",
            f"the cache goes in as {changed[0].element} and comes out as {present.element}",
            f"{graph.path}: {changed[0].name}",
            "the client hands each step's outputs to the next step as they are",
            "convert inputs and outputs of the cache to one type",
        )


def _present(past: str) -> str:
    return past.replace("past_key_values", "present", 1).replace("past_", "present_", 1)


def _axis_problems(value: Value) -> Iterator[str]:
    """Yield what is wrong with the axes, in words that are the same for all layers."""
    if not value.shape:
        yield "it has no shape"
        return
    first, *rest = value.shape
    if first is None or (isinstance(first, str) and first not in _KNOWN_AXES):
        yield f"its batch axis is called {_shown(first)}"
    elif isinstance(first, int):
        yield f"its batch is fixed to {first}"
    zeros = [axis for axis in rest if not isinstance(axis, int) and axis not in _KNOWN_AXES]
    if not zeros:
        yield "its length is fixed, so it is never empty"
    elif len(zeros) > 1:
        yield f"the sizes of {', '.join(_shown(axis) for axis in zeros)} are not fixed"
    elif zeros[0] is None:
        yield "the axis of its length has no name"


def _axis_finding(graph: Graph, values: list[Value], problem: str) -> Finding:
    counted = "" if len(values) == 1 else f" and {len(values) - 1} more"
    where = f"{graph.path}: {values[0].name}{counted}, {values[0].text()}"
    severity, why, hint = _consequence(problem)
    return Finding(Code.CACHE_AXIS, severity, f"the cache: {problem}", where, why, hint)


def _consequence(problem: str) -> tuple[Any, str, str]:
    if "batch is fixed" in problem:
        why = "the client then makes a cache of that many rows, whatever it is given"
        return "warning", why, f"name the axis {BATCH}"
    if "batch axis" in problem:
        why = f"only {BATCH} is known to the client; another name becomes 0, a cache of no rows"
        return "error", why, f"name the axis {BATCH}, exactly so"
    if "has no name" in problem or "no shape" in problem:
        why = "onnxruntime-web gives an axis without a name as 4294967295, too long for an array"
        return "error", why, "name the axis, for instance past_sequence_length"
    if "length is fixed" in problem:
        why = "the client begins with zeros of that length, and the next step's cache is longer"
        return "error", why, "export the axis of the past under a name"
    why = "every name but the batch's becomes 0; only the length of the past may be"
    return "error", why, "fix heads and head_dim to the model's numbers"


def _shown(axis: int | str | None) -> str:
    return "nothing" if axis is None else f"'{axis}'"


def _named(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"

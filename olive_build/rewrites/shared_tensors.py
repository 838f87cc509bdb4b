"""Tensors that several graphs store, stored once.

Parts of one model that were exported apart hold the same weights under names of their own. A
subgraph sees the tensors of the graph around it, so that one copy there serves all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import onnx
from onnx import helper, numpy_helper

from olive_build.rewrites.clean import graphs

# Shapes and single numbers stay where they are read: loading folds them there.
SMALL_BYTES = 256
Key = tuple[int, tuple[int, ...], bytes]


def share_tensors(parts: Sequence[onnx.GraphProto]) -> list[onnx.TensorProto]:
    """Return the tensors that more than one part has, taken out of them to be stored around them.

    Tensors are equal when type, shape and bytes are. Equal ones within a part become one. Those
    below 256 bytes stay as they are. Names are those of the first part that has the tensor, which
    must differ from all names in the other parts. Every tensor that is returned is read by every
    part, or the operators that run two subgraphs (WhisperBeamSearch) refuse it: so with three parts
    or more, share two by two.
    """
    owners: dict[Key, set[int]] = {}
    for number, part in enumerate(parts):
        for tensor in part.initializer:
            owners.setdefault(_key(tensor), set()).add(number)
    shared: dict[Key, onnx.TensorProto] = {}
    for part in parts:
        here: dict[Key, str] = {}
        renamed: dict[str, str] = {}
        kept = []
        for tensor in part.initializer:
            key = _key(tensor)
            if _bytes(tensor) < SMALL_BYTES:
                kept.append(tensor)
            elif key in here:
                renamed[tensor.name] = here[key]
            elif len(owners[key]) > 1:
                shared.setdefault(key, tensor)
                here[key] = renamed[tensor.name] = shared[key].name
            else:
                here[key] = tensor.name
                kept.append(tensor)
        copies = [_copy(tensor) for tensor in shared.values()]
        shared = dict(zip(shared, copies, strict=True))
        kept = [_copy(tensor) for tensor in kept]
        del part.initializer[:]
        part.initializer.extend(kept)
        rename_inputs(part, renamed)
    for part in parts:
        _declare(part, shared.values())
    return list(shared.values())


def _declare(part: onnx.GraphProto, shared: Iterable[onnx.TensorProto]) -> None:
    """Record the types of what the part reads from around it.

    onnxruntime finds them by itself from 1.31 on at the latest; 1.24 and earlier refuse the file.
    """
    read = {name for graph in graphs(part) for node in graph.node for name in node.input}
    part.value_info.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in shared
        if tensor.name in read
    )


def _key(tensor: onnx.TensorProto) -> Key:
    raw = tensor.raw_data or numpy_helper.to_array(tensor).tobytes()
    return tensor.data_type, tuple(tensor.dims), hashlib.sha256(raw).digest()


def _bytes(tensor: onnx.TensorProto) -> int:
    return len(tensor.raw_data) or numpy_helper.to_array(tensor).nbytes


def _copy(tensor: onnx.TensorProto) -> onnx.TensorProto:
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    return copy


def rename_inputs(part: onnx.GraphProto, renamed: dict[str, str]) -> None:
    """Let nodes of the graph and of its subgraphs read values by other names."""
    for graph in graphs(part):
        for node in graph.node:
            _rename(node.input, renamed)


def prefix_names(part: onnx.GraphProto, prefix: str, keep: Iterable[str] = ()) -> None:
    """Put `prefix` before every name in the graph but those in `keep`, so that it joins others."""
    kept = {"", *keep}
    for value in (*part.input, *part.output, *part.value_info, *part.initializer):
        if value.name not in kept:
            value.name = prefix + value.name
    for node in part.node:
        node.name = prefix + node.name
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name not in kept:
                    names[index] = prefix + name


def _rename(names: list[str], renamed: dict[str, str]) -> None:
    for index, name in enumerate(names):
        if name in renamed:
            names[index] = renamed[name]

"""Mistakes inside the graphs of such folders: inputs, outputs, cache, operators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from client_folder import (
    HEAD_DIM,
    HEADS,
    change_json,
    encoder,
    language_model,
    model,
    save,
    value,
    write_encoder,
    write_language_model,
    write_whisper,
)
from layout_mistakes import case, models
from onnx import TensorProto, helper

# Inputs, outputs, cache


def language(folder: Path, **changes: object) -> Path:
    save(write_language_model(folder), "model", language_model(**changes))  # type: ignore[arg-type]
    return folder


@case
def batch_axis_of_another_name(folder: Path) -> Path:
    return language(folder, batch="batch")


@case
def batch_axis_fixed(folder: Path) -> Path:
    return language(folder, batch=1)


@case
def heads_under_a_name(folder: Path) -> Path:
    return language(folder, past=["batch_size", "num_heads", "past_sequence_length", HEAD_DIM])


@case
def length_of_the_cache_fixed(folder: Path) -> Path:
    return language(folder, past=["batch_size", HEADS, 128, HEAD_DIM])


@case
def length_of_the_cache_without_a_name(folder: Path) -> Path:
    return language(folder, past=["batch_size", HEADS, None, HEAD_DIM])


@case
def no_cache(folder: Path) -> Path:
    graph = encoder()
    graph.graph.output[0].name = graph.graph.node[0].output[0] = "logits"
    save(write_language_model(folder), "model", graph)
    return folder


@case
def layers_not_counted(folder: Path) -> Path:
    change_json(write_language_model(folder) / "config.json", num_layers=None, num_hidden_layers=2)
    return folder


@case
def fewer_layers_than_the_graph(folder: Path) -> Path:
    change_json(write_language_model(folder) / "config.json", num_layers=1)
    return folder


@case
def cache_of_two_types(folder: Path) -> Path:
    graph = language_model()
    for item in graph.graph.output:
        if item.name.startswith("present"):
            item.type.tensor_type.elem_type = TensorProto.FLOAT16
    save(write_language_model(folder), "model", graph)
    return folder


@case
def cache_that_does_not_come_out(folder: Path) -> Path:
    graph = language_model()
    graph.graph.output.pop()
    save(write_language_model(folder), "model", graph)
    return folder


@case
def inputs_that_nobody_gives(folder: Path) -> Path:
    graph = encoder()
    graph.graph.input.append(value("position_ids", ["batch_size", "n"], TensorProto.INT64))
    graph.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32
    save(write_encoder(folder), "model", graph)
    return folder


@case
def length_of_texts_fixed(folder: Path) -> Path:
    graph = encoder()
    for item in graph.graph.input:
        for axis, size in zip(item.type.tensor_type.shape.dim, (1, 128), strict=True):
            axis.dim_value = size
    save(write_encoder(folder), "model", graph)
    return folder


@case
def output_of_another_name(folder: Path) -> Path:
    graph = encoder()
    graph.graph.output[0].name = graph.graph.node[0].output[0] = "sentence_embedding"
    save(write_encoder(folder), "model", graph)
    return folder


@case
def half_of_a_pair_in_fp16(folder: Path) -> Path:
    path = models(write_whisper(folder)) / "encoder_model.onnx"
    graph = onnx.load(path)
    graph.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    save(folder, "encoder_model", graph)
    return folder


# Operators


def with_node(folder: Path, node: onnx.NodeProto, **options: int) -> Path:
    graph = model(
        [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"]), node],
        list(encoder().graph.input),
        list(encoder().graph.output),
        weights={"table": np.zeros((3, 8), np.float32)},
        **options,
    )
    save(write_encoder(folder), "model", graph)
    return folder


@case
def tokenizer_in_the_graph(folder: Path) -> Path:
    node = helper.make_node("BertTokenizer", ["text"], ["ids"], domain="ai.onnx.contrib")
    return with_node(folder, node)


@case
def optimized_for_one_machine(folder: Path) -> Path:
    node = helper.make_node("Conv", ["x", "w"], ["y"], domain="com.microsoft.nchwc")
    return with_node(folder, node)


@case
def operator_of_another_device(folder: Path) -> Path:
    node = helper.make_node("PackedAttention", ["x", "w", "b"], ["y"], domain="com.microsoft")
    return with_node(folder, node)


@case
def masked_attention_on_webgpu(folder: Path) -> Path:
    inputs = ["q", "k", "v", "", "attention_mask"]
    node = helper.make_node(
        "MultiHeadAttention", inputs, ["y"], domain="com.microsoft", num_heads=2
    )
    return with_node(folder, node)


@case
def accuracy_level_4(folder: Path) -> Path:
    node = helper.make_node(
        "MatMulNBits",
        ["x", "w", "scales"],
        ["y"],
        domain="com.microsoft",
        K=32, N=8, bits=4, block_size=32, accuracy_level=4,
    )  # fmt: skip
    return with_node(folder, node)


@case
def opset_and_ir_too_high(folder: Path) -> Path:
    save(write_encoder(folder), "model", encoder(opset=27, ir=14))
    save(folder, "model_quantized", encoder(opset=24, ir=12))
    return folder

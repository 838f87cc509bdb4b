"""Small real models in the layout of transformers.js, one of each kind, and ways to break them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEADS, HEAD_DIM, VOCABULARY, LAYERS = 2, 4, 11, 2
HIDDEN = HEADS * HEAD_DIM
INT64, FLOAT = TensorProto.INT64, TensorProto.FLOAT
TOKENIZER = {
    "version": "1.0",
    "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None,
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "<end>": 2}, "merges": []},
    "added_tokens": [{"id": 2, "content": "<end>", "special": True, "single_word": False,
                      "lstrip": False, "rstrip": False, "normalized": False}],
}  # fmt: skip


def value(name: str, shape: list[Any], element: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element, shape)


def model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    *,
    weights: dict[str, np.ndarray] | None = None,
    opset: int = 18,
    ir: int = 10,
) -> onnx.ModelProto:
    domains = {node.domain for node in nodes if node.domain}
    stored = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    return helper.make_model(
        helper.make_graph(nodes, "graph", inputs, outputs, stored),
        opset_imports=[
            helper.make_opsetid("", opset),
            *(helper.make_opsetid(domain, 1) for domain in sorted(domains)),
        ],
        ir_version=ir,
    )


def encoder(**options: Any) -> onnx.ModelProto:
    """A text encoder: ids in, a vector for each out."""
    ids = [
        value(name, ["batch_size", "sequence_length"], INT64)
        for name in ("input_ids", "attention_mask")
    ]
    table = np.arange(VOCABULARY * HIDDEN, dtype=np.float32).reshape(VOCABULARY, HIDDEN)
    return model(
        [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])],
        ids,
        [value("last_hidden_state", ["batch_size", "sequence_length", HIDDEN])],
        weights={"table": table},
        **options,
    )


def language_model(
    *, batch: str | int = "batch_size", past: list[Any] | None = None, **options: Any
) -> onnx.ModelProto:
    """A decoder with a cache that grows: the logits are rows of a table, the cache is real."""
    shape = past or [batch, HEADS, "past_sequence_length", HEAD_DIM]
    inputs = [
        value("input_ids", ["batch_size", "sequence_length"], INT64),
        value("attention_mask", ["batch_size", "total_sequence_length"], INT64),
        value("position_ids", ["batch_size", "sequence_length"], INT64),
    ]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["logits"]),
        helper.make_node("Gather", ["keys", "input_ids"], ["rows"]),
        helper.make_node("Reshape", ["rows", "split"], ["heads"]),
        helper.make_node("Transpose", ["heads"], ["new"], perm=[0, 2, 1, 3]),
    ]
    outputs = [value("logits", ["batch_size", "sequence_length", VOCABULARY])]
    for layer in range(LAYERS):
        for half in ("key", "value"):
            old, present = f"past_key_values.{layer}.{half}", f"present.{layer}.{half}"
            inputs.append(value(old, shape))
            outputs.append(value(present, ["batch_size", HEADS, "total_sequence_length", HEAD_DIM]))
            nodes.append(helper.make_node("Concat", [old, "new"], [present], axis=2))
    weights = {
        "table": np.eye(VOCABULARY, dtype=np.float32),
        "keys": np.ones((VOCABULARY, HIDDEN), np.float32),
        "split": np.array([0, 0, HEADS, HEAD_DIM]),
    }
    return model(nodes, inputs, outputs, weights=weights, **options)


def classifier() -> onnx.ModelProto:
    nodes = [
        helper.make_node("GlobalAveragePool", ["pixel_values"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["logits"]),
    ]
    pixels = value("pixel_values", ["batch_size", 3, "height", "width"])
    return model(nodes, [pixels], [value("logits", ["batch_size", 3])])


def audio_encoder() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Transpose", ["input_features"], ["last_hidden_state"], perm=[0, 2, 1])
    ]
    features = value("input_features", ["batch_size", HIDDEN, 3000])
    return model(nodes, [features], [value("last_hidden_state", ["batch_size", 3000, HIDDEN])])


def merged_decoder() -> onnx.ModelProto:
    """What a merged decoder shows outside; it does not compute anything of use."""
    inputs = [
        value("input_ids", ["batch_size", "sequence_length"], INT64),
        value("encoder_hidden_states", ["batch_size", "frames", HIDDEN]),
        value("use_cache_branch", [1], TensorProto.BOOL),
    ]
    outputs = [value("logits", ["batch_size", "sequence_length", VOCABULARY])]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["logits"]),
        helper.make_node("Identity", ["encoder_hidden_states"], ["seen"]),
        helper.make_node("Not", ["use_cache_branch"], ["first"]),
    ]
    for layer in range(LAYERS):
        for side in ("encoder", "decoder"):
            for half in ("key", "value"):
                name = f"{layer}.{side}.{half}"
                shape = ["batch_size", HEADS, f"past_{side}_length", HEAD_DIM]
                inputs.append(value(f"past_key_values.{name}", shape))
                outputs.append(value(f"present.{name}", shape))
                nodes.append(
                    helper.make_node("Identity", [f"past_key_values.{name}"], [f"present.{name}"])
                )
    return model(nodes, inputs, outputs, weights={"table": np.eye(VOCABULARY, dtype=np.float32)})


def write_json(path: Path, data: object) -> None:
    path.write_text(json.dumps(data), encoding="utf-8")


def change_json(path: Path, **fields: Any) -> None:
    """Set fields of a JSON file; None takes one out."""
    data = {**json.loads(path.read_text(encoding="utf-8")), **fields}
    write_json(path, {key: item for key, item in data.items() if item is not None})


def save(folder: Path, name: str, graph: onnx.ModelProto) -> Path:
    path = folder / "onnx" / f"{name}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(graph.SerializeToString())
    return path


def save_external(folder: Path, name: str, graph: onnx.ModelProto, location: str) -> Path:
    """Save a model with all its weights in another file."""
    path = folder / "onnx" / f"{name}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(graph, path, save_as_external_data=True, location=location, size_threshold=64)
    return path


def _write(folder: Path, config: dict[str, Any], graphs: dict[str, onnx.ModelProto]) -> Path:
    folder.mkdir()
    write_json(folder / "config.json", config)
    for name, graph in graphs.items():
        for suffix in ("", "_quantized"):
            save(folder, name + suffix, graph)
    return folder


def _add_tokenizer(folder: Path, name: str) -> None:
    write_json(folder / "tokenizer.json", TOKENIZER)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": name, "eos_token": "<end>"})


def write_encoder(folder: Path) -> Path:
    config = {"model_type": "bert", "architectures": ["BertModel"], "vocab_size": VOCABULARY}
    _write(folder, config, {"model": encoder()})
    _add_tokenizer(folder, "BertTokenizer")
    return folder


def write_language_model(folder: Path) -> Path:
    config = {
        "model_type": "gpt_neo",
        "architectures": ["GPTNeoForCausalLM"],
        "vocab_size": VOCABULARY,
        "num_layers": LAYERS,
        "num_heads": HEADS,
        "hidden_size": HIDDEN,
        "max_position_embeddings": 64,
    }
    _write(folder, config, {"model": language_model()})
    _add_tokenizer(folder, "GPT2Tokenizer")
    write_json(folder / "generation_config.json", {"eos_token_id": 2})
    return folder


def write_classifier(folder: Path) -> Path:
    config = {
        "model_type": "vit",
        "architectures": ["ViTForImageClassification"],
        "id2label": {"0": "red", "1": "green", "2": "blue"},
    }
    _write(folder, config, {"model": classifier()})
    write_json(
        folder / "preprocessor_config.json", {"image_processor_type": "ViTImageProcessorFast"}
    )
    return folder


def write_whisper(folder: Path) -> Path:
    config = {
        "model_type": "whisper",
        "architectures": ["WhisperForConditionalGeneration"],
        "is_encoder_decoder": True,
        "decoder_layers": LAYERS,
    }
    graphs = {"encoder_model": audio_encoder(), "decoder_model_merged": merged_decoder()}
    _write(folder, config, graphs)
    _add_tokenizer(folder, "WhisperTokenizer")
    write_json(
        folder / "preprocessor_config.json",
        {
            "feature_extractor_type": "WhisperFeatureExtractor",
            "processor_class": "WhisperProcessor",
        },
    )
    write_json(
        folder / "generation_config.json",
        {
            "eos_token_id": 2,
            "decoder_start_token_id": 0,
            "max_length": 32,
            "is_multilingual": True,
            "lang_to_id": {"<|en|>": 1},
            "task_to_id": {"transcribe": 1},
        },
    )
    return folder


WRITERS = {
    "feature-extraction": write_encoder,
    "text-generation": write_language_model,
    "image-classification": write_classifier,
    "speech-recognition": write_whisper,
}

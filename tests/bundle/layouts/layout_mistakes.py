"""Mistakes that people make with such folders, each as a folder that has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
from client_folder import (
    change_json,
    encoder,
    save,
    save_external,
    write_classifier,
    write_encoder,
    write_json,
    write_language_model,
    write_whisper,
)

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 91\n"
CASES: dict[str, Callable[[Path], Path]] = {}


def case(function: Callable[[Path], Path]) -> Callable[[Path], Path]:
    CASES[function.__name__.replace("_", "-")] = function
    return function


def models(folder: Path) -> Path:
    return folder / "onnx"


# Files


@case
def no_quantized_file(folder: Path) -> Path:
    (models(write_encoder(folder)) / "model_quantized.onnx").unlink()
    return folder


@case
def quantized_under_another_name(folder: Path) -> Path:
    path = models(write_encoder(folder)) / "model_quantized.onnx"
    path.rename(path.with_name("model_q8.onnx"))
    return folder


@case
def models_beside_the_configuration(folder: Path) -> Path:
    for path in list(models(write_encoder(folder)).iterdir()):
        path.rename(folder / path.name)
    return folder


@case
def decoders_not_merged(folder: Path) -> Path:
    inner = models(write_whisper(folder))
    (inner / "decoder_model_merged_quantized.onnx").unlink()
    (inner / "decoder_model_merged.onnx").rename(inner / "decoder_model.onnx")
    return folder


@case
def name_of_an_older_client(folder: Path) -> Path:
    inner = models(write_language_model(folder))
    for suffix in ("", "_quantized"):
        (inner / f"model{suffix}.onnx").rename(inner / f"decoder_model_merged{suffix}.onnx")
    return folder


@case
def pointers_of_git_lfs(folder: Path) -> Path:
    (models(write_encoder(folder)) / "model.onnx").write_bytes(POINTER)
    (folder / "tokenizer.json").write_bytes(POINTER)
    return folder


@case
def web_page_for_a_model(folder: Path) -> Path:
    page = b"<!DOCTYPE html><html><body>Sign in</body></html>"
    (models(write_encoder(folder)) / "model.onnx").write_bytes(page)
    return folder


@case
def truncated_model(folder: Path) -> Path:
    path = models(write_encoder(folder)) / "model.onnx"
    path.write_bytes(path.read_bytes()[:200])
    return folder


@case
def empty_model(folder: Path) -> Path:
    (models(write_encoder(folder)) / "model.onnx").write_bytes(b"")
    return folder


@case
def no_onnx_in_it(folder: Path) -> Path:
    (models(write_encoder(folder)) / "model.onnx").write_bytes(b"Entry not found")
    return folder


@case
def ort_file_for_a_model(folder: Path) -> Path:
    (models(write_encoder(folder)) / "model.onnx").write_bytes(b"\x08\0\0\0ORTM" + bytes(64))
    return folder


@case
def dangling_link(folder: Path) -> Path:
    path = models(write_encoder(folder)) / "model.onnx"
    path.unlink()
    path.symlink_to("../../blobs/none")
    return folder


@case
def larger_than_protobuf(folder: Path) -> Path:
    with (models(write_encoder(folder)) / "model.onnx").open("r+b") as file:
        file.truncate((1 << 31) + 1)  # no byte of it is on the disk
    return folder


# External data


def externalize(folder: Path, location: str, number: object) -> Path:
    write_encoder(folder)
    save_external(folder, "model", encoder(), location)
    if number is not None:
        change_json(
            folder / "config.json",
            **{"transformers.js_config": {"use_external_data_format": number}},
        )
    return folder


@case
def external_data_not_declared(folder: Path) -> Path:
    return externalize(folder, "model.onnx_data", None)


@case
def external_data_of_another_name(folder: Path) -> Path:
    return externalize(folder, "weights.bin", None)


@case
def renamed_with_external_data(folder: Path) -> Path:
    externalize(folder, "model.onnx_data", {"model.onnx": 1})
    path = models(folder) / "model.onnx"
    path.with_name("model_q4.onnx").write_bytes(path.read_bytes())
    return folder


@case
def declared_for_all_had_by_one(folder: Path) -> Path:
    return externalize(folder, "model.onnx_data", True)


@case
def external_data_missing(folder: Path) -> Path:
    externalize(folder, "model.onnx_data", {"model.onnx": 1})
    (models(folder) / "model.onnx_data").unlink()
    return folder


@case
def external_data_cut_off(folder: Path) -> Path:
    externalize(folder, "model.onnx_data", {"model": 1})
    path = models(folder) / "model.onnx_data"
    path.write_bytes(path.read_bytes()[:-1])
    return folder


@case
def external_data_larger_than_a_browser_takes(folder: Path) -> Path:
    externalize(folder, "model.onnx_data", {"model.onnx": 1})
    with (models(folder) / "model.onnx_data").open("r+b") as file:
        file.truncate(1 << 31)
    return folder


@case
def external_data_outside(folder: Path) -> Path:
    externalize(folder, "model.onnx_data", {"model.onnx": 1})
    path = models(folder) / "model.onnx_data"
    path.rename(folder.parent / "data")
    path.symlink_to(folder.parent / "data")
    return folder


@case
def external_data_in_a_folder_above(folder: Path) -> Path:
    graph = encoder()
    onnx.external_data_helper.set_external_data(graph.graph.initializer[0], "../weights.bin")
    save(write_encoder(folder), "model", graph)
    return folder


# Configuration


@case
def no_configuration(folder: Path) -> Path:
    (write_encoder(folder) / "config.json").unlink()
    return folder


@case
def broken_configuration(folder: Path) -> Path:
    (write_encoder(folder) / "config.json").write_text('{"model_type": "bert",')
    return folder


@case
def unknown_model_type(folder: Path) -> Path:
    change_json(write_language_model(folder) / "config.json", model_type="gpt_new")
    return folder


@case
def model_type_that_is_no_text(folder: Path) -> Path:
    change_json(write_language_model(folder) / "config.json", model_type=[])
    return folder


@case
def settings_that_are_none(folder: Path) -> Path:
    settings = {"dtype": "int4", "use_external_data_format": 101, "kv_cache_dtype": "float16"}
    change_json(write_encoder(folder) / "config.json", **{"transformers.js_config": settings})
    return folder


@case
def tokenizer_of_the_older_form(folder: Path) -> Path:
    (write_encoder(folder) / "tokenizer.json").rename(folder / "vocab.txt")
    return folder


@case
def tokenizer_without_a_part(folder: Path) -> Path:
    write_json(write_encoder(folder) / "tokenizer.json", {"model": {}})
    return folder


@case
def chat_template_in_a_file(folder: Path) -> Path:
    (write_language_model(folder) / "chat_template.jinja").write_text("{{ messages }}")
    return folder


@case
def processor_of_transformers_5(folder: Path) -> Path:
    path = write_classifier(folder) / "preprocessor_config.json"
    path.rename(folder / "processor_config.json")
    return folder


@case
def unknown_image_processor(folder: Path) -> Path:
    path = write_classifier(folder) / "preprocessor_config.json"
    change_json(path, image_processor_type="TimmWrapperImageProcessor")
    change_json(folder / "config.json", id2label=None)
    return folder


@case
def whisper_without_its_prompt(folder: Path) -> Path:
    (write_whisper(folder) / "generation_config.json").unlink()
    change_json(folder / "tokenizer_config.json", tokenizer_class="TokenizersBackend")
    return folder


@case
def beams_that_do_nothing(folder: Path) -> Path:
    path = write_language_model(folder) / "generation_config.json"
    change_json(path, num_beams=4, eos_token_id=None)
    return folder

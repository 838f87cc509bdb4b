"""config.json of a client's folder says how many files of weights each model has."""

from __future__ import annotations

import json

from olive_build.bundle.assemble import declared
from olive_build.bundle.publish import BundleFile, from_bytes

CONFIG = {"model_type": "bert", "transformers.js_config": {"dtype": "q8"}}


def files(*names: str) -> list[BundleFile]:
    config = from_bytes("config.json", json.dumps(CONFIG).encode())
    return [config, *(from_bytes(name, b"x") for name in names)]


def test_models_with_weights_beside_are_declared_by_name() -> None:
    given = files(
        "onnx/model.onnx", "onnx/model.onnx_data", "onnx/model.onnx_data_1",
        "onnx/model_q4.onnx", "reference/audio.onnx", "reference/audio.onnx_data",
    )  # fmt: skip
    config, *others = declared(given)
    told = {"dtype": "q8", "use_external_data_format": {"model.onnx": 2}}
    assert json.loads(config.content or b"") == {**CONFIG, "transformers.js_config": told}
    assert others == given[1:]


def test_where_every_model_is_one_file_nothing_is_written() -> None:
    given = files("onnx/model.onnx", "reference/audio.onnx", "reference/audio.onnx_data")
    assert declared(given) == given

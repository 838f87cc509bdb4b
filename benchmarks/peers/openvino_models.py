"""Convert a sentence encoder to OpenVINO and quantize it with NNCF. Runs in the peer's environment.

    python openvino_models.py static|weights MODEL_FOLDER CALIBRATION.jsonl

Writes static/model.xml (int8 after calibration on the texts) or weights/model.xml (int8 weights
alone) below the current folder, as NNCF's guides for transformers do.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nncf
import openvino
import torch
import transformers


def static_int8(folder: Path, calibration: Path) -> openvino.Model:
    """Return the model with int8 weights and activations, calibrated on the texts."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    lines = calibration.read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines if line.strip()]
    model = convert(folder)
    names = {value.get_any_name() for value in model.inputs}

    def feeds(text: str) -> dict[str, object]:
        encoded = tokenizer(text, truncation=True, return_tensors="np")
        return {name: value for name, value in encoded.items() if name in names}

    return nncf.quantize(
        model,
        nncf.Dataset(texts, feeds),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(texts),
    )


def weight_only_int8(folder: Path, _calibration: Path) -> openvino.Model:
    """Return the model with int8 weights; what is computed stays fp32."""
    return nncf.compress_weights(convert(folder), mode=nncf.CompressWeightsMode.INT8_ASYM)


def convert(folder: Path) -> openvino.Model:
    """Return the encoder as an OpenVINO model, batch and sequence dynamic."""
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="sdpa").eval()
    model.config.return_dict = False
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    example = tokenizer(["One text.", "Another, longer text."], padding=True, return_tensors="pt")
    with torch.inference_mode():
        return openvino.convert_model(model, example_input=dict(example))


def main(method: str, folder: str, calibration: str) -> None:
    """Make one model."""
    make = {"static": static_int8, "weights": weight_only_int8}[method]
    model = make(Path(folder), Path(calibration))
    openvino.save_model(model, Path(method, "model.xml"), compress_to_fp16=False)


if __name__ == "__main__":
    main(*sys.argv[1:4])

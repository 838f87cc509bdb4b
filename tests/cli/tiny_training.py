"""A training bundle of a small network on 8 x 8 images, made in a second, and folders of images."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "record"))
from samples import manifest_data

from olive_build.bundle.readme import code_sections
from olive_build.record.codec import decode
from olive_build.record.manifest import Manifest
from olive_build.toolchains import provision
from olive_build.training.settings import Loss, Optimizer, Train

ROOT = Path(__file__).resolve().parents[2]
side, WIDTH = 8, 16
LABELS = ("bar", "dot", "ring")
FILES = ("training_model.onnx", "eval_model.onnx", "optimizer_model.onnx", "checkpoint")
MAKE = """
import json, runpy, sys
from pathlib import Path
host = runpy.run_path(sys.argv[1])
host["hide_python_path"]()
host["show_package"]()
from olive_build.training.artifacts import make_artifacts
from olive_build.training.settings import Loss, Optimizer, Train
folder, fields = Path(sys.argv[2]), json.loads(sys.argv[3])
fields["loss"], fields["optimizer"] = Loss(**fields["loss"]), Optimizer(**fields["optimizer"])
described = json.loads((folder / "training.json").read_text())
out = folder / "training"
out.mkdir()
make_artifacts(folder / "model.onnx", described, Train(**fields), sys.argv[4:], out)
"""


@dataclass(frozen=True)
class Tiny:
    """What kind of bundle is made; `batch` is None where it is free."""

    target: str = "desktop"
    batch: int | None = None
    loss: Loss = field(default_factory=lambda: Loss("cross-entropy"))
    rate: float = 0.01
    smoke: bool = False
    outputs: tuple[str, ...] = ("logits",)
    input: str = "pixel_values"
    labels: tuple[str, ...] = LABELS
    width: int = WIDTH
    margin: float | None = None


def weights(classes: int = 3, width: int = WIDTH) -> dict[str, npt.NDArray[np.float32]]:
    """Return the parameters; `body.bias` is frozen."""
    random = np.random.default_rng(0)
    shapes = {
        "body.weight": (side * side, width),
        "body.bias": (width,),
        "head.weight": (width, classes),
        "head.bias": (classes,),
    }
    return {
        name: (random.standard_normal(shape) * 0.2).astype(np.float32)
        for name, shape in shapes.items()
    }


def of_tiny(tiny: Tiny) -> dict[str, npt.NDArray[np.float32]]:
    return weights(len(tiny.labels), tiny.width)


def write_model(path: Path, tiny: Tiny) -> None:
    """Write the graph: pixels [batch, 1, 8, 8] -> hidden [batch, width] -> logits."""
    batch = tiny.batch or "batch_size"
    values = {
        tiny.input: [batch, 1, side, side],
        "hidden": [batch, tiny.width],
        "logits": [batch, len(tiny.labels)],
    }
    infos = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, axes)
        for name, axes in values.items()
    }
    nodes = [
        helper.make_node("Flatten", [tiny.input], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "body.weight", "body.bias"], ["sum"], name="body"),
        helper.make_node("Relu", ["sum"], ["hidden"], name="relu"),
        helper.make_node("Gemm", ["hidden", "head.weight", "head.bias"], ["logits"], name="head"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [infos[tiny.input]],
        [infos[name] for name in tiny.outputs],
        [numpy_helper.from_array(value, name) for name, value in of_tiny(tiny).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def write_bundle(folder: Path, tiny: Tiny = Tiny()) -> Path:
    """Make the artifacts in the training toolchain, and a manifest as a build writes it."""
    folder.mkdir(parents=True)
    write_model(folder / "model.onnx", tiny)
    described = _described(tiny)
    (folder / "training.json").write_text(json.dumps(described), encoding="utf-8")
    optimizer = Optimizer("adamw", tiny.rate)
    train = Train(("*",), ("body.bias",), None, None, tiny.loss, optimizer, (), 8, 3, 5, False)
    python = provision.python_of("training")
    host = ROOT / "olive_build" / "toolchains" / "run.py"
    arguments = [str(host), str(folder), json.dumps(asdict(train)), "onnx"]
    subprocess.run([str(python), "-P", "-c", MAKE, *arguments], check=True, timeout=120)
    (folder / "model.onnx").unlink()
    (folder / "training.json").unlink()
    (folder / "inference").mkdir()
    (folder / "training" / "model.onnx").rename(folder / "inference" / "model.onnx")
    (folder / "preprocessor_config.json").write_text("{}\n", encoding="utf-8")
    write_manifest(folder, manifest_of(folder, tiny, train, described))
    return folder


def manifest_of(
    folder: Path, tiny: Tiny, train: Train, described: dict[str, Any]
) -> dict[str, Any]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    section = {
        **described,
        "files": {Path(name).stem: f"training/{name}" for name in FILES},
        "loss": asdict(train.loss),
        "optimizer": asdict(train.optimizer),
        "batch_size": train.batch_size,
        "epochs": train.epochs,
        "seed": train.seed,
        "trainable_values": 1075,
    }
    if tiny.margin is not None:
        section["decision"] = {"margin": tiny.margin}
    said = {
        "recipe": "shapes",
        "description": "Tells shapes apart",
        "smoke": tiny.smoke,
        "target": tiny.target,
        "model": {"family": "image-classification"},
        "variants": {
            "inference": {
                "precision": "fp32",
                "files": {"onnx": "inference/model.onnx"},
                "inputs": described["inputs"],
                "outputs": [
                    {"name": name, "type": "float", "axes": [tiny.batch or "batch_size", width]}
                    for name, width in (("hidden", tiny.width), ("logits", len(tiny.labels)))
                    if name in tiny.outputs
                ],
            }
        },
        "training": section,
        "files": [
            {
                "path": path.relative_to(folder).as_posix(),
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "size_bytes": path.stat().st_size,
            }
            for path in files
        ],
    }
    return manifest_data(said)


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return found


def code_of_bundle(manifest: dict[str, Any]) -> str:
    """Return the README's code of a bundle that trains, on its target's CPU."""
    provider = "wasm" if manifest["target"] == "web" else "cpu"
    return code_sections(decode(Manifest, {**manifest, "provider": provider}), None)


def _described(tiny: Tiny) -> dict[str, Any]:
    batch = tiny.batch or "batch_size"
    classes = tiny.loss.name == "cross-entropy"
    trainable = {name: array for name, array in of_tiny(tiny).items() if name != "body.bias"}
    return {
        "inputs": [
            {
                "name": tiny.input,
                "family_name": "pixel_values",
                "type": "float32",
                "axes": [batch, 1, side, side],
            }
        ],
        "target": {"name": "labels", "type": "int64", "axes": [batch]}
        if classes
        else {"name": "target", "type": "float32", "axes": [batch, len(tiny.labels)]},
        "outputs": list(tiny.outputs),
        "labels": list(tiny.labels),
        "trainable": [{"name": n, "shape": list(a.shape)} for n, a in trainable.items()],
        "frozen": ["body.bias"],
        "patterns": {"*": 4},
        "data": {
            "kind": "images",
            "height": side,
            "width": side,
            "channels": 1,
            "rescale": 1 / 255,
            "mean": [0.5],
            "std": [0.5],
        },
    }


def image(kind: int, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return a noisy picture [8, 8] of a bar, a dot or a ring."""
    found = random.integers(0, 60, (side, side))
    y, x = np.mgrid[:side, :side]
    away = np.hypot(y - 3.5, x - 3.5)
    shape = (np.abs(x - random.integers(2, 6)) < 1, away < 1.8, (away > 2) & (away < 3.6))[kind]
    return np.where(shape, random.integers(150, 256), found).astype(np.uint8)


def write_images(folder: Path, counts: Sequence[int] = (20, 20, 20), seed: int = 1) -> Path:
    """Write a folder for each class with so many .pgm images."""
    random = np.random.default_rng(seed)
    for kind, (label, count) in enumerate(zip(LABELS, counts, strict=True)):
        if count:
            (folder / label).mkdir(parents=True)
        for number in range(count):
            pixels = image(kind, random)
            header = f"P5 {side} {side} 255\n".encode()
            (folder / label / f"{number:03}.pgm").write_bytes(header + pixels.tobytes())
    return folder

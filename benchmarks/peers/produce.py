"""Let each peer make its int8 model of a recipe: `make bench-peers` begins with this.

Sets up .peers/<peer>/ and writes outputs/peers/<peer>/<recipe>/ with manifest.json, which says
what the model is, which interpreter runs it and how large it is. A peer that cannot be installed
or fails is named with its reason and the others go on; the exit code is then 1.

    python benchmarks/peers/produce.py [--recipe NAME] [--only optimum,nncf] [--torch "torch==..."]
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from environments import HERE, PeerError, environment, locked_version

from olive_build.errors import OliveBuildError

ROOT = HERE.parent.parent
RECIPE = "all-minilm-l6-v2"
CALIBRATION = ROOT / "olive_build" / "proof" / "data" / "calibration-sentences.jsonl"
# CI=true: OpenVINO's and Olive's telemetry stay silent where they see it.
QUIET = {
    "CI": "true",
    "ORT_DISABLE_TELEMETRY": "1",
    "OLIVE_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
}


@dataclass(frozen=True)
class Job:
    """What a peer is given: its interpreter, the model's folder, an empty folder to write to."""

    python: Path
    model: Path
    out: Path

    def call(self, *words: str) -> None:
        """Run a command of the peer's environment; PeerError with the log's end when it fails."""
        command = [str(self.python.with_name(words[0])), *words[1:]]
        variables = {**os.environ, **QUIET}
        variables.pop("PYTHONPATH", None)
        log = self.out / "log.txt"
        with log.open("a", encoding="utf-8") as file:
            done = subprocess.run(
                command, stdout=file, stderr=file, env=variables, cwd=self.out, check=False
            )
        if done.returncode:
            end = log.read_text(encoding="utf-8", errors="replace")[-1500:]
            raise PeerError(f"`{words[0]}` ended with code {done.returncode}:\n{end}")


@dataclass(frozen=True)
class Peer:
    """A tool, the package whose version names it, and what makes its model.

    `model` is the file that `make` leaves below the job's folder.
    """

    name: str
    environment: str
    package: str
    kind: str
    model: str
    make: Callable[[Job], None]


def optimum(job: Job) -> None:
    """Export and quantize as optimum-onnx's guide for the command line does."""
    export = ["export", "onnx", "--model", str(job.model), "--task", "feature-extraction", "fp32"]
    job.call("optimum-cli", *export)
    quantize = ["onnxruntime", "quantize", "--onnx_model", "fp32", "--avx512_vnni"]
    job.call("optimum-cli", *quantize, "--per_channel", "--output", "int8")
    shutil.rmtree(job.out / "fp32")


def olive(job: Job) -> None:
    """Run Olive's own engine: conversion and dynamic int8."""
    config = {
        "input_model": {
            "type": "HfModel",
            "model_path": str(job.model),
            "task": "feature-extraction",
        },
        "passes": {
            "conversion": {"type": "OnnxConversion", "use_dynamo_exporter": True},
            "int8": {"type": "OnnxDynamicQuantization"},
        },
        "cache_dir": str(job.out / "cache"),
        "output_dir": str(job.out / "int8"),
    }
    (job.out / "olive.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    job.call("olive", "run", "--config", "olive.json")
    shutil.rmtree(job.out / "cache")


def openvino(job: Job, method: str) -> None:
    """Convert with OpenVINO and quantize with NNCF: `static` or `weights`."""
    script = str(HERE / "openvino_models.py")
    job.call("python", script, method, str(job.model), str(CALIBRATION))


PEERS = (
    Peer("optimum", "optimum", "optimum-onnx", "onnx", "int8/model_quantized.onnx", optimum),
    Peer("olive", "olive", "olive-ai", "onnx", "int8/model.onnx", olive),
    Peer(
        "nncf",
        "openvino",
        "nncf",
        "openvino",
        "static/model.xml",
        lambda job: openvino(job, "static"),
    ),
    Peer(
        "nncf-weights",
        "openvino",
        "nncf",
        "openvino",
        "weights/model.xml",
        lambda job: openvino(job, "weights"),
    ),
)


def produce(peer: Peer, recipe: str, model: Path, torch: Sequence[str], outputs: Path) -> Path:
    """Make one peer's model and return the path of its manifest. Raises PeerError."""
    python = environment(peer.environment, torch, ROOT / ".peers")
    out = (outputs / "peers" / peer.name / recipe).absolute()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    peer.make(Job(python, model, out))
    file = out / peer.model
    # Olive's exit code is 0 whatever happens: believe the file alone.
    if not file.is_file():
        raise PeerError(f"it ended without an error and wrote no {peer.model}")
    manifest = {
        "peer": peer.name,
        "version": f"{peer.package} {locked_version(peer.environment, peer.package)}",
        "kind": peer.kind,
        "model": peer.model,
        "python": str(python),
        "size_bytes": size_of(file),
    }
    path = out / "manifest.json"
    path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return path


def size_of(model: Path) -> int:
    """Return the bytes of a model with the files of its weights, which share its stem."""
    suffixes = {model.suffix, ".bin", ".data", ".onnx_data"}
    names = model.parent.glob(f"{model.stem}*")
    return sum(path.stat().st_size for path in names if path.suffix in suffixes)


def model_folder(recipe: str) -> Path:
    """Return the folder of the recipe's model, downloaded where it is not here yet."""
    from olive_build.engine.store import Store
    from olive_build.plan.inspecting import inspect_models
    from olive_build.select import select

    requests = select(recipe=[recipe], recipes=ROOT / "recipes")[:1]
    with Store() as store:
        found = inspect_models(requests, store, smoke=False, report=print)
        store.stamps.save()
    return Path(found[0].model.folder)


def main() -> int:
    """Make all models; return 1 when one is missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipe", default=RECIPE)
    parser.add_argument("--only", default=",".join(peer.name for peer in PEERS))
    parser.add_argument("--torch", default="torch==2.13.0", help="words that make pip install it")
    parser.add_argument("--outputs", type=Path, default=ROOT / "outputs")
    chosen = parser.parse_args()
    names = chosen.only.split(",")
    unknown = sorted(set(names) - {peer.name for peer in PEERS})
    if unknown:
        parser.error(f"no peer {unknown[0]}; they are {', '.join(peer.name for peer in PEERS)}")
    try:
        model = model_folder(chosen.recipe)
    except OliveBuildError as error:
        print(error.render(), file=sys.stderr)
        return error.exit_code
    failed = False
    for peer in PEERS:
        if peer.name not in names:
            continue
        try:
            words = shlex.split(chosen.torch)
            path = produce(peer, chosen.recipe, model, words, chosen.outputs)
            print(f"{peer.name}: {path}")
        except PeerError as error:
            failed = True
            print(f"{peer.name} failed: {error}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

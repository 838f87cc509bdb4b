"""Small PyTorch models as prepared graphs, with the steps that PyTorch trains them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from olive_build import rooms
from olive_build.families import module_of, own_module
from olive_build.proof.reference import write_reference
from olive_build.training.settings import Loss, Optimizer, Train
from olive_build.training.steps.make import TrainingExport, TrainingReference
from olive_build.training.steps.prepare import PrepareTraining
from olive_build.training.steps_file import COMPARED
from olive_build.training.torch_batch_norm import Folded
from olive_build.training.torch_export import check, export
from olive_build.training.torch_model import Trainable
from olive_build.training.torch_steps import reference_of, write_steps
from olive_build.training.torch_stored_steps import stored_steps
from olive_build.training.verdict import training_figures, training_gates

RUN = Path(__file__).parents[2] / "olive_build" / "toolchains" / "run.py"
PRELUDE = """
import json, runpy, sys
from pathlib import Path
host = runpy.run_path({run!r})
host["hide_python_path"]()
host["show_package"]()
from olive_build.training.settings import Loss, Optimizer, Train
def train_of(path):
    fields = json.loads(Path(path).read_text())
    fields["loss"]["class_weights"] = tuple(fields["loss"]["class_weights"])
    fields["loss"] = Loss(**fields["loss"])
    fields["optimizer"] = Optimizer(**fields["optimizer"])
    return Train(**fields)
"""
GENERATE = """
from olive_build.training.steps.make import TrainingArtifacts
from olive_build.errors import StepError
model, out = Path(sys.argv[1]), Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
formats = ("onnx", "ort") if "ort" in sys.argv[3:] else ("onnx",)
try:
    TrainingArtifacts(train_of(model / "train.json"), formats).run({"model": model}, out)
except StepError as error:
    print(error.render())
"""
PROVE = """
from olive_build.training.steps.prove import TrainingProof
reference, artifacts, out = (Path(path) for path in sys.argv[1:4])
out.mkdir(parents=True, exist_ok=True)
TrainingProof(train_of(reference / "train.json"), ()).run(
    {"artifacts": artifacts, "reference": reference}, out
)
"""
TRAIN = Train(
    requires_grad=("*",),
    frozen=(),
    head=None,
    lora=None,
    loss=Loss("cross-entropy"),
    optimizer=Optimizer("adamw", lr=0.01),
    rename=(),
    batch_size=4,
    epochs=1,
    seed=0,
    nominal_checkpoint=False,
)
STEPS, BATCH, OPSET = 20, 4, 18
COST = {"threads": 1, "milliseconds_per_step": 1.0, "peak_bytes": 2, "baseline_bytes": 1}


class Dense(nn.Module):
    """Two linear layers; `names` outputs, of which the last is the logits."""

    def __init__(self, outputs: int = 1, classes: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.norm = nn.LayerNorm(8)
        self.second = nn.Linear(8, classes)
        self.outputs = outputs

    def forward(self, x: torch.Tensor) -> Any:
        hidden = torch.relu(self.norm(self.first(x)))
        logits = self.second(hidden)
        return logits if self.outputs == 1 else (hidden, logits)


class Images(nn.Module):
    """Two convolutions and a linear layer on [batch, 1, 8, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.low = nn.Conv2d(1, 4, 3, padding=1)
        self.high = nn.Conv2d(4, 6, 3, stride=2)
        self.head = nn.Linear(6 * 9, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.high(torch.relu(self.low(x))))
        return self.head(hidden.flatten(1))


def torch_loss(loss: Loss) -> nn.Module:
    if loss.name == "cross-entropy":
        weights = torch.tensor(loss.class_weights) if loss.class_weights else None
        return nn.CrossEntropyLoss(weight=weights)
    return {"mse": nn.MSELoss, "l1": nn.L1Loss, "bce-with-logits": nn.BCEWithLogitsLoss}[
        loss.name
    ]()


def torch_optimizer(optimizer: Optimizer, parameters: list[nn.Parameter]) -> Any:
    if optimizer.name == "sgd":
        return torch.optim.SGD(parameters, lr=optimizer.lr)
    return torch.optim.AdamW(
        parameters,
        lr=optimizer.lr,
        betas=optimizer.betas,
        eps=optimizer.eps,
        weight_decay=optimizer.weight_decay,
    )


def prepared(
    model: nn.Module,
    folder: Path,
    *,
    train: Train = TRAIN,
    frozen: tuple[str, ...] = (),
    shape: tuple[int, ...] = (6,),
    outputs: tuple[str, ...] = ("logits",),
    nudge: Mapping[int, float] | None = None,
) -> Path:
    """Write model.onnx, training.json, train.json and steps.npz of a model into `folder`.

    The graph is made as a recipe's is where the model has one output. `nudge` says by how much all
    trained parameters are moved before a step, which part PyTorch's training from another one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.eval()
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name not in frozen
    generator = np.random.default_rng(1)
    inputs = generator.standard_normal((STEPS, BATCH, *shape)).astype(np.float32)
    with torch.no_grad():
        probe = model(torch.from_numpy(inputs[0]))
    chosen = outputs.index(train.loss.output) if train.loss.output else -1
    width = (probe if isinstance(probe, torch.Tensor) else probe[chosen]).shape[-1]
    target = _targets(train.loss, generator, width)
    _write_json(folder / "train.json", _as_json(train))
    described = _description(model, train, frozen, shape, outputs, width)
    example = torch.from_numpy(inputs[0])
    side = _side(model, example, described, width, chosen)
    if isinstance(probe, torch.Tensor):
        _export(side, folder, described)
    else:
        _export_by_hand(model, example, folder / "model.onnx", outputs)
        _write_json(folder / "training.json", described)
    reference = reference_of(side)
    write_reference(reference, folder)
    write_steps(stored_steps(side, train, reference.feeds), folder / "training_steps.npz")
    steps = _steps(model, train, inputs, target, chosen, nudge or {})
    np.savez(folder / "steps.npz", **steps)
    return folder


def _side(
    model: nn.Module, example: torch.Tensor, described: dict[str, Any], width: int, chosen: int
) -> Trainable:
    """Return the model as a recipe's is; of several outputs the one that the loss is taken of."""
    named = dict(model.named_parameters())
    trainable = tuple(name for name, value in named.items() if value.requires_grad)
    own = described["outputs"][chosen]

    def forward(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
        found = network(x)
        return found if isinstance(found, torch.Tensor) else found[chosen]

    return Trainable(
        model=model,
        forward=forward,
        inputs=("x",),
        output="logits",
        outputs=width,
        names={"x": "x", "logits": own},
        axes={"x": ("batch_size", *example.shape[1:]), "logits": ("batch_size", width)},
        batch=None,
        examples=lambda batch, seed: {"x": _values(seed, batch, tuple(example.shape[1:]))},
        trainable=trainable,
        frozen=tuple(name for name in named if name not in trainable),
        patterns={},
        folded=Folded(),
    )


def _export(side: Trainable, folder: Path, described: dict[str, Any]) -> None:
    """Write model.onnx and training.json as a recipe's are: exported, then prepared."""
    exported = folder / "exported"
    exported.mkdir(exist_ok=True)
    onnx.save(export(side, OPSET), str(exported / "model.onnx"))
    check(side, exported / "model.onnx")
    _write_json(exported / "training.json", described)
    PrepareTraining().run({"model": exported}, folder)


def _values(seed: int, batch: int, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal((batch, *shape)).astype(np.float32)


def _export_by_hand(
    model: nn.Module, example: torch.Tensor, path: Path, outputs: tuple[str, ...]
) -> None:
    """Write the graph of a model of several outputs, which no family has."""
    torch.onnx.export(
        model,
        (example,),
        str(path),
        input_names=["x"],
        output_names=list(outputs),
        opset_version=17,
        dynamo=False,
        training=torch.onnx.TrainingMode.EVAL,
        do_constant_folding=False,
        dynamic_axes={name: {0: "batch_size"} for name in ("x", *outputs)},
    )
    graph = onnx.load(str(path))
    for node in graph.graph.node:
        if node.op_type == "LayerNormalization":
            node.output.extend([f"{node.name}_mean", f"{node.name}_inv"])
    onnx.save(graph, str(path))


def _targets(loss: Loss, generator: np.random.Generator, width: int) -> np.ndarray[Any, Any]:
    if loss.name == "cross-entropy":
        return generator.integers(0, width, (STEPS, BATCH))
    if loss.name == "bce-with-logits":
        return generator.integers(0, 2, (STEPS, BATCH, width)).astype(np.float32)
    return generator.standard_normal((STEPS, BATCH, width)).astype(np.float32)


def _description(
    model: nn.Module,
    train: Train,
    frozen: tuple[str, ...],
    shape: tuple[int, ...],
    outputs: tuple[str, ...],
    width: int,
) -> dict[str, Any]:
    classes = train.loss.name == "cross-entropy"
    return {
        "inputs": [{"name": "x", "type": "float32", "axes": ["batch_size", *shape]}],
        "target": {
            "name": "labels" if classes else "target",
            "type": "int64" if classes else "float32",
            "axes": ["batch_size"] if classes else ["batch_size", width],
        },
        "outputs": list(outputs),
        "trainable": [
            {"name": name, "shape": list(parameter.shape)}
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        ],
        "frozen": list(frozen),
    }


def _steps(
    model: nn.Module,
    train: Train,
    inputs: np.ndarray[Any, Any],
    target: np.ndarray[Any, Any],
    chosen: int,
    nudge: Mapping[int, float],
) -> Mapping[str, np.ndarray[Any, Any]]:
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    criterion, optimizer = (
        torch_loss(train.loss),
        torch_optimizer(train.optimizer, list(trained.values())),
    )
    found: dict[str, Any] = {"input.x": inputs, "target": target}
    found |= {f"input.{step}.x": values for step, values in enumerate(inputs)}
    found |= {f"target.{step}": values for step, values in enumerate(target)}
    found |= {f"initial.{n}": p.detach().numpy().copy() for n, p in trained.items()}
    losses = []
    compared = [step for step in COMPARED if step < STEPS]

    def output(values: np.ndarray[Any, Any]) -> torch.Tensor:
        result = model(torch.from_numpy(values))
        return result if isinstance(result, torch.Tensor) else result[chosen]

    for step in range(STEPS):
        for parameter in trained.values():
            parameter.data.add_(nudge.get(step, 0.0))
        if step and step in compared:
            found |= {f"state.{step}.{n}": p.detach().numpy().copy() for n, p in trained.items()}
            found |= {
                f"moment{number}.{step}.{n}": optimizer.state[p][kind].numpy().copy()
                for number, kind in enumerate(("exp_avg", "exp_avg_sq"))
                for n, p in trained.items()
                if kind in optimizer.state[p]
            }
        optimizer.zero_grad()
        loss = criterion(output(inputs[step]), torch.from_numpy(target[step]))
        loss.backward()
        losses.append(loss.item())
        if step in compared:
            found |= {f"gradient.{step}.{n}": p.grad.numpy().copy() for n, p in trained.items()}
        optimizer.step()
        if step in compared:
            found |= {f"after.{step}.{n}": p.detach().numpy().copy() for n, p in trained.items()}
    found |= {f"final.{n}": p.detach().numpy().copy() for n, p in trained.items()}
    found["losses"] = np.array(losses)
    found["compared"] = np.array(compared)
    found["eval_inputs.x"] = inputs[0][:3] + 0.5
    found["eval_target"] = target[0][:3]
    with torch.no_grad():
        logits = output(found["eval_inputs.x"])
        found["eval_logits"] = logits.numpy()
        found["eval_loss"] = criterion(logits, torch.from_numpy(found["eval_target"])).numpy()
    return found


def _as_json(train: Train) -> dict[str, Any]:
    return asdict(train)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def with_loss(name: Any, **fields: Any) -> Train:
    return replace(TRAIN, loss=Loss(name, **fields))


def in_toolchain(python: Path, code: str, *arguments: object) -> str:
    """Run code in the training toolchain, `olive_build` at hand; return what it printed."""
    text = PRELUDE.format(run=str(RUN)) + code
    command = [str(python), "-P", "-c", text, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def generated(python: Path, folder: Path, out: Path, *options: str) -> str:
    """Make the artifacts of a prepared folder; return the error's text, empty when it worked."""
    return in_toolchain(python, GENERATE, folder, out, *options)


def proved(python: Path, reference: Path, artifacts: Path, out: Path) -> dict[str, Any]:
    """Run the proof's step and return its figures."""
    in_toolchain(python, PROVE, reference, artifacts, out)
    figures: dict[str, Any] = json.loads((out / "training_proof.json").read_text())
    return figures


def with_other_steps(
    reference: Path, folder: Path, change: Callable[[dict[str, Any]], Any]
) -> Path:
    """Copy a reference with another steps.npz."""
    shutil.copytree(reference, folder)
    with np.load(folder / "steps.npz") as steps:
        arrays = {name: steps[name] for name in steps.files}
    change(arrays)
    np.savez(folder / "steps.npz", **arrays)
    return folder


def failed(figures: dict[str, Any]) -> set[str]:
    """Return the gates that figures of the proof fail, whatever is inferred."""
    inference = {"difference": 0.0, "pytorch_difference": 0.0}
    gates = training_gates(training_figures(figures, inference, COST, None), None)
    return {gate.figure for gate in gates if gate.status == "failed"}


def of_recipe(
    training_python: Path, family: str, folders: dict[str, Path], train: Train
) -> dict[str, Any]:
    """Make and prove artifacts as the steps of a recipe do."""
    source, side = {"source": folders["source"]}, module_of(family, "training_side")
    data = json.dumps(
        rooms.look_up(own_module(family, "spec")).inspect(folders["source"]).training_data({})
    )
    TrainingExport(side, 18, (), train, data).run(source, folders["exported"])
    PrepareTraining().run({"model": folders["exported"]}, folders["m"])
    TrainingReference(side, (), train).run(source, folders["m"])
    (folders["m"] / "train.json").write_text(json.dumps(asdict(train)))
    assert generated(training_python, folders["m"], folders["a"]) == ""
    return proved(training_python, folders["m"], folders["a"], folders["a"].with_name("p"))

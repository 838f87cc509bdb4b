"""One training session: what a device does with the artifacts, step by step."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from olive_build.errors import StepError
from olive_build.training.runtime import reason, training_runtime
from olive_build.training.settings import LEARNING_RATE, RATE_SCALE

TRAINING_MODEL, EVAL_MODEL = "training_model.onnx", "eval_model.onnx"
OPTIMIZER_MODEL = "optimizer_model.onnx"
CHECKPOINT, NOMINAL_CHECKPOINT = "checkpoint", "nominal_checkpoint"
Array = npt.NDArray[Any]
Form = Literal["onnx", "ort"]


class TrainingSession:
    """The artifacts of a folder, loaded; inputs are in the order of the model's inputs.

    `checkpoint` is another one than the folder's own, `threads` how many compute (None for all
    cores). The learning rate is the checkpoint's. Raises StepError when a file does not load or a
    step fails.
    """

    def __init__(
        self,
        folder: Path,
        *,
        form: Form = "onnx",
        checkpoint: Path | None = None,
        threads: int | None = None,
    ) -> None:
        runtime = training_runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        self._folder, self._form = folder, form
        files = [_with_suffix(folder, name, form) for name in (TRAINING_MODEL, EVAL_MODEL)]
        self._optimizer_file = _with_suffix(folder, OPTIMIZER_MODEL, form)
        source = checkpoint or folder / CHECKPOINT
        self._check_files([source, *files, self._optimizer_file])
        self._state = self._load(source, runtime.CheckpointState.load_checkpoint, str(source))
        self._module = self._load(
            files[0], runtime.Module, str(files[0]), self._state, str(files[1]), "cpu", options
        )
        self._complete = _holds_values(self._state)
        self._optimizer = self._new_optimizer()

    def step(self, inputs: Sequence[Array], target: Array) -> float:
        """Train on one batch: forward, backward, optimizer, reset; return the loss before it."""
        loss = self._run(inputs, target, train=True)[0]
        self._optimizer.step()
        self._module.lazy_reset_grad()
        return _scalar(loss)

    def loss_and_gradients(
        self, inputs: Sequence[Array], target: Array
    ) -> tuple[float, dict[str, Array]]:
        """Return the loss and its gradient by every trainable parameter; nothing is learned."""
        loss = self._run(inputs, target, train=True)[0]
        gradients = {
            name: np.array(parameter.grad)
            for name, parameter in self._state.parameters
            if parameter.requires_grad
        }
        self._module.lazy_reset_grad()
        return _scalar(loss), gradients

    def evaluate(self, inputs: Sequence[Array], target: Array) -> tuple[float, list[Array]]:
        """Return the loss and the model's outputs, computed by the evaluation model."""
        loss, *outputs = self._run(inputs, target, train=False)
        return _scalar(loss), [np.array(output) for output in outputs]

    def parameters(self, *, trainable: bool | None = None) -> dict[str, Array]:
        """Return copies of the parameters by name: all, or those that are or are not trained."""
        return {
            name: np.array(parameter.data)
            for name, parameter in self._state.parameters
            if trainable is None or parameter.requires_grad is trainable
        }

    def digests(self, *, trainable: bool) -> dict[str, str]:
        """Return the SHA-256 of each parameter's bytes, copying one at a time."""
        return {
            name: hashlib.sha256(np.ascontiguousarray(parameter.data).data).hexdigest()
            for name, parameter in self._state.parameters
            if parameter.requires_grad is trainable
        }

    def take_parameters(self, other: TrainingSession) -> None:
        """Copy all parameters of `other`; this completes a session of a nominal checkpoint.

        Both must be of the same artifacts.
        """
        values = other._module.get_contiguous_parameters(False)
        self._module.copy_buffer_to_parameters(values, False)
        self._complete = True
        self._optimizer = self._new_optimizer()

    @property
    def learning_rate(self) -> float:
        """What the optimizer multiplies its steps with."""
        return float(self._optimizer.get_learning_rate()) * self.rate_scale

    def set_learning_rate(self, rate: float) -> None:
        """Use another learning rate from the next step on; checkpoints keep it."""
        self._check_complete()
        self._optimizer.set_learning_rate(rate / self.rate_scale)
        self._state.properties[LEARNING_RATE] = float(rate)

    def save_checkpoint(self, path: Path) -> None:
        """Write parameters, optimizer state and learning rate, from which training can go on."""
        save = training_runtime().CheckpointState.save_checkpoint
        self._load(path, save, self._state, str(path), True, verb="write")

    def export_inference(self, path: Path, outputs: Sequence[str]) -> None:
        """Write the model with its present parameters and without loss or gradients.

        Raises StepError for the ORT form: onnxruntime exports from an .onnx evaluation model alone.
        """
        if self._form == "ort":
            raise StepError(
                "an inference model cannot be exported from the ORT form",
                where=str(self._folder),
                why="onnxruntime writes it from eval_model.onnx",
                hint="open the session with the .onnx form and the saved checkpoint",
            )
        self._module.eval()
        export = self._module.export_model_for_inferencing
        self._load(path, export, str(path), list(outputs), verb="write")

    def close(self) -> None:
        """Give the memory back; the session is of no use afterwards."""
        del self._optimizer, self._module, self._state

    def _new_optimizer(self) -> Any:
        """Return an optimizer with the checkpoint's learning rate, where there are parameters.

        One that was made for a nominal checkpoint is not constructed natively before its first
        step, and setting its learning rate ends the process.
        """
        path = self._optimizer_file
        optimizer = self._load(path, training_runtime().Optimizer, str(path), self._module)
        if self._complete and LEARNING_RATE in self._state.properties:
            rate = float(self._state.properties[LEARNING_RATE])
            optimizer.set_learning_rate(rate / self.rate_scale)
        return optimizer

    @property
    def rate_scale(self) -> float:
        """By what the optimizer model multiplies the rate that a client sets."""
        found = self._state.properties
        return float(found[RATE_SCALE]) if RATE_SCALE in found else 1.0

    def _check_complete(self) -> None:
        if not self._complete:
            raise StepError(
                "a nominal checkpoint holds no parameters to train",
                hint="copy those of a complete session with `take_parameters`",
            )

    def _run(self, inputs: Sequence[Array], target: Array, *, train: bool) -> Sequence[Array]:
        self._check_complete()
        feeds = [np.ascontiguousarray(value) for value in (*inputs, target)]
        self._module.train(train)
        expected = self._module.input_names()
        if len(feeds) != len(expected):
            raise StepError(
                f"the model takes {len(expected)} arrays and got {len(feeds)}",
                hint=f"give {', '.join(expected)}, in this order",
            )
        try:
            outputs = self._module(*feeds)
        except Exception as error:
            shapes = (
                f"{name} {value.dtype}{list(value.shape)}"
                for name, value in zip(expected, feeds, strict=True)
            )
            raise StepError(
                f"a {'training' if train else 'evaluation'} step failed",
                where=", ".join(shapes),
                why=reason(str(error)),
            ) from error
        return outputs if isinstance(outputs, tuple) else (outputs,)

    def _check_files(self, files: Sequence[Path]) -> None:
        for path in files:
            if not path.is_file():
                there = sorted(p.name for p in self._folder.glob("*")) or ["nothing"]
                raise StepError(
                    f"{path.name} is missing",
                    where=str(path.parent),
                    why=f"the folder holds {', '.join(there)}",
                    hint="build the bundle again",
                )

    def _load(self, path: Path, call: Any, *arguments: Any, verb: str = "load") -> Any:
        try:
            return call(*arguments)
        except Exception as error:
            raise StepError(
                f"onnxruntime-training cannot {verb} {path.name}",
                where=str(path.parent),
                why=reason(str(error)),
                hint="the file is damaged, or holds an operator that this runtime lacks"
                if verb == "load"
                else "see whether the folder can be written to, and whether the disk has room",
            ) from error


def _with_suffix(folder: Path, name: str, form: Form) -> Path:
    return (folder / name).with_suffix(f".{form}")


def _holds_values(state: Any) -> bool:
    """Whether the checkpoint is a complete one; a nominal one refuses to show a parameter."""
    try:
        next(iter(state.parameters))
    except RuntimeError:
        return False
    return True


def _scalar(value: Array) -> float:
    return float(np.asarray(value).reshape(-1)[0])

"""A task with the family that builds it: what a family's modules give, under one name. Light.

Steps have a module's name as a field, and a module of `tasks/` stands for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olive_build.values import dataclass

if TYPE_CHECKING:
    import numpy.typing as npt

    from olive_build.families.loading import Loaded
    from olive_build.families.transformers.ladder import Climbed
    from olive_build.families.transformers.library import Library
    from olive_build.families.transformers.spec import TransformersFacts
    from olive_build.families.transformers.task import Task
    from olive_build.proof.references.task import TaskReference


@dataclass(frozen=True)
class Side:
    """A task, and how any model of transformers is built for it."""

    task: Task

    def inspect(self, folder: Path) -> TransformersFacts:
        """Return the facts of the model in `folder`. Raises PlanError for one of no use here."""
        from olive_build.families.transformers.spec import inspect

        return inspect(folder, self.task)

    def loading(self, folder: Path) -> Loaded:
        """Return the network with what is to be said of its files; see `families.loading`."""
        from olive_build.families.transformers.library import loading

        return loading(folder, self.task)

    def load(self, folder: Path) -> Any:
        """Return the network in eval mode, in fp32 whatever its weights are stored in."""
        return self.loading(folder).model

    def opened(self, folder: Path, **settings: Any) -> Library:
        """Return the model in the library's hands; `settings` are from_pretrained's."""
        from olive_build.families.transformers.library import Library

        return Library(folder, self.task, **settings)

    def climb(self, folder: Path, module: str, opset: int, out: Path) -> Climbed:
        """Write `out`/model.onnx by the first rung that is right; see `ladder`."""
        from olive_build.families.transformers.ladder import climb

        return climb(folder, module, opset, out)

    def reference(self, folder: Path, data: Path, **options: Any) -> TaskReference:
        """Return what the library answers to the samples in `data`."""
        from olive_build.families.transformers.references import reference

        return reference(folder, data, self.task, **options)

    def calibration_feeds(self, folder: Path, data: Path) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Yield what the library gives the network for each sample in `data`."""
        import torch

        from olive_build.families.transformers.library import Library

        torch.set_num_threads(1)  # samples are small, and other steps run beside this one
        library = Library(folder, self.task)
        for sample in self.task.read(data):
            yield dict(library.record(sample).feeds)

    def text_of(self, folder: Path, size: int) -> str:
        """Return nothing: what is timed has a size, and no content."""
        return ""

    def feeds(
        self, inputs: Sequence[Any], text: str, size: int, batch: int
    ) -> dict[str, npt.NDArray[Any]]:
        """Return what a session with these `inputs` is given, `size` tokens or samples long."""
        from olive_build.proof.seeded_inputs import seeded_inputs

        return seeded_inputs(inputs, size, batch, padded=False)

    def runner(
        self, folder: Path, model: Any, takes: str, sample: str, size: int, batch: int
    ) -> Callable[[], Any]:
        """Return a call that runs the network in PyTorch eager on inputs of that size."""
        from olive_build.families.transformers.timed import runner

        return runner(folder, model, self.task, size, batch)

    def write_miniature(self, out: Path, layers: int, source: Path) -> None:
        """Write a small model like the one in `source` below `out`, with seeded weights."""
        from olive_build.families.transformers.miniature import write_miniature

        write_miniature(out, layers, source=source, task=self.task.asked)

"""A model in the hands of the library that it is for: what goes in, what comes out, what is said.

The pipeline of transformers prepares a sample, calls the model and answers; what it gives the
model and gets back is written down on the way. Imported in worker processes only.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from olive_build.errors import PlanError, StepError, first_line
from olive_build.families.configuration import architecture_of, read_object
from olive_build.families.loading import Loaded, from_files
from olive_build.families.transformers.output_names import named_outputs
from olive_build.families.transformers.task import Task

Tensors = Mapping[str, torch.Tensor]

# What says which pixels of a picture are padding: graphs take whole pictures, without it.
WHOLE = ("pixel_mask",)


@dataclass(frozen=True)
class Record:
    """One sample: what the network was given, what it gave, and the library's answer.

    `beside` is what the answer needs of the sample that the network is not given.
    """

    feeds: Mapping[str, npt.NDArray[Any]]
    outputs: Mapping[str, npt.NDArray[Any]]
    answer: Any
    beside: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


def class_of(folder: Path, task: Task) -> Any:
    """Return the class that a model is loaded by: its own, where that serves the task."""
    name = architecture_of(read_object(folder / "config.json")) or ""
    own = getattr(transformers, name, None) if name.endswith(task.classes) else None
    return own or getattr(transformers, task.auto)


def loading(folder: Path, task: Task, **settings: Any) -> Loaded:
    """Return the network with what is to be said of its files; see `from_files`."""

    def run(model: Any) -> Any:
        library = Library(folder, task, model)
        outputs = library.record(library.examples[0]).outputs
        return tuple(torch.from_numpy(value) for value in outputs.values())

    loaded = from_files(class_of(folder, task), folder, run, **settings)
    if task.samples == "texts":
        _check_vocabulary(Library(folder, task, loaded.model))
    return loaded


def _check_vocabulary(library: Library) -> None:
    """Raise PlanError where the tokenizer has tokens for which the model has no row."""
    rows = getattr(library.model.get_input_embeddings(), "num_embeddings", None)
    words = library.tokenizer.get_vocab()
    beyond = {token: number for token, number in words.items() if rows and number >= rows}
    if beyond:
        token, number = max(beyond.items(), key=lambda item: item[1])
        raise PlanError(
            f"{len(beyond)} tokens of the tokenizer are beyond the model's table of {rows} words",
            where=str(library.folder),
            why=f"{token!r:.60} is number {number}: a text that has it fails, in transformers too",
            hint="call model.resize_token_embeddings(len(tokenizer)), train and save it again, or "
            "take the tokenizer that the model was trained with",
        )


class Library:
    """A loaded model with the processors of its folder, which are read when they are needed."""

    def __init__(self, folder: Path, task: Task, model: Any = None, **settings: Any) -> None:
        self.folder, self.task = folder, task
        self.model = model if model is not None else loading(folder, task, **settings).model

    @cached_property
    def tokenizer(self) -> Any:
        return self._read("tokenizer", transformers.AutoTokenizer)

    @cached_property
    def image_processor(self) -> Any:
        return self._read("image processor", transformers.AutoImageProcessor, backend="pil")

    @cached_property
    def feature_extractor(self) -> Any:
        return self._read("feature extractor", transformers.AutoFeatureExtractor)

    @property
    def rate(self) -> int:
        """How many samples a second of sound has."""
        return int(self.feature_extractor.sampling_rate)

    @cached_property
    def pipeline(self) -> Any:
        """The pipeline of this task, by the processors that it asks for."""
        named = transformers.pipelines.check_task(self.task.asked)[1]["impl"]
        kind = getattr(transformers, named.rpartition(".")[2])
        parts = {
            name: getattr(self, name)
            for name in ("tokenizer", "image_processor", "feature_extractor")
            if getattr(kind, f"_load_{name}", None)
        }
        return kind(model=self.model, task=self.task.asked, device="cpu", **parts)

    def fix_size(self) -> None:
        """Have pictures prepared in one size: a graph has one, whatever the processor's rule is.

        Where that rule keeps proportions, pictures become squares of its shorter edge.
        """
        processor = self.image_processor
        if getattr(processor, "keep_aspect_ratio", False):
            processor.keep_aspect_ratio = False
        size = dict(getattr(processor, "size", None) or {})
        edge = size.get("shortest_edge") or size.get("longest_edge")
        if edge and "height" not in size and not getattr(processor, "do_center_crop", False):
            processor.size = {"height": edge, "width": edge}

    @cached_property
    def examples(self) -> list[Any]:
        """Samples of the task at which graphs are traced and compared."""
        return list(self.task.examples(self))

    @cached_property
    def known(self) -> dict[str, Any]:
        """What answers need of the model's files."""
        return self.task.known(self)

    @cached_property
    def most_tokens(self) -> int | None:
        """How many tokens the model reads; None where nothing says so."""
        from olive_build.families.transformers.spec import most_tokens

        return most_tokens(self.folder) if self.task.samples == "texts" else None

    def takes(self, sample: Any) -> bool:
        """Whether the model reads all of a text, or the library cuts it to what the model reads."""
        if self.task.truncates or not isinstance(sample, str) or self.most_tokens is None:
            return True
        return len(self.tokenizer(sample)["input_ids"]) <= self.most_tokens

    @cached_property
    def quiet(self) -> dict[str, bool]:
        """What keeps a model that can write on from giving its cache."""
        return without_cache(self.model)

    @property
    def pads(self) -> dict[str, int]:
        """What fills up short samples, by input; zero in all others."""
        pad = (
            getattr(self.tokenizer, "pad_token_id", None) if self.task.samples == "texts" else None
        )
        return {"input_ids": pad} if pad else {}

    def groups(self, counts: Sequence[int]) -> list[Mapping[str, npt.NDArray[Any]]]:
        """Return inputs in batches of so many samples, each of others than the one before."""
        source = cycle([self.record(sample).feeds for sample in self.examples])
        return [self.task.group(list(islice(source, count)), self.pads) for count in counts]

    def axis(self, name: str, index: int) -> str:
        """Return what a free axis of an input is called."""
        return self.task.axis(name, index)

    def record(self, sample: Any) -> Record:
        """Return what the library makes of a sample.

        Raises StepError where it cannot, or calls the model more than once.
        """
        with self._watched() as calls, torch.inference_mode():
            try:
                answer = self.task.ask(self, sample)
            except StepError:
                raise
            except Exception as error:
                raise StepError(
                    f"transformers cannot answer a sample of {self.task.name}",
                    where=str(self.folder),
                    why=f"{type(error).__name__}: {first_line(error)}",
                ) from error
        if len(calls) != 1:
            raise StepError(
                f"the library calls the model {len(calls)} times for one sample",
                where=str(self.folder),
                why="a graph is compared with one call: shorter samples take one",
            )
        feeds, outputs = calls[0]
        given, gave = _given(self._in_order(feeds)), _arrays(self.product(outputs))
        return Record(given, gave, answer, self.task.beside(self, sample))

    def product(self, outputs: Tensors) -> dict[str, torch.Tensor]:
        """Return those of the network's outputs that clients read.

        Raises StepError where it has none of them.
        """
        found = {name: outputs[name] for name in self.task.outputs if name in outputs}
        if not found:
            raise StepError(
                f"the model gives none of {', '.join(self.task.outputs)}",
                where=str(self.folder),
                why=f"a {type(self.model).__name__} gives {', '.join(outputs)}",
            )
        return found

    def _in_order(self, feeds: Tensors) -> dict[str, torch.Tensor]:
        names = inspect.signature(self.model.forward).parameters
        return {name: feeds[name] for name in names if name in feeds and name not in WHOLE}

    @contextmanager
    def _watched(self) -> Iterator[list[tuple[dict[str, Any], dict[str, Any]]]]:
        """Write down the tensors of each call of the model."""
        calls: list[tuple[dict[str, Any], dict[str, Any]]] = []

        def hook(_: Any, args: Any, given: dict[str, Any], found: Any) -> None:
            names = list(inspect.signature(self.model.forward).parameters)
            given = {**dict(zip(names, args, strict=False)), **given}
            feeds = {name: value for name, value in given.items() if torch.is_tensor(value)}
            calls.append((feeds, named_outputs(found)))

        handle = self.model.register_forward_hook(hook, with_kwargs=True)
        try:
            yield calls
        finally:
            handle.remove()

    def _read(self, what: str, kind: Any, **settings: Any) -> Any:
        try:
            return kind.from_pretrained(
                str(self.folder), local_files_only=True, trust_remote_code=False, **settings
            )
        except Exception as error:
            raise StepError(
                f"transformers cannot read the model's {what}",
                where=str(self.folder),
                why=f"{type(error).__name__}: {first_line(error)}",
                hint=f"save it beside the model with save_pretrained of its {what}",
            ) from error


def without_cache(model: Any) -> dict[str, bool]:
    """Return what keeps a model that can write on from giving its cache."""
    names = inspect.signature(model.forward).parameters
    writes = "use_cache" in names or hasattr(model.config, "use_cache")
    return {"use_cache": False} if writes and {"use_cache", "kwargs"} & set(names) else {}


def _given(tensors: Tensors) -> dict[str, npt.NDArray[Any]]:
    """Return inputs as clients give them, whose whole numbers all have 64 bits."""
    return {
        name: array.astype(np.int64) if array.dtype.kind == "i" else array
        for name, array in _arrays(tensors).items()
    }


def _arrays(tensors: Tensors) -> dict[str, npt.NDArray[Any]]:
    return {name: value.detach().cpu().numpy().copy() for name, value in tensors.items()}

"""PyTorch models from their files; nothing that an output reads is drawn at random.

transformers draws what a file lacks, and says so in its log alone. Every family loads through here.
Imported in worker processes only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from olive_build.errors import PlanError, first_line
from olive_build.families.dependence import Run, read_by_outputs
from olive_build.families.stored_tensors import Stored, tensors_of
from olive_build.families.weight_files import weight_files

MOST_NAMED = 5
WHOLE = "copy or download the model again, or save it again with save_pretrained"


def listed(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """Return the first names in a row, and dots for the others."""
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")


def counted(count: int, middle: str, text: str) -> str:
    """Return a sentence about tensors, with its verb in the number of them."""
    return f"1 tensor {middle} is {text}" if count == 1 else f"{count} tensors {middle} are {text}"


def lacking(
    model: Any,
    named: Sequence[str],
    count: int,
    unexpected: Sequence[str],
    folder: Path,
    head: str | None,
) -> PlanError:
    """Return the error for tensors that outputs read and that the files do not have.

    `named` are some of the `count` ones, in the model's order.
    """
    shown = ", ".join(named[:MOST_NAMED]) + (" ..." if count > MOST_NAMED else "")
    what = f"{counted(count, 'of the model', 'not in its files')}: {shown}"
    if unexpected:
        what += f"; {len(unexpected)} in the files are of no use: {listed(unexpected)}"
    return PlanError(
        what,
        where=str(folder),
        why=f"config.json makes a {type(model).__name__}, and its outputs read what is missing; "
        "transformers would draw it at random",
        hint=_remedy(model, named, unexpected, head),
    )


def _remedy(model: Any, named: Sequence[str], unexpected: Sequence[str], head: str | None) -> str:
    prefix = _other_prefix(model, unexpected)
    if prefix:
        return (
            f"they were saved inside another model, under '{prefix}': save that part by itself, "
            f"`model.{prefix.rstrip('.')}.save_pretrained(...)`"
        )
    scores = model.get_output_embeddings()
    if scores is not None and named and model.state_dict(keep_vars=True)[named[0]] is scores.weight:
        return (
            "if the table of the words scores them too, config.json has to say "
            f"`tie_word_embeddings: true`; else {WHOLE}"
        )
    name = type(model).__name__
    base = f"{model.base_model_prefix}."
    if model.base_model is model or any(item.startswith(base) for item in named):
        return WHOLE
    if head is not None:
        return (
            f"`train.head` replaces '{head}' alone: load the folder as {name} once and save it "
            "with save_pretrained, so that the other layers are in its files"
        )
    layer = named[-1].rpartition(".")[0]
    return (
        f"the files have no head: declare a new one in a recipe that trains, `train: {{head: "
        f"{{replace: {layer}, classes: ...}}}}`, or take the files of a trained {name}"
    )


def _other_prefix(model: Any, unexpected: Sequence[str]) -> str | None:
    """Return the prefix that all of the unexpected names have and the model's own do not."""
    first = unexpected[0].split(".") if unexpected else []
    own = set(model.state_dict())
    own |= {name.removeprefix(f"{model.base_model_prefix}.") for name in own}
    for length in range(1, len(first)):
        prefix = ".".join(first[:length]) + "."
        within = [name.removeprefix(prefix) for name in unexpected if name.startswith(prefix)]
        if any(name in own for name in within):
            return prefix
    return None


def of_other_shapes(mismatched: Mapping[str, tuple[Any, Any]], folder: Path) -> PlanError:
    """Return the error for tensors of other shapes; by name, the file's shape and the model's."""
    rows = [f"{name} {list(a)} for {list(b)}" for name, (a, b) in mismatched.items()]
    return PlanError(
        f"{counted(len(rows), 'in the files', 'of another shape than config.json makes')}: "
        f"{listed(rows)}",
        where=str(folder),
        why="transformers would draw them at random in the shape of config.json",
        hint="correct the sizes in config.json, such as the number of classes in `id2label`, or "
        "save the model again with save_pretrained",
    )


def too_many(model: Any, names: Sequence[str], folder: Path) -> PlanError:
    """Return the error for layers that the files have and the model has not."""
    return PlanError(
        f"{counted(len(names), 'in the files', 'of layers that the model does not have')}: "
        f"{listed(names)}",
        where=str(folder),
        why=f"config.json makes a {type(model).__name__} with fewer layers of that kind",
        hint="correct the number of layers in config.json, such as `num_hidden_layers`, or save "
        "the model again with save_pretrained",
    )


def within_layers(model: Any, names: Sequence[str], folder: Path) -> PlanError:
    """Return the error for parts of layers that the files have and the class has not."""
    return PlanError(
        f"{counted(len(names), 'in the files', 'of parts that its layers do not have')}: "
        f"{listed(names)}",
        where=str(folder),
        why=f"config.json makes a {type(model).__name__}, and the model that was saved computed "
        "more in these layers",
        hint="merge adapters into the model before it is saved, or correct config.json",
    )


NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


@dataclass(frozen=True)
class Loaded:
    """A model in eval mode and fp32, and how its tensors fit those of its files, by name.

    `missing` are in the files of no tensor and unread, or of the head that is replaced; both are
    zero. `unexpected` belong to no part of the class. `ignored` is what transformers leaves out or
    makes up by itself. `notes` say so, a line each. `measured` is what a family found out of the
    model by running it, for its facts.
    """

    model: Any
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    measured: Mapping[str, Any] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        """Return all but the model, for a file."""
        names = ("missing", "unexpected", "mismatched", "ignored", "notes")
        found: dict[str, Any] = {name: list(getattr(self, name)) for name in names}
        return found | {"measured": dict(self.measured)}


def from_files(
    kind: Any, folder: Path, run: Run, *, head: str | None = None, **settings: Any
) -> Loaded:
    """Return the model in `folder` of a transformers' class `kind`, as from_pretrained loads it.

    `run` gives a loaded model's outputs of the family's own inputs: by that it is found out whether
    an output reads a tensor that is missing. `head` is the layer that the recipe's new head takes
    the place of; whatever of it is missing is zero until then. PyTorch's generator is left as it
    was. Raises PlanError for tensors that are missing and read, that have other shapes, or that the
    files have too many of, and where transformers cannot load the model.
    """
    with torch.random.fork_rng(devices=[]):
        model, info = _from_pretrained(kind, folder, settings)
    files = tensors_of(folder / name for name in weight_files(folder, model.config.to_dict()))
    missing = _in_order(model, info["missing_keys"])
    unexpected = sorted(info["unexpected_keys"])
    mismatched = {name: (tuple(a), tuple(b)) for name, a, b in sorted(info["mismatched_keys"])}
    of_head = [name for name in (*missing, *mismatched) if _is_within(name, head)]
    computed = _computed(model, missing)
    wanted = [name for name in missing if name not in (*of_head, *computed)]
    if wanted:
        _check_missing(model, run, wanted, unexpected, folder, head)
    _check_shapes({k: v for k, v in mismatched.items() if k not in of_head}, folder)
    _check_unexpected(model, unexpected, files, folder)
    _clear(model, (*missing, *mismatched))
    _check_finite(model, folder)
    ignored = (*_ignored(model, missing, files), *computed)
    return Loaded(
        model.eval(),
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        mismatched=tuple(mismatched),
        ignored=ignored,
        notes=_notes(wanted, unexpected, of_head, ignored),
    )


def check_complete(model: Any, folder: Path, run: Run) -> None:
    """Raise PlanError where a model that a library loaded lacks a tensor that an output reads.

    What it lacks besides is made zero. transformers marks what came from files.
    """
    own = model.state_dict(keep_vars=True)
    missing = [name for name, value in own.items() if not _is_from_files(value)]
    computed = _computed(model, missing)
    wanted = [name for name in missing if name not in computed]
    if wanted:
        _check_missing(model, run, wanted, (), folder, None)
    _clear(model, wanted)


def _is_from_files(value: torch.Tensor) -> bool:
    return getattr(value, "_is_hf_initialized", False)


def _from_pretrained(kind: Any, folder: Path, settings: dict[str, Any]) -> tuple[Any, Any]:
    given = {"dtype": torch.float32, **settings}
    try:
        return kind.from_pretrained(  # type: ignore[no-any-return]
            str(folder),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            # Or the library says that there are some, and not which.
            ignore_mismatched_sizes=True,
            **given,
        )
    except Exception as error:
        raise PlanError(
            "transformers cannot load the model",
            where=str(folder),
            why=f"{type(error).__name__}: {first_line(error)}",
            hint=f"{kind.__name__}.from_pretrained(...) of transformers "
            f"{transformers.__version__} must load the folder",
        ) from error


def _check_missing(
    model: Any,
    run: Run,
    wanted: Sequence[str],
    unexpected: Sequence[str],
    folder: Path,
    head: str | None,
) -> None:
    """Raise PlanError for missing tensors that an output reads."""
    kinds = _kinds(model, set(model.state_dict()) - set(wanted))
    # Some layers are run for some inputs alone: that others of the kind are there says enough.
    cut = [name for name in wanted if _kind(model, name) in kinds]
    others = [name for name in wanted if name not in cut]
    read, count = read_by_outputs(model, run, others, MOST_NAMED)
    if read or cut:
        named = [name for name in wanted if name in read or name in cut]
        raise lacking(model, named, (count if read else 0) + len(cut), unexpected, folder, head)


def _check_finite(model: Any, folder: Path) -> None:
    """Raise PlanError for weights that are no finite numbers: with those nothing is compared."""
    broken = [name for name, value in model.named_parameters() if not value.isfinite().all()]
    if broken:
        raise PlanError(
            counted(len(broken), "of the model", "no finite numbers"),
            where=str(folder),
            why=listed(broken),
            hint="its training diverged, or the file is damaged: take an earlier checkpoint",
        )


def _computed(model: Any, missing: Sequence[str]) -> list[str]:
    """Return the missing integers, such as of positions, that a new model has alike: no weights."""
    own = model.state_dict()
    integers = [name for name in missing if not own[name].is_floating_point()]
    if not integers:
        return []
    with torch.random.fork_rng(devices=[]):
        fresh = type(model)(model.config).state_dict()
    return [name for name in integers if torch.equal(fresh[name], own[name])]


def _check_shapes(mismatched: dict[str, tuple[Any, Any]], folder: Path) -> None:
    if mismatched:
        raise of_other_shapes(mismatched, folder)


def _check_unexpected(
    model: Any, unexpected: Sequence[str], files: dict[str, Stored], folder: Path
) -> None:
    """Raise PlanError for a layer too many, and for a part of a layer that the class lacks."""
    kinds = _kinds(model, model.state_dict())
    many = [name for name in unexpected if _kind(model, name) in kinds]
    if many:
        raise too_many(model, many, folder)
    layers = {_bare(model, name) for name, _ in model.named_modules() if NUMBER.search(name)}
    buffers = {_bare(model, name) for name, _ in model.named_buffers()}
    inner = [
        name
        for name in unexpected
        if _bare(model, name) not in buffers
        and _is_weight(files.get(name))
        and any(parent in layers for parent in _parents(_bare(model, name)))
    ]
    if inner:
        raise within_layers(model, inner, folder)


def _is_weight(stored: Stored | None) -> bool:
    """Whether a tensor is learned: no integers, no flags, no single constant."""
    return stored is None or (stored.dtype in ("F64", "F32", "F16", "BF16") and stored.values > 1)


def _kinds(model: Any, names: Iterable[str]) -> set[str]:
    found = {_kind(model, name) for name in names}
    return {kind for kind in found if kind}


def _kind(model: Any, name: str) -> str:
    """Return a name with its numbers left out, or "" for one that has none."""
    bare = _bare(model, name)
    return NUMBER.sub("*", bare) if NUMBER.search(bare) else ""


def _bare(model: Any, name: str) -> str:
    """Return a name without the prefix that a model with a head has, and its encoder has not."""
    return name.removeprefix(f"{model.base_model_prefix}.")


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _is_within(name: str, module: str | None) -> bool:
    return module is not None and name.startswith(f"{module}.")


def _in_order(model: Any, names: Iterable[str]) -> list[str]:
    """Return names in the order of the model's tensors."""
    wanted = set(names)
    return [name for name in model.state_dict() if name in wanted]


def _clear(model: Any, names: Iterable[str]) -> None:
    """Make zero what was drawn for tensors that no output reads, or that a new head replaces."""
    tensors = model.state_dict(keep_vars=True)
    with torch.no_grad():
        for name in names:
            if tensors[name].is_floating_point():
                tensors[name].zero_()


def _ignored(model: Any, missing: Sequence[str], files: dict[str, Stored]) -> tuple[str, ...]:
    """Return what the class says may be missing or too much, which transformers does not report."""
    own = model.state_dict(keep_vars=True)
    loaded = {_bare(model, name) for name in own}
    patterns = [re.compile(text) for text in model._keys_to_ignore_on_load_unexpected or ()]
    left_out = [
        name
        for name in files
        if _bare(model, name) not in loaded and any(p.search(name) for p in patterns)
    ]
    made_up = [
        name for name, value in own.items() if name not in missing and not _is_from_files(value)
    ]
    return (*sorted(left_out), *made_up)


def _notes(
    wanted: Sequence[str],
    unexpected: Sequence[str],
    of_head: Sequence[str],
    ignored: Sequence[str],
) -> tuple[str, ...]:
    said = (
        (unexpected, "in the files", "of no use to what is built, such as a head of another task"),
        (wanted, "of the model", "not in its files and read by no output"),
        (of_head, "of the head that a new one replaces", "not in its files"),
        (ignored, "of files or model", "left out or computed by transformers itself"),
    )
    return tuple(
        f"{counted(len(names), middle, text)}: {listed(names)}"
        for names, middle, text in said
        if names
    )

"""Which of a folder's files transformers takes the weights from, and what the others are. Light.

The order is that of PreTrainedModel.from_pretrained with `use_safetensors`
(_get_resolved_checkpoint_files in modeling_utils.py of transformers 5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError
from olive_build.families.configuration import read_object, unreadable
from olive_build.families.stored_tensors import Stored, is_same, tensors_of

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
# A configuration may name another file.
NAMED = "transformers_weights"
PLAIN = re.compile(r"\w[\w.+-]*", re.ASCII)
SAFE = ".safetensors"
SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
# The same weights in another precision, and in the layout of Mistral's own code.
COPIES = re.compile(r"(model\.[\w-]+|consolidated[\w.-]*)\.safetensors")
# The same weights for other libraries, and code.
OTHERS = ("pytorch_model*.bin", "tf_model*.h5", "flax_model*.msgpack", "*.gguf", "*.py")
MOST_NAMED = 5


def weight_files(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the files that from_pretrained reads.

    Raises PlanError where there are two sets of weights, or where one is not whole.
    """
    named = config.get(NAMED)
    if named is not None:
        return _named(folder, str(named))
    is_single, is_sharded = (folder / SINGLE).is_file(), (folder / INDEX).is_file()
    if is_sharded:
        shards = _shards(folder, INDEX, must_be_there=not is_single)
        others = [name for name in shards if name != SINGLE and (folder / name).is_file()]
        if is_single and others:
            raise PlanError(
                "the folder has two sets of weights",
                where=str(folder),
                why=f"{SINGLE} is read, and {INDEX} with {others[0]} is not",
                hint="remove the one that is not meant, or save the model into an empty folder",
            )
        return (SINGLE,) if is_single else shards
    if is_single:
        return (SINGLE,)
    raise _none(folder)


def unread_files(
    folder: Path, read: tuple[str, ...], tensors: Mapping[str, Stored]
) -> tuple[str, ...]:
    """Return a line for the files of weights and code that are not read, if there are any.

    Raises PlanError for weights that the files which are read do not have.
    """
    rest = sorted(p.name for p in folder.glob("*.safetensors") if p.name not in read)
    for name in rest:
        if not COPIES.fullmatch(name):
            _check_copy(folder / name, tensors)
    other = sorted({path.name for kind in OTHERS for path in folder.glob(kind)})
    unread = [*rest, *other]
    if not unread:
        return ()
    more = " ..." if len(unread) > MOST_NAMED else ""
    return (f"not read: {', '.join(unread[:MOST_NAMED])}{more}; {read[0]} is",)


def _check_copy(path: Path, tensors: Mapping[str, Stored]) -> None:
    new = [name for name in tensors_of([path]) if name not in tensors]
    if new or SHARD.fullmatch(path.name):
        raise PlanError(
            f"the folder has weights that are not read: {path.name}",
            where=str(path),
            why=f"{new[0]} is in it alone" if new else "it is a shard that no index names",
            hint="merge what it holds into the model and save that with save_pretrained, or remove "
            "the file if it is no part of the model",
        )


def _named(folder: Path, name: str) -> tuple[str, ...]:
    if not PLAIN.fullmatch(name) or not (folder / name).is_file() or ".." in name:
        raise PlanError(
            "the configuration names weights that are not there",
            where=str(folder / "config.json"),
            why=f"its `{NAMED}` is {name[:80]!r}",
            hint="correct it, or remove it where the weights are model.safetensors",
        )
    if name.endswith(".json"):
        return _shards(folder, name, must_be_there=True)
    _require_safe(folder / "config.json", [name])
    return (name,)


def _shards(folder: Path, index: str, *, must_be_there: bool) -> tuple[str, ...]:
    """Return the files that an index names, in order."""
    path = folder / index
    try:
        names = sorted(set(read_object(path)["weight_map"].values()))
        strange = [name for name in names if not PLAIN.fullmatch(name) or ".." in name]
    except (KeyError, TypeError, AttributeError) as error:
        raise unreadable(path, str(error)) from error
    if strange:
        raise PlanError(
            f"{index} names a file outside of its folder", where=str(path), why=strange[0][:80]
        )
    _require_safe(path, names)
    gone = [name for name in names if not (folder / name).is_file()]
    if gone and must_be_there:
        raise PlanError(
            f"{len(gone)} of the {len(names)} files of weights are not there",
            where=str(folder),
            why=f"{index} names {gone[0]}",
            hint="copy or download the model again",
        )
    return tuple(names)


def _require_safe(path: Path, names: list[str]) -> None:
    """Raise PlanError where the file at `path` names weights that are no safetensors."""
    pickled = [name for name in names if not name.endswith(SAFE)]
    if pickled:
        raise PlanError(
            f"{path.name} names weights that are no safetensors: {pickled[0][:80]}",
            where=str(path),
            why="a pickle runs code when it is opened, and none is",
            hint="save the model with save_pretrained(..., safe_serialization=True)",
        )


def _none(folder: Path) -> PlanError:
    found = sorted(path.name for path in folder.glob("*.safetensors"))
    why = f"there are {', '.join(found[:MOST_NAMED])}, which transformers does not read"
    hint = f"rename the one that is meant to {SINGLE}, or save the model with save_pretrained"
    if found and SHARD.fullmatch(found[0]):
        hint = f"{INDEX} says which shard holds what: copy it too, or save the model again"
    return PlanError(
        f"the folder has no {SINGLE}",
        where=str(folder),
        why=why if found else "there is no *.safetensors file beside config.json",
        hint=hint,
    )


def ties_words(
    folder: Path, config: Mapping[str, Any], table: str, scores: str, *, by_default: bool
) -> bool:
    """Whether the model in `folder` scores words by the table that it looks words up in.

    `table` is how the name of the one weight ends, `scores` the name of the other. Where the
    configuration ties them, transformers goes by the files all the same: two that differ stay apart
    (PreTrainedModel.tie_weights).
    """
    if not config.get("tie_word_embeddings", by_default):
        return False
    if not any(folder.glob("*.safetensors")):
        return True  # Configuration alone.
    tensors = tensors_of(folder / name for name in weight_files(folder, config))
    own = tensors.get(scores)
    looked_up = next((item for name, item in tensors.items() if f".{name}".endswith(table)), None)
    return own is None or looked_up is None or is_same(own, looked_up)

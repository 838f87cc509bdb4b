"""Where a model is, of which files it consists, and what is said of it there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from olive_build.errors import PlanError, UsageError, printable
from olive_build.families.configuration import read_object, read_value
from olive_build.families.stored_tensors import tensors_of
from olive_build.families.weight_files import weight_files
from olive_build.plan.sources import Repository, fetch_described, look_up, use_folder
from olive_build.recipe.model import PICKLE_PATTERN, REPO_PATTERN
from olive_build.untrusted import followed, read_text

CONFIG, MODULES, CARD = "config.json", "modules.json", "README.md"
MOST_CARD = 1 << 20
FLOAT32 = 4
# Bytes of a weight by what a configuration calls its type.
WIDTHS = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
# What must be larger than zero wherever a configuration has it.
SIZES = (
    *("hidden_size", "d_model", "dim", "n_embd", "vocab_size", "intermediate_size"),
    *("num_hidden_layers", "n_layers", "n_layer", "num_layers"),
    *("num_attention_heads", "n_heads", "n_head", "image_size", "patch_size", "num_channels"),
)
MOST_NAMED = 5
Report = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """A model's folder here, and where a recipe finds the model.

    `folder` of a repository holds the files that describe it; its weights are not here yet.
    `loaded` is how many bytes its weights take in fp32, and `download` how many are fetched; None
    where nothing says it. `licence` is what its card says.
    """

    folder: Path
    name: str
    loaded: int | None
    download: int | None = None
    repo: str = ""
    commit: str = ""
    pickle: str = ""
    licence: str = ""

    @property
    def is_here(self) -> bool:
        """Whether its weights are on this machine."""
        return not self.repo


def find_model(named: str, into: Path, report: Report) -> Found:
    """Return the model that `named` names: a folder, or owner/name[@revision] of the hub.

    What describes a repository is fetched below `into`. Raises UsageError for a name of nothing,
    PlanError for a folder without a model that is whole, and where the hub cannot be reached.
    """
    if os.path.isdir(named):
        return _in_folder(Path(named))
    repo, _, revision = named.partition("@")
    if not re.fullmatch(REPO_PATTERN, repo) or os.path.lexists(named):
        raise UsageError(
            f"'{printable(named)}' is neither a folder that is there nor a repository of the hub",
            why="it is a file" if os.path.lexists(named) else "a repository is owner/name",
            hint="name the folder that save_pretrained wrote, or owner/name[@revision]",
        )
    report(f"asking the hub for {repo}")
    return _in_repository(look_up(repo, revision or None), into, report)


def _in_folder(folder: Path) -> Found:
    use_folder(folder, weights=False)
    config = _described(folder)
    use_folder(folder)
    return Found(
        folder=folder,
        name=Path(os.path.abspath(folder)).name,
        loaded=_bytes_of_weights(folder, config),
        licence=_licence(folder / CARD),
    )


def _described(folder: Path) -> dict[str, object]:
    """Return a folder's configuration. Raises PlanError for none, and for sizes of zero."""
    place = folder
    modules = read_value(folder / MODULES)
    if not (folder / CONFIG).is_file() and isinstance(modules, list) and modules:
        first = modules[0].get("path") if isinstance(modules[0], dict) else ""
        place = folder / str(first)
    config = read_object(place / CONFIG)
    if not config:
        inside = sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))
        raise PlanError(
            f"the folder has no {CONFIG}",
            where=str(folder),
            why=_instead(folder, inside),
            hint=f"name {inside[0]}"
            if inside
            else "name the folder that save_pretrained wrote, or that was downloaded from the hub",
        )
    wrong = [
        f"{name} is {value!r:.40}"
        for part in (config, *(item for item in config.values() if isinstance(item, dict)))
        for name, value in part.items()
        if name in SIZES and (type(value) is int and value < 1)
    ]
    if wrong:
        raise PlanError(
            "the configuration has sizes below 1",
            where=str(place / CONFIG),
            why=", ".join(wrong[:MOST_NAMED]),
            hint="correct it, or save the model again with save_pretrained",
        )
    return config


def _instead(folder: Path, inside: list[Path]) -> str:
    if inside:
        return f"there are models in it: {', '.join(path.name for path in inside[:MOST_NAMED])}"
    files = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if not files:
        return "it is empty"
    return f"it holds {', '.join(files[:MOST_NAMED])}{' ...' if len(files) > MOST_NAMED else ''}"


def _bytes_of_weights(folder: Path, config: dict[str, object]) -> int | None:
    """Return what the weights take in fp32. Raises PlanError where files of them are not whole."""
    if not (folder / CONFIG).is_file():
        paths = sorted(folder.glob("*/*.safetensors"))
    else:
        paths = [folder / name for name in weight_files(folder, config)]
    return FLOAT32 * sum(stored.values for stored in tensors_of(paths).values())


def _in_repository(found: Repository, into: Path, report: Report) -> Found:
    weights = {name: size for name, size in found.files.items() if name.endswith(".safetensors")}
    pickles = [name for name in found.files if re.fullmatch(PICKLE_PATTERN, name)]
    if not weights and len(pickles) != 1:
        raise PlanError(
            "the repository has no weights that can be read",
            where=f"{found.repo} at {found.commit[:12]}",
            why=f"it has no *.safetensors, and {len(pickles)} pickles of weights",
            hint="take a revision with safetensors: the hub's page of the model lists them under "
            "`Files and versions`",
        )
    described = fetch_described(found.repo, found.commit, into=into, report=report).folder
    config = _described(described)
    download = sum(weights.values()) if weights else found.files[pickles[0]]
    stored = WIDTHS.get(str(config.get("dtype") or config.get("torch_dtype")), FLOAT32)
    return Found(
        folder=described,
        name=found.repo.rpartition("/")[2],
        loaded=download * FLOAT32 // stored or None,
        download=download or None,
        repo=found.repo,
        commit=found.commit,
        pickle="" if weights else pickles[0],
        licence=found.licence,
    )


def _licence(card: Path) -> str:
    """Return what the head of a model's card names as its licence; "" where it names none."""
    try:
        text = read_text(followed(card), MOST_CARD)
    except (OSError, ValueError):
        return ""
    head = text.split("\n---", 1)[0] if text.startswith("---") else ""
    found = re.search(r"^license:[ \t]*['\"]?([\w.-]+)", head, re.MULTILINE)
    return found[1] if found else ""

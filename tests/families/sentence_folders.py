"""Folders of sentence-transformers, written by that library's own save, over one small BERT."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as library

HIDDEN = 64
Change = Callable[[Path], None]


def save(base: Path, out: Path, after: Sequence[torch.nn.Module], **settings: Any) -> Path:
    """Save a model of the transformer in `base` and these modules; `settings` are the class's."""
    torch.manual_seed(1)
    first = library.Transformer(str(base))
    SentenceTransformer(modules=[first, *after], device="cpu", **settings).save(
        str(out), create_model_card=False
    )
    return out


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; `...` takes one away."""
    data = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    data |= changes
    kept = {key: value for key, value in data.items() if value is not ...}
    path.write_text(json.dumps(kept), encoding="utf-8")


def as_transformers_saves(folder: Path) -> None:
    """Leave what transformers alone would have written."""
    for name in ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"):
        (folder / name).unlink(missing_ok=True)
    for place in folder.glob("[0-9]_*"):
        shutil.rmtree(place)


def older_pooling(*modes: str) -> Change:
    """Return a change to the layout of versions before 5.3: a switch a mode."""

    def change(folder: Path) -> None:
        names = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens")
        names += ("weightedmean_tokens", "lasttoken")
        switches = {f"pooling_mode_{name}": name in modes for name in names}
        settings = {"word_embedding_dimension": HIDDEN, "embedding_dimension": ...}
        edit(folder / "1_Pooling" / "config.json", pooling_mode=..., **settings, **switches)

    return change


def older_types(folder: Path) -> None:
    """Write modules.json as versions before 5 did."""
    path = folder / "modules.json"
    modules = json.loads(path.read_text(encoding="utf-8"))
    for module in modules:
        module["type"] = f"sentence_transformers.models.{module['type'].rpartition('.')[2]}"
    path.write_text(json.dumps(modules), encoding="utf-8")


def transformer_in_a_folder(folder: Path) -> None:
    """Move the transformer to 0_Transformer, as the first versions did."""
    place = folder / "0_Transformer"
    place.mkdir()
    for path in folder.iterdir():
        if path.is_file() and path.name not in (
            "modules.json",
            "config_sentence_transformers.json",
        ):
            path.rename(place / path.name)
    path = folder / "modules.json"
    modules = json.loads(path.read_text(encoding="utf-8"))
    modules[0]["path"] = place.name
    path.write_text(json.dumps(modules), encoding="utf-8")

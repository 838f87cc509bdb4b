"""Words as the inputs of each component: the decoder's are what the encoder gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from olive_build.clients.onnxruntime_client import open_session, run_named
from olive_build.families.toy_letters.spec import ENCODER, LETTERS, STATES
from olive_build.families.toy_letters.words import letters_of, read_words


def component_feeds(
    folder: Path, data: Path, component: str, before: Mapping[str, Path], options: Mapping[str, str]
) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Yield a component's inputs for each word, with a batch axis of 1."""
    sessions = {name: open_session(path) for name, path in before.items()}
    for word in read_words(data):
        feeds = {LETTERS: letters_of(word)[None]}
        if component != ENCODER:
            feeds = {STATES: run_named(sessions[ENCODER], feeds)[0]}
        yield feeds

"""What a Whisper's generation_config.json may say: what changes texts and is not built is refused.

What Whisper adds to it is in models/whisper/generation_whisper.py of transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError
from olive_build.families.generation_keys import CHANGES

# Tokens that are never written are in the graph.
READ = ("suppress_tokens", "begin_suppress_tokens")
# Beside those of all models, with the values that change nothing.
OF_WHISPER: Mapping[str, tuple[Any, ...]] = {
    "condition_on_prev_tokens": (None, False),
    "return_timestamps": (None, False),
}
CLOSED = {name: harmless for name, harmless in CHANGES.items() if name not in READ} | dict(
    OF_WHISPER
)


def check_generation(path: Path, generation: Mapping[str, Any]) -> None:
    """Raise PlanError for a setting under which generate would write other texts than a file."""
    for name, harmless in CLOSED.items():
        if generation.get(name) not in harmless:
            raise PlanError(
                f"{name} is {generation[name]!r}, which is not built",
                where=str(path),
                why="generate heeds it, and the file would not",
                hint=f"take {name} out if it is not meant; beams and penalties are given to a file "
                "when it is run",
            )

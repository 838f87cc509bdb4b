"""Weights in a pickle -> safetensors, without running what else a pickle may hold.

A process of its own opens the file with PyTorch's loader for tensors alone (`weights_only=True`,
docs.pytorch.org/docs/stable/notes/serialization.html), which refuses everything but tensors and
plain containers. Nothing else of the tool reads a pickle.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from olive_build.errors import PlanError, first_line
from olive_build.processes import environment, follow_parent

SAFE = "model.safetensors"
LAST_LINES = 3


def to_safetensors(pickled: Path) -> None:
    """Write model.safetensors beside a pickled state dict, and remove the pickle.

    Raises PlanError when it holds anything but tensors, or cannot be read.
    """
    done = subprocess.run(
        [sys.executable, "-m", "olive_build.plan.pickled_weights", str(pickled)],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise PlanError(
            "the pickled weights cannot be read",
            where=pickled.name,
            why=" ".join(lines[-LAST_LINES:])[:500] or f"the reader ended with {done.returncode}",
            hint="only a state dict of tensors is read; save the model again with "
            "save_pretrained(..., safe_serialization=True) where you trust it",
        )
    pickled.unlink()


def _convert(pickled: Path) -> str | None:
    """Write the safetensors; return why that cannot be done, or None."""
    import pickle

    import torch
    from safetensors.torch import save_file

    try:
        state = torch.load(pickled, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        return f"it holds more than tensors: {first_line(error)}"
    except (RuntimeError, OSError, ValueError, EOFError) as error:
        return f"{type(error).__name__}: {first_line(error)}"
    if not isinstance(state, dict) or not state:
        return "it is no state dict"
    others = [str(name) for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if others:
        return f"'{others[0]}' is no tensor"
    # Tied weights share their memory, which safetensors refuses; what reads them ties them again.
    tensors = {str(name): value.clone().contiguous() for name, value in state.items()}
    save_file(tensors, pickled.with_name(SAFE), metadata={"format": "pt"})
    return None


if __name__ == "__main__":
    follow_parent()
    if problem := _convert(Path(sys.argv[1])):
        sys.exit(problem)

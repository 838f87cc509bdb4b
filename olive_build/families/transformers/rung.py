"""The process of one rung: export a model, compare it with PyTorch, write down what was found."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from olive_build import rooms
from olive_build.processes import follow_parent


def main() -> None:
    """Read what is asked as JSON from standard input; write rung.json beside the model."""
    follow_parent()
    asked: dict[str, Any] = json.load(sys.stdin)
    _limit(asked["seconds"])
    for folder in asked["rooms"]:
        rooms.extend(Path(folder))
    out = Path(asked["out"])
    from olive_build.families.transformers.ladder import RESULT

    found = attempted(Path(asked["folder"]), asked["module"], asked["opset"], asked["rung"], out)
    (out / RESULT).write_text(json.dumps(found), encoding="utf-8")


def _limit(seconds: int) -> None:
    """End this process after so much processor time; Windows has no such limit."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))


def attempted(folder: Path, module: str, opset: int, name: str, out: Path) -> dict[str, Any]:
    """Write `out`/model.onnx by the rung of this name; return what was found, or an `error`."""
    from olive_build.errors import OliveBuildError, first_line
    from olive_build.families.transformers.rungs import RUNGS, export

    rung = RUNGS[name]
    settings = {"attn_implementation": rung.attention} if rung.attention else {}
    try:
        traced = rooms.look_up(module).opened(folder, **settings)
        return export(traced, rung, opset, out)
    except OliveBuildError as error:
        return {"error": f"{error.what}: {error.why}" if error.why else error.what}
    except Exception as error:  # noqa: BLE001 - exporters raise anything, and the next rung is tried
        import traceback

        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {first_line(error)}"}


if __name__ == "__main__":
    main()

"""Build the pairs as miniatures and write down what became of each: `make architectures`.

Results are lines of JSON, one a pair, outside of git; a pair that has one is not built again. What
they say becomes docs/architectures.md.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "outputs" / "architectures.jsonl"
PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "olive-ai")


def main() -> None:
    """Build what is asked for and has no result yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file of JSON lines")
    parser.add_argument("--only", default="", help="names of classes, parted by commas")
    parser.add_argument("--seconds", type=float, help="of processor time, then no more are begun")
    parser.add_argument("--part", default="1/1", help="1/2 and 2/2 share the work of two processes")
    parser.add_argument("--again", action="store_true", help="build failed ones again")
    parser.add_argument("--table", action="store_true", help="write docs/architectures.md alone")
    parser.add_argument("--no-table", action="store_true", help="write no docs/architectures.md")
    asked = parser.parse_args()
    if not asked.table:
        build(asked)
    if not asked.no_table:
        from tests.architectures.table import write

        write(results(asked.results))


def build(asked: argparse.Namespace) -> None:
    """Build the pairs that are asked for, one after the other, each in a fork."""
    _prepare()
    from tests.architectures.forks import forked
    from tests.architectures.pairs import pairs
    from tests.architectures.proving import PAIR_SECONDS, proved

    done = {
        name
        for name, found in results(asked.results).items()
        if not (asked.again and found["verdict"] in ("fails", "no miniature"))
    }
    only = [name for name in asked.only.split(",") if name]
    chosen = sorted(
        (pair for pair in pairs() if not only or pair.name in only),
        key=lambda pair: only.index(pair.name) if only else 0,
    )
    part, of = map(int, asked.part.split("/"))
    chosen = chosen[part - 1 :: of]
    asked.results.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(asked.results.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for pair in chosen:
        if pair.name in done:
            continue
        if asked.seconds is not None and _used() > asked.seconds:
            break
        with tempfile.TemporaryDirectory(prefix="architecture-") as folder:
            found = forked(lambda p=pair, f=folder: _logged(log, proved, p, Path(f)), PAIR_SECONDS)
        if "verdict" not in found:
            found |= {"verdict": "fails", "why": found["error"]}
        line = {
            "name": pair.name,
            "type": pair.model_type,
            "task": pair.task,
            "when": datetime.now(UTC).date().isoformat(),
            "versions": {name: version(name) for name in PACKAGES},
            **found,
        }
        with asked.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, sort_keys=True) + "\n")
        why = f" ({line['why']})" if line.get("why") else ""
        rung = f" by {line['rung']}" if "rung" in line else ""
        print(f"{pair.task:32} {pair.name:44} {line['verdict']}{rung}{why}"[:240], flush=True)


def results(path: Path) -> dict[str, dict]:
    """Return the last result of each pair by its class."""
    if not path.is_file():
        return {}
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
    return {line["name"]: line for line in lines}


def _prepare() -> None:
    """Import what every pair needs, so that forks share it."""
    from olive_build.engine.worker import ENVIRONMENT

    os.environ.update(ENVIRONMENT)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import olive.model  # noqa: F401
    import onnxruntime.quantization  # noqa: F401
    import onnxscript  # noqa: F401
    import torch
    import torch.onnx
    import transformers
    import transformers.exporters.exporter_onnx  # noqa: F401

    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()


def _logged(log: int, work: object, *given: object) -> dict:
    os.dup2(log, 1)
    os.dup2(log, 2)
    print(f"=== {given[0]}", file=sys.stderr, flush=True)
    return work(*given)


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()

"""A build in a process of its own: `python tiny_build.py SECONDS NAME...` makes a chain."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from olive_build import rooms
from olive_build.engine.graph import GraphBuilder
from olive_build.engine.run import run_graph
from olive_build.engine.store import Store

rooms.extend(Path(__file__).with_name("rooms"))
from olive_build.steps.tiny_steps import Join, Odd, Slow  # noqa: E402


def main() -> None:
    """Run the chain and print each slot's status."""
    builder = GraphBuilder()
    inputs: dict[str, str] = {}
    for name in sys.argv[2:]:
        step = Odd(name) if hasattr(Odd, f"do_{name}") else Slow(name, seconds=float(sys.argv[1]))
        inputs = {"before": builder.add(step, inputs, f"chain/{name}")}
    builder.add(Join("beside"), {}, "chain/beside")
    with Store() as store:
        outcomes = run_graph(builder.build(), store, jobs=2)
    print(json.dumps({o.slot: [o.status, str(o.error)] for o in outcomes.values()}))


if __name__ == "__main__":
    main()

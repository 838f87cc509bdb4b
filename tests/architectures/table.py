"""docs/architectures.md out of the results: what works, how, and what does not and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from olive_build.families.transformers.exceptions import load_exceptions
from tests.architectures.pairs import Pair, pairs

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "architectures.md"
NOT_BUILT = "not built yet"
HEAD = """# Architectures

<!-- made by `make architectures`, out of what was built; do not edit -->

Miniatures of transformers' own classes (a layer of each kind, small widths, seeded weights),
built for a task by the steps of the product: the ladder of exporters of `families/transformers/`,
fusing of attention, int8 (dynamic; by fixed ranges for networks of convolutions without
attention) and fp16. A pair works if its graph is PyTorch's within 1e-4 of the largest number of
each output, at three shapes and in padded batches, and its int8 and fp16 graphs load and run.
Inputs are made up by the signature of `forward`; outputs without size or spread are left out, and
a miniature that has no other is none.

What this does not say: the weights are seeded, so the cosines of int8 and fp16 show which
networks break, and not what a trained model loses. Pictures and sounds have one size. Models that
write text are one graph without a cache, with as many words in as there are; graphs with caches
are those of the families `causal-lm` and `whisper`. No processor, tokenizer or pipeline is asked
here: a build of the product does that besides, and has fewer tasks than this table.
"""
COLUMNS = """
| architecture | type | result | rung | difference | int8 | fp16 | attention fused | free axes |
|---|---|---|---|---|---|---|---|---|
"""
LEGEND = """
`rung`: which way to export was right (`families/transformers/rungs.py`). `difference`: the
largest from PyTorch, over the largest number. `int8`, `fp16`: the lowest cosine of an output with
PyTorch's, of the graph before attention is fused. Detectors and mask decoders that choose by the
highest score choose others where scores are close, so elements say little of them: matched boxes
and masks would. `attention fused`: operators for attention after Olive's OnnxScriptFusion, of how
many Softmax there were; the graph stays as it was where the pass fails or gives something else.
"""


def write(results: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the document."""
    DOCUMENT.write_text(document(results), "utf-8")


def document(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the text of the document for these results."""
    parts = [HEAD, _summary(results), LEGEND]
    for task in dict.fromkeys(pair.task for pair in sorted(pairs(), key=lambda pair: pair.task)):
        rows = "\n".join(
            _row(pair, results.get(pair.name)) for pair in pairs() if pair.task == task
        )
        parts.append(f"\n## {task}\n{COLUMNS}{rows}\n")
    return "".join([*parts, _reasons(results), _exceptions()])


def documented() -> dict[str, str]:
    """Return the result of each class that the document has."""
    rows = (line.split(" | ") for line in DOCUMENT.read_text("utf-8").splitlines())
    return {
        row[0].removeprefix("| "): row[2] for row in rows if len(row) > 8 and row[0][2:3] != "a"
    }


def _summary(results: Mapping[str, Mapping[str, Any]]) -> str:
    known = [results[pair.name] for pair in pairs() if pair.name in results]
    works = [line for line in known if line["verdict"] == "works"]
    types = {line["type"] for line in works}
    text = (
        f"\n**{len(works)} of {len(pairs())} pairs work**, of {len(types)} types: "
        + ", ".join(
            f"{_count(known, verdict)} {words}"
            for verdict, words in (
                ("refused", "are refused with a reason"),
                ("fails", "fail"),
                ("no miniature", "have no miniature"),
            )
        )
        + f", {len(pairs()) - len(known)} are {NOT_BUILT}.\n"
    )
    for versions in dict.fromkeys(tuple(sorted(line["versions"].items())) for line in known):
        days = sorted(
            line["when"] for line in known if tuple(sorted(line["versions"].items())) == versions
        )
        listed = ", ".join(f"{name} {text}" for name, text in versions)
        between = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
        text += f"\nBuilt {between} ({len(days)} pairs) with {listed}.\n"
    return text


def _count(lines: Iterable[Mapping[str, Any]], verdict: str) -> int:
    return sum(line["verdict"] == verdict for line in lines)


def _row(pair: Pair, line: Mapping[str, Any] | None) -> str:
    line = line or {"verdict": NOT_BUILT}
    axes = sorted({name for names in line.get("axes", {}).values() for name in names})
    rung = line.get("rung", "") + (" (first)" if line.get("start") else "")
    apart = f"{line['difference']:.0e}" if "difference" in line else ""
    cells = [pair.name, pair.model_type, line["verdict"], rung, apart]
    cells += [_cosine(line.get(name, {})) for name in ("int8", "fp16")]
    return "| " + " | ".join([*cells, _fused(line.get("fused", {})), ", ".join(axes)]) + " |"


def _cosine(found: Mapping[str, Any]) -> str:
    if "error" in found:
        return "fails"
    static = " static" if found.get("method") == "static-int8" else ""
    return f"{found['cosine']:.4f}{static}" if found else ""


def _fused(found: Mapping[str, Any]) -> str:
    if not found:
        return ""
    if "error" in found:
        return "as it was"
    return f"{found['count']} of {found['softmax']}" if found["softmax"] else ""


def _reasons(results: Mapping[str, Mapping[str, Any]]) -> str:
    text = "\n## What does not work, and what is to be said\n\n"
    for pair in sorted(pairs(), key=lambda pair: pair.name):
        line = results.get(pair.name, {})
        said = [f"{line['verdict']}: {_flat(line['why'])}"] if line.get("why") else []
        said += [
            f"the rung `{item['rung']}` was not right: {_flat(item['why'])}"
            for item in line.get("tried", ())
        ]
        said += [_flat(note) for note in line.get("notes", ())]
        kept = line.get("fp16", {}).get("kept")
        said += [f"fp16 keeps in fp32: {_flat(', '.join(kept))}"] if kept else []
        for name in ("int8", "fp16"):
            resized = line.get(name, {}).get("resized")
            said += [f"{name} changes the size of {', '.join(resized)}"] if resized else []
        if "error" in line.get("fused", {}):
            said.append(f"fusing: {_flat(line['fused']['error'])}")
        text += f"- **{pair.name}**: {'; '.join(said)}\n" if said else ""
    return text


def _exceptions() -> str:
    found = load_exceptions()
    text = "\n## Exceptions\n\nOf `families/transformers/exceptions.yaml`, by class or type:\n\n"
    for name, rung in found.start.items():
        text += f"- `{name}`: the ladder begins at `{rung}`, since {found.reasons[name]}\n"
    for name, why in found.refused.items():
        text += f"- `{name}`: refused, since {why}\n"
    return text


def _flat(text: str) -> str:
    """Return a message on one line, without its backticks and bars, and not without end."""
    flat = " ".join(text.replace("`", "'").replace("|", "/").split())
    return flat if len(flat) <= 300 else f"{flat[:300]} ..."

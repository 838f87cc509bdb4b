"""What a proof says, derived again from what it records: gates, verdict, sizes, and the limits.

Nothing is run: whoever writes a proof by hand can make it agree with itself, and is found out by
the files. That a verdict, a limit or a size does not follow from the rest needs no file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from olive_build.bundle.purpose import purpose_in
from olive_build.proof.figures import find
from olive_build.proof.verdict import gates_on_quality, verdict_of
from olive_build.record.manifest import ONNX, Manifest, Variant
from olive_build.record.proof import Gate, Proof, VariantProof

PUBLISHED = ("passed", "undecided")
# Held to a build that is not in the bundle.
BEFORE = "regression of "


def contradictions(manifest: Manifest, proof: Proof) -> Iterator[str]:
    """Yield what a proof says of a bundle and its manifest, or the proof itself, says otherwise."""
    for name, proved in proof.variants.items():
        for problem in _contradictions(manifest, manifest.variants[name], proved):
            yield f"{name}: {problem}"


def looser(manifest: Manifest, proof: Proof) -> Iterator[str]:
    """Yield the limits of quality that are looser than those that this version ships."""
    purpose = purpose_in(manifest)
    for name, proved in proof.variants.items():
        for figure, limit in purpose.floors(manifest, name).items():
            given, known = proved.limits.figures.get(figure), find(figure)
            if given is None:
                yield f"{name}: {figure} has no limit; the shipped one is {known.bound} {limit:g}"
            elif not known.holds(given, limit):
                yield f"{name}: {figure} is held to {given:g}; shipped is {known.bound} {limit:g}"


def _contradictions(manifest: Manifest, made: Variant, proved: VariantProof) -> Iterator[str]:
    if proved.verdict not in PUBLISHED:
        yield f"its verdict is {proved.verdict!r}"
    verdict = verdict_of(proved.gates, proved.static_check)
    if proved.verdict != verdict:
        yield f"its verdict is {proved.verdict!r}; {verdict!r} follows from its gates"
    forms = {*made.models} if made.is_one_graph else {ONNX}
    if forms != {*proved.quality}:
        recorded = ", ".join(sorted(proved.quality)) or "none"
        yield f"the quality of {recorded} is recorded, not that of {', '.join(sorted(forms))}"
    if not any(gate.value is not None for gate in gates_on_quality(proved)):
        yield "no limit is set on its quality"
    yield from _gates(manifest, made, proved)
    size = purpose_in(manifest).size(manifest, made)
    if proved.size_bytes != size:
        yield f"its files have {size} bytes, not {proved.size_bytes}"


def _gates(manifest: Manifest, made: Variant, proved: VariantProof) -> Iterator[str]:
    """Yield which gates do not follow from the figures and limits that are recorded."""
    left = [gate for gate in proved.gates if not gate.figure.startswith(BEFORE)]
    for gate in purpose_in(manifest).gates_again(manifest, made, proved):
        same = next((item for item in left if _is_same(item, gate)), None)
        if same is None:
            yield f"{gate.text()} follows from its figures, and is not what is recorded"
        else:
            left.remove(same)
    yield from (f"{gate.text()} is recorded, and follows from no figure" for gate in left)
    for gate in proved.gates:
        if gate.figure.startswith(BEFORE) and gate.value is not None and gate.interval is None:
            status = "passed" if find(gate.figure).holds(gate.value, gate.limit) else "failed"
            if gate.status != status:
                yield f"{gate.text()} is recorded; {status!r} follows"


def _is_same(recorded: Gate, gate: Gate) -> bool:
    """Whether two gates are of one figure, with one limit, value and outcome."""
    if (recorded.figure, recorded.size, recorded.limit) != (gate.figure, gate.size, gate.limit):
        return False
    if recorded.status != gate.status or recorded.bound != gate.bound:
        return False
    one, other = recorded.value, gate.value
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)

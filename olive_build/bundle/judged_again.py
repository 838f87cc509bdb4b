"""What a proof says, derived again from what it records: gates, verdict, sizes, and the limits.

Nothing is run: whoever writes a proof by hand can make it agree with itself, and is found out by
the files. That a verdict, a limit or a size does not follow from the rest needs no file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from olive_build.families.registry import FAMILIES
from olive_build.proof.figures import find, shipped
from olive_build.proof.training_verdict import margin_gates, training_gates
from olive_build.proof.verdict import gates_of, gates_on_quality, verdict_of
from olive_build.record.manifest import ONNX, Manifest, Training, Variant
from olive_build.record.proof import Gate, Proof, VariantProof

PUBLISHED = ("passed", "undecided")
SLOWDOWN = "slowdown"
# Their limits are the recipe's, which a bundle has in the gates alone.
ERROR_RATE, MARGIN = "equal_error_rate", "refused_at_margin"
# Held to a build that is not in the bundle.
BEFORE = "regression of "
FP32 = "fp32"


def contradictions(manifest: Manifest, proof: Proof) -> Iterator[str]:
    """Yield what a proof says of a bundle and its manifest, or the proof itself, says otherwise."""
    for name, proved in proof.variants.items():
        for problem in _contradictions(manifest, manifest.variants[name], proved):
            yield f"{name}: {problem}"


def looser(manifest: Manifest, proof: Proof) -> Iterator[str]:
    """Yield the limits of quality that are looser than those that this version ships."""
    family = FAMILIES.get(manifest.model.family)
    if family is None or manifest.training is not None:
        return
    for name, proved in proof.variants.items():
        precision = manifest.variants[name].precision
        # A miniature is held to the limits of its precision, whatever its variants are called.
        promised = "" if manifest.smoke else name
        for figure, limit in shipped(family.metrics, precision, promised).items():
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
    size = _size(manifest, made)
    if proved.size_bytes != size:
        yield f"its files have {size} bytes, not {proved.size_bytes}"


def _size(manifest: Manifest, made: Variant) -> int:
    """Return the bytes that are told of a variant: what is loaded, or what a device trains with."""
    if training := manifest.training:
        files = training.files.items()
        return sum(manifest.loaded_bytes(path) for role, path in files if _counts(role, training))
    found = [manifest.loaded_bytes(path) for path in made.models.values()]
    return max(found) if made.is_one_graph else sum(found)


def _counts(role: str, training: Training) -> bool:
    return not role.endswith("_ort") or training.form != ONNX


def _gates(manifest: Manifest, made: Variant, proved: VariantProof) -> Iterator[str]:
    """Yield which gates do not follow from the figures and limits that are recorded."""
    left = [gate for gate in proved.gates if not gate.figure.startswith(BEFORE)]
    for gate in _again(manifest, made, proved):
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


def _again(manifest: Manifest, made: Variant, proved: VariantProof) -> Sequence[Gate]:
    recorded = {gate.figure: gate for gate in proved.gates}
    if manifest.training:
        return _of_training(proved, recorded)
    if manifest.smoke:
        return list(gates_on_quality(proved))
    speed = recorded.get(SLOWDOWN)
    waived = speed.note if speed and speed.status == "waived" else None
    is_fp32_graph = speed is None and made.precision == FP32
    return list(gates_of(proved, is_fp32_graph=is_fp32_graph, waived=waived, absent=""))


def _of_training(proved: VariantProof, recorded: dict[str, Gate]) -> list[Gate]:
    found = [*gates_on_quality(proved)]
    if proved.training is None:
        return found
    rate, margin = recorded.get(ERROR_RATE), recorded.get(MARGIN)
    found += training_gates(proved.training, rate.limit if rate else None)
    if margin and proved.training.personalised:
        found += margin_gates(proved.training.personalised, margin.limit)
    return found


def _is_same(recorded: Gate, gate: Gate) -> bool:
    """Say whether two gates are of one figure, with one limit, value and outcome."""
    if (recorded.figure, recorded.size, recorded.limit) != (gate.figure, gate.size, gate.limit):
        return False
    if recorded.status != gate.status or recorded.bound != gate.bound:
        return False
    one, other = recorded.value, gate.value
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)

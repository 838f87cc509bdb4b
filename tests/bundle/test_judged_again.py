"""What a proof says is derived again from what it records: a proof that was talked up is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from olive_build.bundle.judged_again import contradictions, looser
from olive_build.record.manifest import Manifest
from olive_build.record.proof import Limits, Proof, Quality, VariantProof
from olive_build.record.read import read_record

KEPT = sorted((Path(__file__).resolve().parents[1] / "record" / "kept").iterdir())
CHARACTERS = next(path for path in KEPT if path.name == "characters-desktop")
VOICE = next(path for path in KEPT if path.name == "my-voice-android")


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_a_proof_as_a_build_wrote_it_follows_from_itself(path: Path) -> None:
    found = read_record(path)
    assert list(contradictions(found.manifest, found.proof)) == []
    assert list(looser(found.manifest, found.proof)) == []


Change = Callable[[VariantProof], VariantProof]


def told(change: Change, folder: Path = CHARACTERS, name: str = "int8") -> list[str]:
    """Return what is said of a bundle one of whose variants has another proof."""
    found = read_record(folder)
    variants = {**found.proof.variants, name: change(found.proof.variants[name])}
    return list(contradictions(found.manifest, replace(found.proof, variants=variants)))


def with_figure(name: str, value: float) -> Change:
    """Return a proof whose recorded figure is another, its gates left as they were."""

    def change(proof: VariantProof) -> VariantProof:
        quality = {
            form: replace(item, figures={**item.figures, name: value})
            for form, item in proof.quality.items()
        }
        return replace(proof, quality=quality)

    return change


def with_gate(number: int, **changes: Any) -> Change:
    def change(proof: VariantProof) -> VariantProof:
        gates = list(proof.gates)
        gates[number] = replace(gates[number], **changes)
        return replace(proof, gates=tuple(gates))

    return change


CASES: dict[str, tuple[Change, str]] = {
    "a verdict that says failed": (
        lambda proof: replace(proof, verdict="failed"),
        "int8: its verdict is 'failed'",
    ),
    "a verdict that does not follow": (
        lambda proof: replace(proof, verdict="undecided"),
        "'passed' follows from its gates",
    ),
    "no limits": (lambda proof: replace(proof, limits=Limits()), "no limit is set on its quality"),
    "no gates": (lambda proof: replace(proof, gates=()), "and is not what is recorded"),
    "a gate more": (
        lambda proof: replace(proof, gates=(*proof.gates, replace(proof.gates[0], figure="luck"))),
        "luck ",
    ),
    "a figure that misses its limit": (with_figure("accuracy_loss", 50.0), "failed follows from"),
    "a gate with another value": (with_gate(0, value=0.123), "and is not what is recorded"),
    "a gate with another limit": (with_gate(0, limit=0.001), "and is not what is recorded"),
    "a gate that passes by word alone": (with_gate(0, status="waived"), "waived is recorded"),
    "a smaller size": (lambda proof: replace(proof, size_bytes=1), " bytes, not 1"),
    "quality of no file": (lambda proof: replace(proof, quality={}), "the quality of none"),
    "quality of another file": (
        lambda proof: replace(proof, quality={"ort": Quality()}),
        "the quality of ort is recorded, not that of onnx",
    ),
    "a slowdown that was timed": (
        lambda proof: replace(
            proof,
            gates=tuple(gate for gate in proof.gates if gate.figure != "slowdown"),
        ),
        "slowdown",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_does_not_follow_is_told(name: str) -> None:
    change, expected = CASES[name]
    assert any(expected in problem for problem in told(change)), told(change)


def test_the_figures_of_training_are_judged_again() -> None:
    def worse(proof: VariantProof) -> VariantProof:
        assert proof.training
        return replace(proof, training=replace(proof.training, losses_difference=0.1))

    assert any("losses_difference 0.1" in line for line in told(worse, VOICE, "inference"))
    assert told(lambda proof: replace(proof, size_bytes=7), VOICE, "inference")


def limits_of(change: Callable[[dict[str, float]], object]) -> list[str]:
    found = read_record(CHARACTERS)
    proved = found.proof.variants["int8"]
    figures = dict(proved.limits.figures)
    change(figures)
    variants = {"int8": replace(proved, limits=replace(proved.limits, figures=figures))}
    made: Manifest = replace(found.manifest, variants={"int8": found.manifest.variants["int8"]})
    proof: Proof = replace(found.proof, variants=variants)
    return list(looser(made, proof))


def test_limits_that_are_looser_than_the_shipped_ones_are_told() -> None:
    assert limits_of(lambda limits: limits.update(cosine_p1=1.0)) == []
    (line,) = limits_of(lambda limits: limits.update(cosine_p1=0.0))
    assert line.startswith("int8: cosine_p1 is held to 0; shipped is at least ")
    (line,) = limits_of(lambda limits: limits.pop("cosine_p1"))
    assert line.startswith("int8: cosine_p1 has no limit; the shipped one is at least ")

"""A verdict that noise left open is published loudly, and refused under --strict."""

from __future__ import annotations

from pathlib import Path

import pytest

from olive_build.build import BuildReport, BundleResult, out_of_budget
from olive_build.bundle.assemble import Assembled, Judged
from olive_build.proof.figures import Median
from olive_build.proof.verdict import measured_gate, verdict_of
from olive_build.record.proof import Gate, Limits, VariantProof
from olive_build.report.building import print_undecided

OPEN = measured_gate("slowdown", [Median(0.99, 0.9, 1.1, noisy=True)], 1.0)
CLOSED = measured_gate("slowdown", [Median(0.5, 0.4, 0.6)], 1.0)


def assembled(*gates: Gate) -> Assembled:
    proof = VariantProof(verdict_of(gates, ()), Limits(), {}, gates, 1, 1)
    return Assembled([], b"", b"", (Judged("int8", proof),))


def test_the_verdict_of_a_variant_with_an_open_gate_is_undecided() -> None:
    assert assembled(CLOSED, OPEN).variants[0].proof.verdict == "undecided"
    assert assembled(CLOSED).variants[0].proof.verdict == "passed"
    failed = measured_gate("slowdown", [Median(2, 1.9, 2.1)], 1.0)
    assert assembled(OPEN, failed).variants[0].proof.verdict == "failed"


def test_it_is_published_unless_strict() -> None:
    assert out_of_budget("tiny, target desktop", assembled(OPEN), strict=False) is None
    error = out_of_budget("tiny, target desktop", assembled(OPEN), strict=True)
    assert error is not None
    assert error.exit_code == 5
    assert "could not decide whether the bundle is in its budgets" in error.what
    assert error.why == (
        "int8: slowdown 0.99, at most 1: undecided "
        "(it lies between 0.9 and 1.1; the machine was noisy)"
    )
    assert out_of_budget("tiny, target desktop", assembled(CLOSED), strict=True) is None


def test_what_was_published_undecided_is_said_aloud(capsys: pytest.CaptureFixture[str]) -> None:
    result = BundleResult("tiny", "desktop", "published", Path("out"), assembled(CLOSED, OPEN))
    print_undecided(BuildReport([result]))
    assert capsys.readouterr().err == (
        "UNDECIDED: tiny, desktop, int8: slowdown 0.99, at most 1: undecided "
        "(it lies between 0.9 and 1.1; the machine was noisy)\n"
    )

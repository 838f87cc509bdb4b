"""Every architecture that the general road builds, as a miniature held to PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "families"))

import causal_lm_proofs as proofs
from causal_lm_miniatures import GENERAL


@pytest.fixture(scope="module", params=sorted(GENERAL))
def name(request: pytest.FixtureRequest) -> str:
    """One architecture after another, each for all tests."""
    return str(request.param)


def test_a_step_is_pytorchs(name: str) -> None:
    proofs.check_spread(name)
    proofs.check_steps(name)


def test_texts_are_those_of_generate(name: str) -> None:
    proofs.check_texts(name)


def test_attention_is_fused_or_told(name: str, tmp_path: Path) -> None:
    proofs.check_fused(name, tmp_path)


def test_every_precision_runs(name: str) -> None:
    proofs.check_variants(name)

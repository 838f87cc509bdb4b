"""Some of the architectures that the general road builds, drawn by the commit.

All of them are in tests/slow/test_causal_lm_architectures.py.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import causal_lm_proofs as proofs
import pytest
import torch
from causal_lm_miniatures import GENERAL, configurations

DRAWN = 3


def drawn() -> list[str]:
    """Return some architectures: the same for a commit, others for others."""
    command = ["git", "rev-parse", "HEAD"]
    folder = Path(__file__).parent
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    by = done.stdout.strip()
    return sorted(GENERAL, key=lambda name: hashlib.sha256(f"{by} {name}".encode()).digest())[
        :DRAWN
    ]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads of so small a model wait for each other, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", drawn())
def test_an_architecture_is_built_as_pytorch_has_it(name: str, tmp_path: Path) -> None:
    proofs.check_spread(name)
    proofs.check_steps(name)
    proofs.check_texts(name)
    proofs.check_fused(name, tmp_path)
    proofs.check_variants(name)


def test_the_documentation_lists_what_is_tested() -> None:
    text = (Path(__file__).parents[2] / "docs" / "text-generation.md").read_text(encoding="utf-8")
    listed = text.partition("what is tested -->\n")[2].partition("\n\n")[0]
    masked = {name for name in configurations() if name != "qwen2-window"}
    assert listed.replace("\n", " ").split(", ") == sorted({*GENERAL, *masked})

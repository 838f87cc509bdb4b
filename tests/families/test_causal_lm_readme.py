"""The README's loop writes what generate does, and a bundle's inputs are named as they are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from causal_lm_miniatures import exported, generate
from tokenizers import Tokenizer

from olive_build.bundle.readme import code_sections, values_text
from olive_build.record.manifest import Manifest
from olive_build.steps.describe import describe
from olive_build.targets import load_target

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "record"))
from samples import manifest as sound

PROMPT = "Once upon a time"


def manifest(target: str, graph: Path) -> Manifest:
    described = describe(graph)
    said = {
        "recipe": "stories",
        "model": {"family": "causal-lm"},
        "target": target,
        "provider": load_target(target).default_provider,
        "variants": {"fp32": {"files": {"onnx": "model.onnx"}, **described}},
    }
    return sound(said)


def code(text: str, language: str) -> str:
    return text.partition(f"```{language}\n")[2].partition("```")[0]


@pytest.mark.parametrize("name", ["gpt_neo", "llama"])
@pytest.mark.parametrize("target", ["desktop", "web"])
def test_the_python_loop_is_generate(name: str, target: str) -> None:
    model = exported(name)
    text = code_sections(manifest(target, model.graph), model.facts)
    if model.graph != model.folder / "model.onnx":
        shutil.copy(model.graph, model.folder / "model.onnx")
    program = code(text, "python").replace("print(tokenizer.decode(ids))", "print(ids)")
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=model.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    prompt = np.array(Tokenizer.from_file(str(model.folder / "tokenizer.json")).encode(PROMPT).ids)
    (wanted,) = generate(model.folder, [prompt], max_new_tokens=40)
    assert json.loads(done.stdout) == [*prompt.tolist(), *wanted]


def test_the_web_gets_the_clients_own_code() -> None:
    model = exported("gpt_neo")
    text = code_sections(manifest("web", model.graph), model.facts)
    script = code(text, "javascript")
    assert "pipeline('text-generation', 'stories', { dtype: 'fp32' })" in script
    assert f"at most {model.facts.positions} tokens" in text and "num_beams" in text
    assert "$" not in text


def test_elsewhere_the_steps_are_told() -> None:
    facts = replace(exported("llama").facts, eos=(7, 9))
    text = code_sections(manifest("android", exported("llama").graph), facts)
    assert "[1, 2, 0, 16]" in text and "one of [7, 9]" in text and "compose: single-file" in text


def test_caches_are_one_entry() -> None:
    read = manifest("desktop", exported("gpt_neo").graph)
    text = values_text(read.variants["fp32"].inputs)
    assert "`past_key_values.0.key` to `past_key_values.1.value` float [batch_size, 4," in text
    assert text.count("past_key_values") == 2
    assert "`input_ids` int64 [batch_size, sequence_length], `attention_mask`" in text

"""The web bundle of the small GPT-Neo, as it is published, and what each side writes with it."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from olive_build.bundle.layout import CLIENT_SUFFIXES
from olive_build.clients.javascript_client import Client, Request, Result
from olive_build.clients.onnxruntime_client import open_session
from olive_build.proof.generation import CachedModel, Decoding, Ends, padded, penalized

ROOT = Path(__file__).resolve().parents[2]
NEO = ROOT / "recipes" / "neo-tiny"
DTYPES = ("fp32", "fp16", "q8", "q4", "q4f16")
# Where the two likeliest tokens are closer than this, another order of sums may choose the other.
# q8 is int8 in the file alone: loaded, it is fp32 and as exact.
TIES = {"fp32": 0.0, "fp16": 0.02, "q8": 0.0, "q4": 0.02, "q4f16": 0.05}
PROOF_TEXTS = 24
NEW_TOKENS = 40
PENALTIES = {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2}
RECIPE = f"""\
recipe: 1
name: neo
description: Goes on with sentences of Python's documentation
model:
  family: causal-lm
  licence: Apache-2.0
  source: path
  sources: {{path: {{folder: model}}}}
export: {{opset: 18}}
verify:
  timing: false
  data: {{file: test.jsonl}}
  calibration: {{file: calibration.jsonl}}
targets:
  web: {{variants: [{", ".join(DTYPES)}]}}
"""


def build(folder: Path) -> Path:
    """Build the web target in a project of its own; return the bundle."""
    if folder.exists():  # what another process could not build
        shutil.rmtree(folder)
    recipes = folder / "recipes"
    recipes.mkdir(parents=True)
    (folder / "pyproject.toml").touch()  # what marks a repository
    shutil.copytree(NEO / "model", recipes / "model")
    shutil.copy(NEO / "calibration.jsonl", recipes)
    (recipes / "test.jsonl").write_text("\n".join(lines()[:PROOF_TEXTS]) + "\n", encoding="utf-8")
    (recipes / "neo.yaml").write_text(RECIPE, encoding="utf-8")
    command = [sys.executable, "-m", "olive_build", "build", str(recipes / "neo.yaml")]
    done = subprocess.run(
        [*command, "--outputs", str(folder / "outputs")],
        cwd=ROOT,
        env={**os.environ, "OLIVE_BUILD_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "outputs" / "neo" / "web"


def lines() -> list[str]:
    """Return the lines of the recipe's held-out texts, as they stand."""
    return (NEO / "test.jsonl").read_text(encoding="utf-8").splitlines()


def prompts(bundle: Path) -> tuple[str, ...]:
    """Return the first eight tokens of eight held-out texts, as text."""
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    texts = [json.loads(line)["text"] for line in lines()[:8]]
    return tuple(tokenizer.decode(tokenizer.encode(text).ids[:8]) for text in texts)


def cases(bundle: Path) -> list[Request]:
    """Return prompts by themselves and in batches with padding, with and without penalties."""
    alone = prompts(bundle)
    # Of words, not tokens: so rows of a batch are of several lengths.
    cut = [" ".join(text.split()[: 1 + row % 5]) for row, text in enumerate(alone)]
    batches = [(prompt,) for prompt in alone] + [tuple(cut[:4]), tuple(cut[4:])]
    # No token has the number -1: nothing ends before all steps are done.
    greedy = {"max_new_tokens": NEW_TOKENS, "do_sample": False, "eos_token_id": -1}
    return [
        Request(batch, options) for options in (greedy, greedy | PENALTIES) for batch in batches
    ]


def ends(bundle: Path) -> Ends:
    """Return the tokens that end and pad texts."""
    config = json.loads((bundle / "config.json").read_text(encoding="utf-8"))
    eos = config["eos_token_id"]
    return Ends((eos,), eos if config.get("pad_token_id") is None else config["pad_token_id"])


@dataclass(frozen=True)
class Written:
    """What one prompt gave, step by step, and how far the likeliest token was ahead there."""

    tokens: tuple[int, ...]
    margins: tuple[float, ...]


class PythonClient:
    """onnxruntime and numpy in this process, on one file of the bundle."""

    def __init__(self, bundle: Path, dtype: str) -> None:
        path = bundle / "onnx" / f"model{CLIENT_SUFFIXES[dtype]}.onnx"
        self._model = CachedModel(open_session(path))
        self._tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
        self._ends = ends(bundle)

    def prompt_tokens(self, request: Request) -> tuple[tuple[int, ...], ...]:
        """Return the ids of a batch, padded on the left."""
        return tuple(map(tuple, self._padded(request)[0].tolist()))

    def _padded(self, request: Request) -> tuple[Any, Any]:
        rows = [np.array(self._tokenizer.encode(text).ids) for text in request.prompts]
        return padded(rows, self._ends.pad)

    def write(self, request: Request) -> list[Written]:
        """Return what each prompt of a batch gives, by the client's own rules.

        No token ends it, and padding counts for the penalty as if it had been written.
        """
        names = {field.name for field in fields(Decoding)}
        how = Decoding(**{k: v for k, v in request.options.items() if k in names})
        ids, mask = self._padded(request)
        start, given, past, margins = ids.shape[1], ids, None, []
        for _ in range(how.max_new_tokens):
            logits, past = self._model.step(given, mask, past)
            scores = penalized(logits[:, -1], ids, np.ones_like(ids), how)
            best = np.sort(scores, 1)
            margins.append(best[:, -1] - best[:, -2])
            given = scores.argmax(1)[:, None]
            ids = np.concatenate([ids, given], 1)
            mask = np.concatenate([mask, np.ones_like(given)], 1)
        rows = zip(ids[:, start:].tolist(), np.array(margins).T.tolist(), strict=True)
        return [Written(tuple(tokens), tuple(margin)) for tokens, margin in rows]


@functools.cache
def asked(client: Client, bundle: Path, dtype: str) -> tuple[Result, ...]:
    """Return a client's results of all cases; each client and file is asked once."""
    return client.ask(bundle, cases(bundle), dtype=dtype).results


def differences(
    expected: Sequence[Sequence[Written]], found: Sequence[Sequence[Sequence[int]]], tie: float
) -> list[str]:
    """Return where tokens [cases, prompts, steps] differ from those expected, ties excepted.

    After a tie a text is another one, and is not compared any further.
    """
    problems = []
    for case, (texts, rows) in enumerate(zip(expected, found, strict=True)):
        for row, (text, tokens) in enumerate(zip(texts, rows, strict=True)):
            pairs = enumerate(zip(text.tokens, tokens, strict=False))
            step = next((step for step, (want, got) in pairs if want != got), None)
            if step is None and len(text.tokens) != len(tokens):
                problems.append(f"case {case}, row {row}: {len(tokens)} tokens")
            elif step is not None and not text.margins[step] < tie:
                problems.append(f"case {case}, row {row}, step {step}: {text.margins[step]:.4f}")
    return problems

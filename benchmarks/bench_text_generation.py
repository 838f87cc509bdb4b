"""The figures of text generation: Python against PyTorch, Node and Chromium against Python.

The architecture of GPT-Neo 125M at its true size has seeded weights, since what it writes does not
matter to its speed. Decoding is timed by the token, prefill by the prompt. A client is measured
with the file that it takes when nobody names one, against Python with the same file, in turn: fp32
in Node, q8 in Chromium.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from figures import PAIRS, ROOT, THREADS, Failed, Figure, finished, spread
from generation_child import NEW_TOKENS

if TYPE_CHECKING:
    from olive_build.clients.javascript_client import Answer, Client

NAME = "gpt-neo-125m-seeded"
TEXTS = ROOT / "recipes" / "neo-tiny"
VOCABULARY, END = 50_257, 0
SHAPE = {
    "hidden_size": 768,
    "num_layers": 12,
    "num_heads": 12,
    "attention_types": [[["global", "local"], 6]],
    "max_position_embeddings": 2048,
}
PROMPT_TOKENS, PREFILL_TOKENS = 16, 128
# The variants of a web bundle and their files, by which transformers.js calls them.
VARIANTS = {
    "fp32": "model.onnx",
    "fp16": "model_fp16.onnx",
    "q8": "model_quantized.onnx",
    "q4": "model_q4.onnx",
    "q4f16": "model_q4f16.onnx",
}
DECODE, PREFILL, IN_NODE, IN_CHROMIUM = 1.5, 1.5, 1.4, 2.0
NO_SLOWER = 1.1  # one run each: the machine alone makes ten percent
MEGABYTE, TURN_SECONDS = 1e6, 2.0
CHILD = (sys.executable, str(Path(__file__).with_name("generation_child.py")))
# Random weights say other words in int8: what is built is there to be timed, not judged.
RECIPE = """recipe: 1
name: {name}
description: The architecture of GPT-Neo 125M at its true size, with seeded weights
model:
  family: causal-lm
  licence: Apache-2.0
  source: path
  sources:
    path: {{folder: model}}
verify:
  data: {{file: test.jsonl}}
  calibration: {{file: calibration.jsonl}}
  timing: false
  every_variant: {{token_agreement: 0, generate_agreement: 0, perplexity_ratio: 1000}}
variants:
  fp16: {{speed: any, because: slower in WebAssembly than fp32}}
targets:
  web:
    variants: [{variants}]
  desktop:
    compose: none
    variants: [int8]
"""


@dataclass(frozen=True)
class Peer:
    """What a process of generation_child.py runs; `kind` is onnxruntime or pytorch."""

    name: str
    kind: str
    path: Path
    command: tuple[str, ...] = CHILD

    def as_json(self) -> dict[str, str]:
        """Return the first line that its process reads."""
        return {"name": self.name, "kind": self.kind, "path": str(self.path)}


def generation_figures(environment: Mapping[str, str], scratch: Path) -> list[Figure]:
    """Build the seeded model, run it everywhere, and return all figures."""
    from olive_build.clients.javascript_client import ChromiumClient, NodeClient

    recipe = seeded_recipe(scratch / "generation")
    outputs = scratch / "generation" / "outputs"
    finished(["build", str(recipe), "--outputs", str(outputs)], environment)
    bundle = outputs / NAME / "web"
    log = scratch / "generation.log"
    files = {
        "int8": outputs / NAME / "desktop" / "int8" / "model.onnx",
        "fp32": bundle / "onnx" / VARIANTS["fp32"],
    }
    figures = _against_pytorch(files, recipe.parent / "model", log)
    prompt = prompt_of(bundle, PROMPT_TOKENS)
    figures += _against_python(NodeClient(), bundle, prompt, (IN_NODE, log))
    figures += _against_python(ChromiumClient(), bundle, prompt, (IN_CHROMIUM, log))
    return figures + _loads(bundle, prompt)


def seeded_recipe(folder: Path) -> Path:
    """Write a recipe with a model of GPT-Neo 125M's shape, seeded, below `folder`."""
    import torch
    import transformers

    model = folder / "model"
    model.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    tokens = {"bos_token_id": END, "eos_token_id": END, "pad_token_id": END}
    config = transformers.GPTNeoConfig(vocab_size=VOCABULARY, **SHAPE, **tokens)
    transformers.GPTNeoForCausalLM(config).save_pretrained(str(model))
    settings = json.loads((TEXTS / "model" / "tokenizer_config.json").read_text("utf-8"))
    settings["model_max_length"] = config.max_position_embeddings
    (model / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    tokenizer = json.loads((TEXTS / "model" / "tokenizer.json").read_text("utf-8"))
    words = tokenizer["model"]["vocab"]
    # No merge leads to them, so texts are split as before; what the model writes needs a name.
    words |= {f"\u0120word{number}": number for number in range(len(words), VOCABULARY)}
    (model / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    for name, count in (("test.jsonl", 10), ("calibration.jsonl", 4)):
        lines = (TEXTS / name).read_text("utf-8").splitlines()[:count]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = folder / f"{NAME}.yaml"
    path.write_text(RECIPE.format(name=NAME, variants=", ".join(VARIANTS)), encoding="utf-8")
    return path


def prompt_of(bundle: Path, tokens: int) -> str:
    """Return a text of so many tokens, the beginning of one that neo-tiny never saw."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    for line in (TEXTS / "test.jsonl").read_text("utf-8").splitlines():
        text: str = tokenizer.decode(tokenizer.encode(json.loads(line)["text"]).ids[:tokens])
        if len(tokenizer.encode(text).ids) == tokens:
            return text
    raise Failed(f"no text of recipes/neo-tiny/test.jsonl begins with {tokens} tokens")


def _against_pytorch(files: Mapping[str, Path], model: Path, log: Path) -> list[Figure]:
    """Time decoding and prefill of each file in turn with PyTorch."""
    from olive_build.proof.latency import compare_running, started

    sizes = {"decode": PROMPT_TOKENS, "prefill": PREFILL_TOKENS}
    goals = {("int8", "decode"): DECODE, ("int8", "prefill"): PREFILL}
    found: dict[tuple[str, str, int], list[float]] = {}
    for _ in range(PAIRS):
        for name, file in files.items():
            peers = [Peer(name, "onnxruntime", file), Peer("pytorch", "pytorch", model)]
            with started(peers, log) as children:
                for what, tokens in sizes.items():
                    for row in compare_running(children, {tokens: what}, THREADS):
                        ratio = 1 / row["ratio_to"]["pytorch"]["median"]
                        found.setdefault((name, what, row["threads"]), []).append(ratio)
    figures: list[Figure] = []
    for (name, what, threads), ratios in found.items():
        said = f"GPT-Neo 125M {name}: {what}, {sizes[what]} tokens given, against PyTorch eager"
        figures += _judged(said, threads, ratios, (goals.get((name, what)), "at least"))
    return figures


def _against_python(
    client: Client, bundle: Path, prompt: str, held: tuple[float, Path]
) -> list[Figure]:
    """Time a token in a client in turn with Python, both with the file that the client chooses."""
    from olive_build.proof.contestant import Process

    goal, log = held
    figures: list[Figure] = []
    for threads in THREADS:
        ratios = []
        for _ in range(PAIRS):
            answer = generated(client, bundle, prompt, threads=threads)
            peer = Peer("python", "onnxruntime", bundle / "onnx" / VARIANTS[answer.dtype])
            process = Process(peer, CHILD, log)
            try:
                setup = {"threads": threads, "text": "decode", "tokens": PROMPT_TOKENS}
                process.ask({"do": "setup", **setup})
                python = process.milliseconds({"do": "time", "seconds": TURN_SECONDS})
            finally:
                process.close()
            ratios.append(statistics.median(answer.results[0].decode_ms) / python)
        said = f"GPT-Neo 125M {answer.dtype}: time of a token, {client.name} / Python"
        figures += _judged(said, threads, ratios, (goal, "at most"))
    return figures


def generated(
    client: Client, bundle: Path, prompt: str, *, threads: int, dtype: str | None = None
) -> Answer:
    """Return a client's answer to one prompt. Raises Failed when it ended before its time."""
    from olive_build.clients.javascript_client import Request

    counts = {"min_new_tokens": NEW_TOKENS, "max_new_tokens": NEW_TOKENS}
    options = {**counts, "do_sample": False}
    answer = client.ask(bundle, [Request((prompt,), options)], dtype=dtype, threads=threads)
    (result,) = answer.results
    if (len(result.prompt_tokens[0]), len(result.tokens[0])) != (PROMPT_TOKENS, NEW_TOKENS):
        lengths = f"{len(result.prompt_tokens[0])} and {len(result.tokens[0])} tokens"
        raise Failed(
            f"{client.name}: prompt and answer have {lengths}, and not as many as Python's"
        )
    return answer


def _judged(
    said: str, threads: int, ratios: list[float], goal: tuple[float | None, str]
) -> Iterable[Figure]:
    """Return the figure of one thread where there is a goal; print the others."""
    median = statistics.median(ratios)
    limit, bound = goal
    if limit is not None and threads == 1:
        return [Figure(f"{said}, 1 thread", median, limit, bound, spread(ratios))]
    print(f"{said}, {threads} thread(s): {median:.2f} ({spread(ratios)})")
    return []


def _loads(bundle: Path, prompt: str) -> list[Figure]:
    """Print what Chromium loads of each variant, in what time, and how fast it is then.

    Returns the time of each over fp32's: a goal where a bundle claims no exception by `speed: any`.
    """
    from olive_build.clients.javascript_client import ChromiumClient
    from olive_build.errors import OliveBuildError

    times: dict[str, float] = {}
    for dtype in VARIANTS:
        try:
            answer = generated(ChromiumClient(), bundle, prompt, threads=1, dtype=dtype)
        except OliveBuildError as error:
            print(f"GPT-Neo 125M {dtype} in Chromium: {error}")
            continue
        times[dtype] = statistics.median(answer.results[0].decode_ms)
        model = sum(size for path, size in answer.downloaded.items() if path.startswith("onnx/"))
        print(
            f"GPT-Neo 125M {dtype} in Chromium: load {answer.load_ms / 1e3:.1f} s; downloaded "
            f"{sum(answer.downloaded.values()) / MEGABYTE:.1f} MB, {model / MEGABYTE:.1f} of it "
            f"the model; {times[dtype]:.1f} ms a token, {times[dtype] / times['fp32']:.2f} x fp32"
        )
    said = "GPT-Neo 125M q8: time of a token in Chromium / fp32's"
    return [Figure(said, times["q8"] / times["fp32"], NO_SLOWER, "at most")]

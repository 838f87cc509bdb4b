"""Train a small GPT-Neo on prose from Python's own documentation, and write it to model/.

    python recipes/neo-tiny/train.py

It reads training.jsonl, beside this file, and needs nothing but the project's environment and one
core: about a quarter of an hour. It writes

    model/    configurations, tokenizer, model.safetensors (fp16)

Everything is seeded and runs on one thread: weights are the same with the same build of torch on
the same kind of processor.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, GPT2Tokenizer, GPTNeoConfig, GPTNeoForCausalLM

HERE = Path(__file__).resolve().parent
MODEL = HERE / "model"
SEED = 5
VOCABULARY, POSITIONS = 2048, 256
END = "<|endoftext|>"
STEPS, BATCH = 4_600, 4
LEARNING_RATE, WARM_UP, WEIGHT_DECAY, SPREAD = 3e-3, 200, 0.1, 0.05
PROMPTS = ("This method returns", "If the file", "Return a list of", "The value of the attribute")


def read(name: str) -> list[str]:
    """Return the texts of a file beside this one."""
    lines = (HERE / name).read_text("utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def new_tokenizer(texts: list[str]) -> GPT2Tokenizer:
    """Return GPT-2's tokenizer with merges that these texts give: any bytes, VOCABULARY tokens."""
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learned.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learned.train_from_iterator(texts, trainer)
    found = json.loads(learned.to_str())["model"]
    return GPT2Tokenizer(
        vocab=found["vocab"],
        merges=[tuple(merge) for merge in found["merges"]],
        unk_token=END,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        model_max_length=POSITIONS,
        # Decoding gives back what was encoded, spaces before full stops too.
        clean_up_tokenization_spaces=False,
    )


def new_model(end: int) -> GPTNeoForCausalLM:
    """Return the untrained network: GPT-Neo's layers, whole and local by turns; 1.1 million."""
    tokens = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    config = GPTNeoConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        num_layers=4,
        num_heads=4,
        attention_types=[[["global", "local"], 2]],
        window_size=32,
        max_position_embeddings=POSITIONS,
        intermediate_size=512,
        # A network this narrow learns slowly from weights as small as the default ones.
        initializer_range=SPREAD,
        resid_dropout=0.0,
        embed_dropout=0.0,
        attention_dropout=0.0,
        **tokens,
    )
    model = GPTNeoForCausalLM(config)
    model.generation_config = GenerationConfig(**tokens)
    return model


def rows(pieces: list[list[int]]) -> Iterator[torch.Tensor]:
    """Return [BATCH, POSITIONS + 1] for ever: whole pieces in a random order, the last one cut.

    A row begins with a piece, as a prompt does. What of a piece no longer fits is left out.
    """
    full: list[list[int]] = []
    row: list[int] = []
    while True:
        for index in torch.randperm(len(pieces)).tolist():
            row += pieces[index]
            if len(row) > POSITIONS:
                full.append(row[: POSITIONS + 1])
                row = []
            if len(full) == BATCH:
                yield torch.tensor(full)
                full = []


def rate(step: int) -> float:
    """Return the factor of the learning rate: up in WARM_UP steps, then down along a cosine."""
    return min(1.0, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * step / STEPS))


def train(model: GPTNeoForCausalLM, pieces: list[list[int]]) -> None:
    """Train with AdamW; weight decay for matrices alone."""
    matrices = [weight for weight in model.parameters() if weight.dim() > 1]
    others = [weight for weight in model.parameters() if weight.dim() < 2]
    groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(
        groups, LEARNING_RATE, betas=(0.9, 0.95), weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    batches = rows(pieces)
    model.train()
    began, total = time.monotonic(), 0.0
    for step in range(1, STEPS + 1):
        tokens = next(batches)
        logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += float(loss.detach())
        if step % 100 == 0:
            say(f"step {step}: loss {total / 100:.3f}, {time.monotonic() - began:.0f} s")
            total = 0.0


def perplexity(model: GPTNeoForCausalLM, pieces: list[list[int]]) -> float:
    """Return e to the mean cross entropy of tokens that follow another one of their text."""
    loss = count = 0.0
    with torch.inference_mode():
        for piece in pieces:
            tokens = torch.tensor([piece])
            logits = model(input_ids=tokens[:, :-1]).logits
            found = torch.nn.functional.cross_entropy(logits[0], tokens[0, 1:], reduction="sum")
            loss, count = loss + float(found), count + len(piece) - 1
    return math.exp(loss / count)


def save(model: GPTNeoForCausalLM, tokenizer: GPT2Tokenizer) -> None:
    """Write the model, weights in fp16, and its tokenizer."""
    model.half().save_pretrained(str(MODEL))
    tokenizer.save_pretrained(str(MODEL))


def report(tokenizer: GPT2Tokenizer, test: list[str], calibration: list[str]) -> None:
    """Say how good the saved model is, and what it says."""
    model = GPTNeoForCausalLM.from_pretrained(str(MODEL), dtype=torch.float32).eval()
    for name, texts in {"test": test, "calibration": calibration}.items():
        pieces = tokenizer(texts).input_ids
        lengths = [len(piece) for piece in pieces]
        say(
            f"{name}: {len(texts)} texts of {min(lengths)} to {max(lengths)} tokens, "
            f"perplexity {perplexity(model, pieces):.2f}"
        )
    for prompt in PROMPTS:
        given = tokenizer(prompt, return_tensors="pt")
        settings = {"max_new_tokens": 40, "do_sample": False, "no_repeat_ngram_size": 3}
        said = model.generate(**given, **settings)[0]
        say("> " + tokenizer.decode(said, skip_special_tokens=True))


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Train, save, and say how good it is on texts seen and unseen."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    texts = read("training.jsonl")
    tokenizer = new_tokenizer(texts)
    end = tokenizer.eos_token_id
    pieces = [[*tokenizer(text).input_ids, end] for text in texts]
    model = new_model(end)
    parameters = sum(weight.numel() for weight in model.parameters())
    say(f"{parameters:,} parameters, {sum(map(len, pieces)):,} tokens in {len(pieces):,} texts")
    train(model, pieces)
    save(model, tokenizer)
    report(tokenizer, read("test.jsonl"), read("calibration.jsonl"))


if __name__ == "__main__":
    main()

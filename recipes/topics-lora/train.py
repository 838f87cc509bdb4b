"""Teach a small BERT words from Python's documentation, and write all that the recipe reads.

    python recipes/topics-lora/train.py            writes model/, data/ and test.jsonl
    python recipes/topics-lora/train.py --check    goes on learning as a device would, and says how

It reads the texts of recipes/neo-tiny and needs nothing but the project's environment. It writes

    model/              a bare BertModel, weights in fp16, and its tokenizer
    data/texts.jsonl    40 texts of each of six packages, {"text", "label"} a line, to learn from
    test.jsonl          40 others of each, which nothing learns from

Everything is seeded and runs on one thread: weights are the same with the same build of torch on
the same kind of processor.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizer

HERE = Path(__file__).resolve().parent
MODEL = HERE / "model"
SEED = 7
TOPICS = ("asyncio", "email", "http", "importlib", "tkinter", "unittest")
EACH = 40  # So many texts of a topic are to learn from, and as many the test.
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MASK, FIRST_WORD = 4, 5
VOCABULARY, LENGTH, WIDTH = 2048, 64, 128
# A module is a class of pretraining where so many texts are from it.
MODULE_TEXTS = 12
STEPS, BATCH, LEARNING_RATE, WARM_UP, MASKED = 300, 32, 1e-3, 50, 0.15
# What the recipe says of learning on a device.
RANK, ALPHA, DEVICE_EPOCHS, DEVICE_BATCH, DEVICE_RATE = 4, 8.0, 12, 16, 3e-3

Texts = list[tuple[str, str]]


def read() -> Texts:
    """Return all texts with the package or module that each is from, in an order of their own."""
    found = []
    for name in ("training.jsonl", "test.jsonl"):
        lines = (HERE.parent / "neo-tiny" / name).read_text("utf-8").splitlines()
        entries = [json.loads(line) for line in lines]
        found += [(e["text"], e["from"].removesuffix(".py").split("/")[0]) for e in entries]
    return sorted(found, key=lambda entry: hashlib.sha256(entry[0].encode()).digest())


def split(texts: Texts) -> tuple[Texts, Texts, Texts]:
    """Return the texts of pretraining, those to learn from, and the test."""
    data: Texts = []
    test: Texts = []
    for topic in TOPICS:
        own = [entry for entry in texts if entry[1] == topic]
        data += own[:EACH]
        test += own[EACH : 2 * EACH]
    kept = set(data) | set(test)
    return [entry for entry in texts if entry not in kept], data, test


def new_tokenizer(texts: list[str]) -> BertTokenizer:
    """Return BERT's tokenizer with the VOCABULARY pieces of words that these texts give."""
    learned = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learned.normalizer = normalizers.BertNormalizer()
    learned.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), show_progress=False
    )
    learned.train_from_iterator(texts, trainer)
    return BertTokenizer(vocab=learned.get_vocab(), model_max_length=LENGTH)


def encode(tokenizer: BertTokenizer, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens and mask [texts, LENGTH]."""
    found = tokenizer(
        texts, truncation=True, max_length=LENGTH, padding="max_length", return_tensors="pt"
    )
    return found.input_ids, found.attention_mask


def new_model(tokens: torch.Tensor) -> BertModel:
    """Return a BERT that begins as an average of words; 0.7 million parameters.

    Words are near each other that stand in the same texts [texts, LENGTH]. Values, outputs and the
    pooler pass on what they are given, so that [CLS] begins as a mean of all words: from random
    weights, so few texts would teach it little in minutes.
    """
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=LENGTH,
        initializer_range=0.05,
    )
    model = BertModel(config)
    same = torch.eye(WIDTH)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.copy_(word_vectors(tokens.numpy()))
        model.embeddings.position_embeddings.weight *= 0.2
        for layer in model.encoder.layer:
            layer.attention.self.value.weight.copy_(same)
            layer.attention.output.dense.weight.copy_(same)
        model.pooler.dense.weight.copy_(same)
    return model


def word_vectors(tokens: np.ndarray) -> torch.Tensor:
    """Return vectors [VOCABULARY, WIDTH] whose products say which words stand together.

    Singular vectors of positive pointwise mutual information (Levy and Goldberg, "Neural Word
    Embedding as Implicit Matrix Factorization", 2014), with whole texts as windows.
    """
    bags = np.zeros((len(tokens), VOCABULARY))
    np.put_along_axis(bags, tokens, 1, axis=1)
    together = bags.T @ bags
    np.fill_diagonal(together, 0)
    counts = together.sum(1) + 1
    ratio = together * together.sum() / np.outer(counts, counts)
    vectors, sizes, _ = np.linalg.svd(np.log(np.maximum(ratio, 1)))
    scaled = vectors[:, :WIDTH] * np.sqrt(sizes[:WIDTH])
    scaled *= 0.5 / scaled.std()
    scaled[:FIRST_WORD] = 0
    return torch.from_numpy(scaled).float()


def batches(count: int) -> Iterator[torch.Tensor]:
    """Return rows [BATCH] for ever, each round in another order."""
    while True:
        yield from torch.randperm(count)[: count // BATCH * BATCH].split(BATCH)


def rate(step: int) -> float:
    """Return the factor of the learning rate: up in WARM_UP steps, then down along a cosine."""
    return min(1.0, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * step / STEPS))


def train(model: BertModel, tokens: torch.Tensor, mask: torch.Tensor, names: list[str]) -> None:
    """Teach the model which module a text is from, some of whose words are hidden from it.

    Texts of TOPICS are left out: what is told apart on a device was never told before.
    """
    counts = Counter(name for name in names if name not in TOPICS)
    modules = sorted(name for name, count in counts.items() if count >= MODULE_TEXTS)
    known = torch.tensor([row for row, name in enumerate(names) if name in modules])
    wanted = torch.tensor([modules.index(names[row]) for row in known])
    head = torch.nn.Linear(WIDTH, len(modules))
    optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()], LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    model.train()
    began, total = time.monotonic(), 0.0
    for step, rows in zip(range(1, STEPS + 1), batches(len(known)), strict=False):
        longest = int(mask[known[rows]].sum(1).max())
        given, seen = tokens[known[rows], :longest], mask[known[rows], :longest]
        hidden = (torch.rand(given.shape) < MASKED) & (given >= FIRST_WORD)
        pooled = model(input_ids=given.masked_fill(hidden, MASK), attention_mask=seen).pooler_output
        loss = torch.nn.functional.cross_entropy(head(pooled), wanted[rows])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += float(loss.detach())
        if step % 50 == 0:
            say(f"step {step}: loss {total / 50:.3f}, {time.monotonic() - began:.0f} s")
            total = 0.0


class Adapted(torch.nn.Module):
    """A linear layer with a trainable term of low rank beside it."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.down = torch.nn.Parameter(torch.randn(RANK, WIDTH) / math.sqrt(WIDTH))
        self.up = torch.nn.Parameter(torch.zeros(WIDTH, RANK))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return W x + ALPHA / RANK * B A x."""
        return self.layer(values) + ALPHA / RANK * (values @ self.down.T @ self.up.T)


def adapted(folder: Path) -> BertForSequenceClassification:
    """Return the saved model with a new head and adapters, which alone are to be trained."""
    model = BertForSequenceClassification.from_pretrained(
        str(folder), num_labels=len(TOPICS), dtype=torch.float32
    ).eval()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("classifier."))
    for layer in model.bert.encoder.layer:
        attention = layer.attention.self
        attention.query, attention.value = Adapted(attention.query), Adapted(attention.value)
    return model


def check() -> None:
    """Learn from data/ as the recipe has it, and say how many texts are sorted right."""
    tokenizer = BertTokenizer.from_pretrained(str(MODEL))
    model = adapted(MODEL)
    parts = {"data": load(HERE / "data" / "texts.jsonl"), "test": load(HERE / "test.jsonl")}
    given = {part: encode(tokenizer, [text for text, _ in rows]) for part, rows in parts.items()}
    wanted = {
        part: torch.tensor([TOPICS.index(topic) for _, topic in rows])
        for part, rows in parts.items()
    }
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    say(f"{sum(p.numel() for p in trained):,} parameters learn on a device")
    optimizer = torch.optim.AdamW(trained, DEVICE_RATE)
    random = np.random.default_rng(0)
    tokens, mask = given["data"]
    for _ in range(DEVICE_EPOCHS):
        for rows in torch.from_numpy(random.permutation(len(tokens))).split(DEVICE_BATCH):
            logits = model(input_ids=tokens[rows], attention_mask=mask[rows]).logits
            loss = torch.nn.functional.cross_entropy(logits, wanted["data"][rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for part, (tokens, mask) in given.items():
        with torch.inference_mode():
            found = model(input_ids=tokens, attention_mask=mask).logits.argmax(1)
        say(f"{part}: {float((found == wanted[part]).float().mean()):.3f} sorted right")


def load(path: Path) -> Texts:
    """Return the texts of a file with their topics."""
    entries = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [(entry["text"], entry["label"]) for entry in entries]


def write() -> None:
    """Train and write everything."""
    pretraining, data, test = split(read())
    (HERE / "data").mkdir(exist_ok=True)
    for rows, path in ((data, HERE / "data" / "texts.jsonl"), (test, HERE / "test.jsonl")):
        lines = [json.dumps({"text": text, "label": topic}) for text, topic in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    texts = [text for text, _ in pretraining]
    tokenizer = new_tokenizer(texts)
    tokens, mask = encode(tokenizer, texts)
    model = new_model(tokens)
    parameters = sum(weight.numel() for weight in model.parameters())
    say(f"{parameters:,} parameters, {len(texts):,} texts")
    train(model, tokens, mask, [name for _, name in pretraining])
    model.half().save_pretrained(str(MODEL))
    tokenizer.save_pretrained(str(MODEL))


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Train where nothing else is asked for, and say how good it is."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    if "--check" not in sys.argv[1:]:
        write()
    check()


if __name__ == "__main__":
    main()

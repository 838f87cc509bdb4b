"""The files of a browser: names, axes, one copy of each weight, and the texts of generate."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from composed_whisper import Built, PyTorch, spoken, stored_twice

from olive_build.clients.onnxruntime_client import open_session, run_named
from olive_build.families.whisper.session import DECODER_FILE, ENCODER_FILE, open_files

LAYERS, HEADS, SIZE, POSITIONS, VOCABULARY = 2, 4, 24, 100, 51_865
FLOAT, LONG = "tensor(float)", "tensor(int64)"
Ends = dict[str, tuple[str, list[Any]]]


def caches(prefix: str, whose: str, length: str) -> Ends:
    return {
        f"{prefix}.{layer}.{whose}.{what}": (FLOAT, ["batch_size", HEADS, length, SIZE])
        for layer in range(LAYERS)
        for what in ("key", "value")
    }


def ends(values: list[Any]) -> Ends:
    return {value.name: (value.type, value.shape) for value in values}


@pytest.fixture(scope="module")
def decoder(built: Built) -> Any:
    return open_session(built.split("fp32")[DECODER_FILE])


def test_the_encoder_has_the_ends_that_transformers_js_feeds(built: Built) -> None:
    session = open_session(built.split("fp32")[ENCODER_FILE])
    ((name, (kind, shape)),) = ends(session.get_inputs()).items()
    assert (name, kind, shape[0]) == ("input_features", FLOAT, "batch_size")
    ((name, (kind, shape)),) = ends(session.get_outputs()).items()
    assert (name, kind, shape[0], shape[2]) == ("last_hidden_state", FLOAT, "batch_size", 96)


def test_the_decoder_takes_what_transformers_js_feeds(decoder: Any) -> None:
    assert ends(decoder.get_inputs()) == {
        "input_ids": (LONG, ["batch_size", "decoder_sequence_length"]),
        "encoder_hidden_states": (FLOAT, ["batch_size", "encoder_sequence_length", 96]),
        **caches("past_key_values", "decoder", "past_decoder_sequence_length"),
        **caches("past_key_values", "encoder", "encoder_sequence_length_out"),
        "use_cache_branch": ("tensor(bool)", [1]),
    }


def test_the_decoder_gives_what_transformers_js_reads(decoder: Any) -> None:
    found = ends(decoder.get_outputs())
    assert found == {
        "logits": (FLOAT, ["batch_size", "decoder_sequence_length", VOCABULARY]),
        **caches("present", "decoder", "total_decoder_sequence_length"),
        **caches("present", "encoder", "encoder_sequence_length_out"),
    }
    # It makes the next caches of the last ones by their names.
    past = {value.name for value in decoder.get_inputs()}
    assert {name.replace("present", "past_key_values") for name in found} - past == {"logits"}


@pytest.mark.parametrize("variant", ["fp32", "q8"])
def test_both_steps_share_each_weight(built: Built, variant: str) -> None:
    path = built.split(variant)[DECODER_FILE]
    assert stored_twice(path) == []
    (choice,) = onnx.load(str(path)).graph.node
    assert choice.op_type == "If"


def test_the_merged_decoder_is_no_larger_than_its_weights(built: Built, pytorch: PyTorch) -> None:
    model = pytorch.model.model.decoder
    weights = 4 * sum(weight.numel() for weight in model.parameters())
    assert weights < built.split("fp32")[DECODER_FILE].stat().st_size <= 1.05 * weights


def test_a_step_with_caches_gives_what_all_tokens_at_once_give(decoder: Any) -> None:
    """Two rows at once: the batch is free. The audio's caches come out empty where they stay."""
    random = np.random.default_rng(0)
    ids = random.integers(0, VOCABULARY, (2, 6))
    states = random.standard_normal((2, POSITIONS, 96)).astype(np.float32)
    names = [value.name for value in decoder.get_outputs()]
    past = {
        name: np.zeros((2, HEADS, 0, SIZE), np.float32)
        for name in (value.name for value in decoder.get_inputs())
        if name.startswith("past")
    }

    def step(tokens: Any, caches: dict[str, Any], *, cached: bool) -> dict[str, Any]:
        feeds = {"input_ids": tokens, "encoder_hidden_states": states}
        found = decoder.run(None, feeds | caches | {"use_cache_branch": np.array([cached])})
        return dict(zip(names, found, strict=True))

    whole = step(ids, past, cached=False)["logits"]
    first = step(ids[:, :4], past, cached=False)
    kept = {name.replace("present", "past_key_values"): first[name] for name in names[1:]}
    fifth = step(ids[:, 4:5], kept, cached=True)
    own = {n.replace("present", "past_key_values"): fifth[n] for n in names if ".decoder." in n}
    sixth = step(ids[:, 5:], kept | own, cached=True)
    np.testing.assert_allclose(first["logits"], whole[:, :4], atol=1e-4)
    np.testing.assert_allclose(fifth["logits"], whole[:, 4:5], atol=1e-4)
    np.testing.assert_allclose(sixth["logits"], whole[:, 5:], atol=1e-4)
    assert all(fifth[name].size == 0 for name in names if ".encoder." in name)


def texts(built: Built, variant: str, count: int) -> list[str]:
    files = built.split(variant)
    session = open_files(files, built.source, {"language": "en"}, built.parts())
    found = []
    for audio, _ in spoken(count):
        sizes = {"max_length": np.array([32], np.int32), "min_length": np.array([0], np.int32)}
        (text,) = session.run(None, {"audio_pcm": audio[None], **sizes})
        assert text.shape == (1, 1)
        found.append(str(text[0, 0]))
    return found


def test_the_files_together_write_what_generate_writes(built: Built, pytorch: PyTorch) -> None:
    wanted = [pytorch(audio)[0][0] for audio, _ in spoken(12)]
    assert texts(built, "fp32", 12) == wanted
    assert len(set(wanted)) > 6


def test_in_8_bits_they_still_hear_the_digits(built: Built) -> None:
    said = [f" {text}" for _, text in spoken(12)]
    right = sum(one == other for one, other in zip(texts(built, "q8", 12), said, strict=True))
    assert right >= 9


def test_as_many_tokens_are_written_as_are_asked_for_at_least(built: Built) -> None:
    session = open_files(built.split("fp32"), built.source, {"language": "en"}, built.parts())
    (audio, _), *_rest = spoken(1)
    (features,) = run_named(session.audio, {"audio_pcm": audio[None]})
    (states,) = run_named(session.encoder, {"input_features": features})
    short, long = (session._written(states, 20, least) for least in (0, 15))
    assert len(short) < 15 and short[-1] == session.facts.end
    assert len(long) >= 15 and session.facts.end not in long[:14]

"""The steps that build the parts of a Whisper and put them together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from composed_whisper import MODEL, Built

from olive_build.clients.onnxruntime_client import open_session, run_named
from olive_build.errors import StepError
from olive_build.families import module_of
from olive_build.families.whisper.spec import COMPONENTS, DECODER, DECODER_WITH_PAST, inspect
from olive_build.families.whisper.torch_side import probe
from olive_build.steps.compose import BuildPart, Compose, Join

COMPOSITION = module_of("whisper", "compose")
OPTIONS = (("input", "audio_pcm"), ("language", "en"), ("task", "transcribe"))


def made(step: Any, inputs: dict[str, Path], out: Path) -> Path:
    out.mkdir(parents=True)
    step.run(inputs, out)
    return out / "model.onnx"


@pytest.mark.parametrize("part", ["audio", "detokenizer"])
def test_a_part_has_the_same_bytes_each_time(tmp_path: Path, part: str) -> None:
    step = BuildPart(COMPOSITION, part, 18, OPTIONS)
    found = [made(step, {"source": MODEL}, tmp_path / name).read_bytes() for name in "ab"]
    assert found[0] == found[1]


def test_a_part_takes_what_the_recipe_says(tmp_path: Path) -> None:
    for takes, kind in (("audio_pcm", "tensor(float)"), ("audio_stream", "tensor(uint8)")):
        step = BuildPart(COMPOSITION, "audio", 18, (("input", takes),))
        session = open_session(made(step, {"source": MODEL}, tmp_path / takes))
        (given,) = session.get_inputs()
        assert (given.name, given.type) == (takes, kind)


def test_the_merged_decoder_does_both_steps(built: Built, tmp_path: Path) -> None:
    """The later step on the caches of the first is the first step on one token more."""
    parts = built.components("fp32")
    inputs = {name: parts[name] for name in (DECODER, DECODER_WITH_PAST)} | {"source": MODEL}
    merged = open_session(
        made(Join(COMPOSITION, "decoder_model_merged"), inputs, tmp_path / "merged")
    )
    facts = inspect(MODEL)
    feeds = probe(facts, DECODER, prompt=5, past=0, batch=1)
    apart = open_session(parts[DECODER] / "model.onnx")
    whole = run_named(apart, feeds)

    size = facts.dimensions // facts.decoder_heads
    names = [value.name for value in merged.get_inputs() if value.name.startswith("past_")]
    empty = np.zeros((1, facts.decoder_heads, 0, size), np.float32)
    first = {**feeds, "input_ids": feeds["input_ids"][:, :4]}
    logits, *caches = run_named(
        merged, {**first, **dict.fromkeys(names, empty), "use_cache_branch": np.array([False])}
    )
    np.testing.assert_allclose(logits, whole[0][:, :4], atol=1e-4)
    given = {value.name: value.shape for value in merged.get_outputs()}
    outputs = [name for name in given if name != "logits"]
    known = dict(zip(outputs, caches, strict=True))
    past = {name: known[name.replace("past_key_values", "present")] for name in names}
    later, *_ = run_named(
        merged,
        {
            "input_ids": feeds["input_ids"][:, 4:],
            "encoder_hidden_states": feeds["encoder_hidden_states"],
            **past,
            "use_cache_branch": np.array([True]),
        },
    )
    np.testing.assert_allclose(later[:, -1], whole[0][:, -1], atol=1e-4)


def test_parts_of_two_opsets_are_not_composed(built: Built, tmp_path: Path) -> None:
    parts = built.components("fp32")
    assert set(parts) == set(COMPONENTS)
    inputs = {**parts, "source": MODEL}
    for part, opset in (("audio", 17), ("detokenizer", 18)):
        folder = tmp_path / part
        made(BuildPart(COMPOSITION, part, opset, OPTIONS), {"source": MODEL}, folder)
        inputs[part] = folder
    (tmp_path / "out").mkdir()
    with pytest.raises(StepError) as caught:
        Compose(COMPOSITION, OPTIONS).run(inputs, tmp_path / "out")
    assert "opset" in caught.value.what
    assert caught.value.hint and "export" in caught.value.hint


def test_a_component_with_ends_in_half_precision_is_not_composed(
    built: Built, tmp_path: Path
) -> None:
    """A beam search keeps its caches in fp32."""
    parts = built.components("fp32")
    inputs = {**parts, "source": MODEL}
    for part in ("audio", "detokenizer"):
        made(BuildPart(COMPOSITION, part, 18, OPTIONS), {"source": MODEL}, tmp_path / part)
        inputs[part] = tmp_path / part
    half = tmp_path / "half"
    half.mkdir()
    model = onnx.load(str(parts[DECODER] / "model.onnx"))
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(model, str(half / "model.onnx"))
    (tmp_path / "out").mkdir()
    with pytest.raises(StepError) as caught:
        Compose(COMPOSITION, OPTIONS).run({**inputs, DECODER: half}, tmp_path / "out")
    assert DECODER in caught.value.what and "float16" in (caught.value.why or "")
    assert caught.value.hint and "keep_io_types" in caught.value.hint

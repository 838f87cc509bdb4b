"""What is stored in the one file, and what a model's own configuration makes of its search."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from composed_whisper import (
    DIGITS,
    MODEL,
    Built,
    Heard,
    PyTorch,
    compose,
    doubtful,
    spoken,
    stored_twice,
    tensors_of,
    written,
)
from onnx import TensorProto
from onnxruntime_extensions import get_library_path

from olive_build.clients.onnxruntime_client import open_session, run_named
from olive_build.errors import PlanError, StepError
from olive_build.families.whisper.calibration import component_feeds
from olive_build.families.whisper.spec import (
    COMPONENTS,
    DECODER,
    DECODER_WITH_PAST,
    INPUT_IDS,
    inspect,
)

MEGABYTE = 1_000_000
# Besides weights: graphs, the vocabulary's texts, the matrices of the log-mel.
REST = 2.5 * MEGABYTE
CLIPS = doubtful(4)


@pytest.fixture(scope="module")
def parameters(pytorch: PyTorch) -> int:
    return sum(weight.numel() for weight in pytorch.model.parameters())


@pytest.fixture
def changed(built: Built, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the model whose generation_config.json says something else."""

    def make(**values: Any) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(built.source, folder)
        path = folder / "generation_config.json"
        data = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(data | values), encoding="utf-8")
        return folder

    return make


def same(
    heard: Heard, pytorch: PyTorch, how: dict[str, int], prompt: Sequence[int] | None = None
) -> list[list[str]]:
    """Require the same texts and tokens of all clips, and return the texts."""
    found = []
    for audio in CLIPS:
        texts, ids = heard(audio, how=how)
        wanted_texts, wanted = pytorch(audio, how=how, prompt=prompt)
        end = pytorch.facts.end
        assert (texts, written(ids, end)) == (wanted_texts, written(wanted, end))
        found.append(texts)
    return found


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_every_distinct_tensor_is_stored_once(built: Built, variant: str) -> None:
    path = built.single(variant)
    assert len(tensors_of(path)) > 100, "tensors in subgraphs are not seen"
    assert stored_twice(path) == []


@pytest.mark.parametrize("variant", ["fp32", "int8", "mixed", "calibrated"])
def test_onnxruntime_warns_of_nothing_when_it_loads_the_file(
    built: Built, variant: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It prints a line to whoever loads a file with values that nothing reads."""
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(get_library_path())
    path = str(built.single(variant))
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    assert capfd.readouterr().err == ""


def test_the_count_sees_a_second_copy_in_a_subgraph(built: Built, tmp_path: Path) -> None:
    model = onnx.load(str(built.single("fp32")))
    (search,) = (node for node in model.graph.node if node.op_type == "WhisperBeamSearch")
    inner = next(a.g for a in search.attribute if a.name == "decoder")
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    inner.initializer.add().CopyFrom(largest)
    inner.initializer[-1].name = "another"
    onnx.save(model, str(tmp_path / "model.onnx"))
    assert stored_twice(tmp_path / "model.onnx") == [f"another is {largest.name}"]


def test_the_table_of_words_is_stored_once_and_in_int8_as_bytes(
    built: Built, pytorch: PyTorch
) -> None:
    shape = [pytorch.facts.vocabulary, pytorch.facts.dimensions]
    for variant, kinds in (
        ("fp32", {TensorProto.FLOAT}),
        ("int8", {TensorProto.INT8, TensorProto.UINT8}),
    ):
        tables = [
            tensor
            for tensor in tensors_of(built.single(variant))
            if sorted(tensor.dims) == sorted(shape)
        ]
        assert len(tables) == 1
        assert tables[0].data_type in kinds


def test_the_file_is_as_large_as_its_weights(built: Built, parameters: int) -> None:
    fp32 = built.single("fp32").stat().st_size
    assert fp32 <= 1.05 * 4 * parameters + REST
    assert fp32 > 4 * parameters
    int8 = built.single("int8").stat().st_size
    assert int8 <= 1.05 * parameters + REST


def test_its_ends_are_what_applications_feed(built: Built) -> None:
    session = open_session(built.single("fp32"))
    assert {value.name: (value.type, value.shape) for value in session.get_inputs()} == {
        "audio_pcm": ("tensor(float)", [1, "samples"]),
        **{
            name: ("tensor(int32)", [1])
            for name in ("max_length", "min_length", "num_beams", "num_return_sequences")
        },
        **{name: ("tensor(float)", [1]) for name in ("length_penalty", "repetition_penalty")},
    }
    assert [(v.name, v.type) for v in session.get_outputs()] == [("str", "tensor(string)")]


@pytest.mark.parametrize(
    "how", [{"num_beams": 1}, {"num_beams": 4, "num_return_sequences": 2}], ids=str
)
def test_suppressed_tokens_are_not_written(
    built: Built,
    fp32: Heard,
    opened: Callable[[Path], Heard],
    changed: Callable[..., Path],
    tmp_path: Path,
    how: dict[str, int],
) -> None:
    plain = [fp32(audio, how=how)[1][0] for audio in CLIPS]
    first, second = plain[0][1], plain[-1][1]
    folder = changed(suppress_tokens=[first], begin_suppress_tokens=[second])
    heard = opened(compose(built.components("fp32"), folder, tmp_path / "out"))
    same(heard, PyTorch(folder), how)
    rows = [heard(audio, how=how)[1][0] for audio in CLIPS]
    assert rows != plain
    assert all(first not in row and row[1] != second for row in rows)


@pytest.mark.parametrize(
    ("options", "prompt"),
    [
        ({"language": "de"}, (50_258, 50_261, 50_359, 50_363)),
        ({"task": "translate"}, (50_258, 50_259, 50_358, 50_363)),
        ({"language": "fr", "task": "translate"}, (50_258, 50_265, 50_358, 50_363)),
    ],
    ids=str,
)
def test_language_and_task_are_in_the_prompt(
    built: Built,
    pytorch: PyTorch,
    opened: Callable[[Path], Heard],
    tmp_path: Path,
    options: dict[str, str],
    prompt: tuple[int, ...],
) -> None:
    path = compose(built.components("fp32"), built.source, tmp_path / "out", **options)
    assert prompt_in(path) == prompt
    heard = opened(path)
    same(heard, pytorch, {"num_beams": 1, "max_length": 12}, prompt)


def prompt_in(path: Path) -> tuple[int, ...]:
    """Return the prompt's tokens as the file stores them: the last one apart."""
    tensors = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in tensors_of(path)
        if tensor.name in ("prompt/tokens", "search/prompt")
    }
    return (*map(int, tensors["prompt/tokens"][0]), *map(int, tensors["search/prompt"][0]))


def test_an_english_only_model_has_a_prompt_of_two_tokens(
    built: Built, opened: Callable[[Path], Heard], changed: Callable[..., Path], tmp_path: Path
) -> None:
    folder = changed(is_multilingual=False)
    path = compose(built.components("fp32"), folder, tmp_path / "out")
    assert prompt_in(path) == (50_258, 50_363)
    pytorch = PyTorch(folder)
    assert pytorch.prompt == (50_258, 50_363)
    same(opened(path), pytorch, {"num_beams": 1, "max_length": 10})


def test_a_language_that_the_model_lacks_is_refused(built: Built, tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        compose(built.components("fp32"), built.source, tmp_path / "out", language="tlh")
    assert caught.value.what == "the model has no language 'tlh'"
    assert caught.value.why and caught.value.why.startswith("its languages are af, am, ar")


def test_a_component_of_another_opset_is_refused(built: Built, tmp_path: Path) -> None:
    components = dict(built.components("fp32"))
    other = tmp_path / "encoder"
    other.mkdir()
    model = onnx.load(str(components["encoder"] / "model.onnx"))
    next(item for item in model.opset_import if not item.domain).version = 19
    onnx.save(model, str(other / "model.onnx"))
    with pytest.raises(StepError, match="is of opset") as caught:
        compose({**components, "encoder": other}, built.source, tmp_path / "out")
    assert caught.value.hint and "export: {opset: ...}" in caught.value.hint


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_with_ends_in_fp16_is_refused(built: Built, tmp_path: Path, name: str) -> None:
    components = dict(built.components("fp32"))
    other = tmp_path / name
    other.mkdir()
    model = onnx.load(str(components[name] / "model.onnx"))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, str(other / "model.onnx"))
    with pytest.raises(StepError, match=f"the {name} cannot be put under a beam search"):
        compose({**components, name: other}, built.source, tmp_path / "out")


@pytest.mark.parametrize("variant", ["int8", "mixed", "calibrated"])
def test_smaller_files_write_what_fp32_writes(
    built: Built, opened: Callable[[Path], Heard], variant: str
) -> None:
    heard = opened(built.single(variant))
    clips = spoken(24)
    right = sum(heard(audio)[0] == [f" {said}"] for audio, said in clips)
    assert right >= 0.8 * len(clips)


def test_each_component_is_made_by_the_method_that_is_said_for_it(built: Built) -> None:
    kinds: dict[str, set[str]] = {}
    for name, folder in built.components("mixed").items():
        graph = onnx.load(str(folder / "model.onnx")).graph
        kinds[name] = {TensorProto.DataType.Name(item.data_type) for item in graph.initializer}
    assert "INT8" in kinds["encoder"] and "FLOAT16" not in kinds["encoder"]
    for name in ("decoder", "decoder_with_past"):
        assert "FLOAT16" in kinds[name] and not {"INT8", "UINT8"} & kinds[name]


def test_the_inputs_of_a_component_are_what_those_before_it_give(built: Built) -> None:
    """A later step on its calibration inputs gives what the decoder gives for the whole text."""
    folders = built.components("fp32")
    graphs = {name: folder / "model.onnx" for name, folder in folders.items()}
    options = {"language": "en", "task": "transcribe"}
    data = DIGITS / "calibration.npz"

    def feeds(name: str) -> list[Any]:
        return list(islice(component_feeds(MODEL, data, name, graphs, options), 5))

    first, later = feeds(DECODER), feeds(DECODER_WITH_PAST)
    decoder, step = open_session(graphs[DECODER]), open_session(graphs[DECODER_WITH_PAST])
    lengths = []
    for begun, given in zip(first, later, strict=True):
        ids = [*begun[INPUT_IDS][0]]
        past = given["past_key_values.0.decoder.key"].shape[2]
        while len(ids) < past + 1:
            logits = run_named(decoder, begun | {INPUT_IDS: np.array([ids], np.int64)})[0][0, -1]
            barred = inspect(MODEL).suppressed + inspect(MODEL).suppressed_first
            logits[list(barred)] = -np.inf
            ids.append(int(logits.argmax()))
        assert ids[-1] == given[INPUT_IDS][0, 0]
        whole = run_named(decoder, begun | {INPUT_IDS: np.array([ids], np.int64)})[0][:, -1:]
        np.testing.assert_allclose(run_named(step, given)[0], whole, atol=1e-3)
        lengths.append(past)
    assert len(set(lengths)) > 2  # of different lengths

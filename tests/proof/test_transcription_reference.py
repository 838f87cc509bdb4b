"""References of speech: stored, read, and run on small graphs that return strings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.attribution.samples import some_of
from olive_build.clients.onnxruntime_client import open_session
from olive_build.errors import BundleError, StepError, UsageError
from olive_build.proof.audio import StoredClips, mu_law_encode
from olive_build.proof.quality import measure_quality
from olive_build.proof.reference import read_reference, write_reference
from olive_build.proof.references.transcription import Case, Decoding, TranscriptionReference
from olive_build.proof.transcription import Transcripts

LENGTHS = np.array([20, 7, 31])
# A clip is one level throughout, and the graph hears that: 1024 a row.
AUDIO = np.concatenate([np.full(n, 1024 * k, "i2") for k, n in enumerate(LENGTHS)])
TRUTH = ("", "one two three", "four")
# By level: two texts of greedy search, two of beams.
HEARD = ["", "", "", "", "one two", "x", "one two three", "one too", "four", "y", "four", "for"]
GREEDY = ("", "one two", "four")
BEAMS = Case(1, Decoding(64, num_beams=2, num_return_sequences=2), ("one two three", "one too"))
PENALTY = Case(2, Decoding(64, 1, 2, 1, 0.5, 1.5), ("four",))
REFERENCE = TranscriptionReference(
    StoredClips(AUDIO, LENGTHS), TRUTH, GREEDY, Decoding(64), (BEAMS, PENALTY)
)


def write(
    path: Path, heard: list[str] = HEARD, *, stream: bool = False, output: str = "str"
) -> Path:
    """Write a graph of the single file's signature, whose text is a lookup by the clip's level."""
    node = helper.make_node
    audio, level = "audio_stream" if stream else "audio_pcm", [node("Abs", ["audio_pcm"], ["a"])]
    if stream:  # each sample's upper byte, behind a header of 44 bytes
        level = [
            node("Slice", [audio, "first", "last", "axes", "two"], ["upper"]),
            node("Cast", ["upper"], ["bytes"], to=TensorProto.FLOAT),
            node("Div", ["bytes", "scale"], ["a"]),
        ]
    nodes = [
        *level,
        node("ReduceMean", ["a", "axes"], ["mean"], keepdims=0),
        node("Mul", ["mean", "steps"], ["scaled"]),
        node("Round", ["scaled"], ["rounded"]),
        node("Cast", ["rounded"], ["row"], to=TensorProto.INT64),
        node("Min", ["num_beams", "most"], ["search"]),
        node("Cast", ["search"], ["beams"], to=TensorProto.INT64),
        node("Cast", ["num_return_sequences"], ["count"], to=TensorProto.INT64),
        node("Squeeze", ["count"], ["counted"]),
        node("Range", ["zero", "counted", "one"], ["places"]),
        node("Mul", ["row", "four"], ["begin"]),
        node("Mul", ["beams", "two"], ["offset"]),
        node("Add", ["begin", "offset"], ["start"]),
        node("Add", ["start", "places"], ["at"]),
        node("Sub", ["at", "two"], ["index"]),
        node("Unsqueeze", ["index", "zeros"], ["indices"]),
        node("Gather", ["texts", "indices"], [output]),
    ]
    constants = {
        "axes": np.array([1]),
        "zeros": np.array([0]),
        "first": np.array([45]),
        "last": np.array([1 << 30]),
        "two": np.array([2]),
        "four": np.array([4]),
        "zero": np.array(0),
        "one": np.array(1),
        "most": np.array([2], np.int32),
        "scale": np.array([128], np.float32),
        "steps": np.array([32], np.float32),
        "texts": np.array(heard, dtype=object),
    }
    ints = ("min_length", "max_length", "num_beams", "num_return_sequences")
    floats = ("length_penalty", "repetition_penalty")
    kind = TensorProto.UINT8 if stream else TensorProto.FLOAT
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "hears",
        [
            value(audio, kind, [1, "samples"]),
            *(value(name, TensorProto.INT32, [1]) for name in ints),
            *(value(name, TensorProto.FLOAT, [1]) for name in floats),
        ],
        [value(output, TensorProto.STRING, [1, "num_return_sequences"])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(path))
    return path


class Recorded:
    """A session that is none of a file: it keeps what it is fed."""

    def __init__(self, inputs: tuple[str, ...], output: Any = None) -> None:
        self.inputs = [type("Value", (), {"name": name}) for name in inputs]
        self.output = output
        self.fed: list[dict[str, Any]] = []

    def get_inputs(self) -> list[Any]:
        return self.inputs

    def get_outputs(self) -> list[Any]:
        return [type("Value", (), {"name": name}) for name in ("tokens", "str")]

    def run(self, names: None, feeds: dict[str, Any]) -> list[Any]:
        self.fed.append(feeds)
        count = int(feeds.get("num_return_sequences", [1])[0])
        texts = np.array([["four"] * count], dtype=object)
        return [np.zeros(3), texts if self.output is None else self.output]


@pytest.mark.parametrize("stream", [False, True])
def test_a_file_hears_every_clip_once_and_every_case(tmp_path: Path, stream: bool) -> None:
    found = measure_quality(write(tmp_path / "m.onnx", stream=stream), REFERENCE).as_json()
    assert found.pop("single") == {
        "wer": 0.25,
        "wer_loss": 0,
        "wer_to_reference": 0,
        "generate_agreement": 1,
    }
    assert found == {
        "wer": 0.25,
        "wer_loss": 0,
        "wer_to_reference": 0,
        "generate_agreement": 1,
        "clips": 3,
    }


def test_what_the_variant_lost_is_told_from_what_the_graph_had_lost_before(tmp_path: Path) -> None:
    damaged = [text.replace("one", "won") for text in HEARD]
    base = write(tmp_path / "base.onnx", damaged)
    found = measure_quality(write(tmp_path / "m.onnx", damaged), REFERENCE, baseline=base)
    figures = found.as_json()
    assert (figures["wer"], figures["wer_loss"], figures["wer_to_reference"]) == (
        0.5,
        25,
        pytest.approx(1 / 3),
    )
    assert figures["generate_agreement"] == 0.5
    against = figures["against_fp32"]
    assert (against["wer"], against["wer_loss"], against["wer_to_reference"]) == (0.5, 0, 0)
    assert against["generate_agreement"] == 1
    assert "batched" not in figures and found.against_torch.batched is None


def test_some_rows_come_with_the_cases_on_them(tmp_path: Path) -> None:
    session = open_session(write(tmp_path / "m.onnx"))
    found = REFERENCE.run(session, np.array([2, 0]))
    assert found == Transcripts(("four", ""), (("four",),))


def test_a_session_is_fed_audio_and_settings_by_name_and_nothing_runs_twice() -> None:
    session = Recorded(("audio_pcm", "num_beams", "num_return_sequences", "length_penalty"))
    found = measure_quality(session, REFERENCE)
    assert found.against_torch.single["generate_agreement"] == 0.5
    assert len(session.fed) == 3 + 2
    first, last = session.fed[1], session.fed[-1]
    assert first["audio_pcm"].dtype == np.float32
    assert first["audio_pcm"].tolist() == [[1024 / (1 << 15)] * 7]
    assert "max_length" not in first
    assert [first["num_beams"].dtype, first["length_penalty"].dtype] == [np.int32, np.float32]
    assert (first["num_beams"].tolist(), last["num_beams"].tolist()) == ([1], [2])
    assert last["length_penalty"].tolist() == [0.5]
    assert last["audio_pcm"].shape == (1, 31)


def test_whole_numbers_as_penalties_are_given_as_floats() -> None:
    feeds = Decoding(5, length_penalty=2).feeds()
    assert feeds["length_penalty"].dtype == np.float32
    assert feeds["max_length"].tolist() == [5]


@pytest.mark.parametrize(
    "output",
    [
        np.array([["four", "four"]], dtype=object),
        np.array(["four"], dtype=object),
        np.zeros((1, 1), np.float32),
    ],
)
def test_an_output_that_is_no_text_of_each_sequence_is_a_clear_error(output: Any) -> None:
    with pytest.raises(StepError, match="not the texts") as caught:
        measure_quality(Recorded(("audio_pcm",), output), REFERENCE)
    assert "[1, 1] are expected" in (caught.value.why or "")


def test_a_file_of_another_kind_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="no output 'str'"):
        measure_quality(write(tmp_path / "m.onnx", output="words"), REFERENCE)
    with pytest.raises(StepError, match="neither 'audio_pcm' nor 'audio_stream'") as caught:
        measure_quality(Recorded(("input_features",)), REFERENCE)
    assert caught.value.why == "its inputs are input_features"


def test_a_file_that_cannot_run_says_which_and_why(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"cannot run m\.onnx"):
        measure_quality(write(tmp_path / "m.onnx", HEARD[:5]), REFERENCE)


@pytest.mark.parametrize(
    "audio", [AUDIO, mu_law_encode(AUDIO / 32768), (AUDIO / 32768).astype(np.float32)]
)
def test_a_reference_is_read_as_it_was_written_in_the_type_it_had(
    tmp_path: Path, audio: np.ndarray
) -> None:
    given = replace(REFERENCE, clips=StoredClips(audio, LENGTHS))
    write_reference(given, tmp_path)
    read = read_reference(tmp_path)
    assert isinstance(read, TranscriptionReference)
    assert (read.truth, read.texts, read.decoding, read.cases) == (
        *(TRUTH, GREEDY, Decoding(64)),
        (BEAMS, PENALTY),
    )
    assert read.clips.audio.dtype == audio.dtype
    np.testing.assert_array_equal(read.clips.audio, audio)
    np.testing.assert_array_equal(read.clips.lengths, LENGTHS)


def test_the_same_reference_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_reference(REFERENCE, tmp_path / name)
    for file in ("reference.json", "reference.npz"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"texts": ["", "one"]}, "differ in number"),
        ({"transcripts": "abc"}, "a list of texts"),
        ({"transcripts": ["", 1, "b"]}, "a list of texts"),
        ({"decoding": {"max_length": 64}}, "KeyError: 'min_length'"),
        ({"decoding": None}, "TypeError"),
        ({"decoding.max_length": 6.5}, "max_length is 6.5"),
        ({"decoding.num_beams": True}, "num_beams is True"),
        ({"decoding.length_penalty": "1"}, "length_penalty is '1'"),
        ({"cases.0.clip": 3}, "a case is of clip 3; there are 3"),
        ({"cases.0.clip": True}, "a case is of clip True"),
        ({"cases.0.transcripts": ["one"]}, "has 1 texts, and asks for 2"),
        ({"cases": None}, "TypeError"),
    ],
)
def test_a_damaged_description_is_a_clear_error(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    write_reference(REFERENCE, tmp_path)
    path = tmp_path / "reference.json"
    described = json.loads(path.read_text())
    for key, value in changes.items():
        *keys, last = key.split(".")
        inner: Any = described
        for name in keys:
            inner = inner[int(name) if name.isdigit() else name]
        inner[last] = value
    path.write_text(json.dumps(described))
    with pytest.raises(BundleError, match="references cannot be read") as caught:
        read_reference(tmp_path)
    assert why in (caught.value.why or "")


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"audio": AUDIO}, "KeyError"),
        ({"audio": AUDIO[:5], "lengths": LENGTHS}, "add up to 58, and `audio` has 5"),
        ({"audio": AUDIO, "lengths": np.array([27, 31])}, "differ in number"),
        ({"audio": AUDIO.astype("f8"), "lengths": LENGTHS}, "`audio` is float64"),
    ],
)
def test_damaged_arrays_are_a_clear_error(
    tmp_path: Path, arrays: dict[str, np.ndarray], why: str
) -> None:
    write_reference(REFERENCE, tmp_path)
    np.savez(tmp_path / "reference.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(BundleError) as caught:
        read_reference(tmp_path)
    assert why in (caught.value.why or "")


def test_damage_by_layer_is_not_asked_of_transcripts() -> None:
    with pytest.raises(UsageError, match="cannot be told"):
        some_of(REFERENCE, 2)

"""References of models that write: made by PyTorch, stored, read, and run on sessions."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from torch_language_model import VOCABULARY, TorchSession, gpt_neo

from olive_build.attribution.samples import some_of
from olive_build.errors import BundleError, StepError, UsageError
from olive_build.families.causal_lm.miniature import write_miniature
from olive_build.families.causal_lm.torch_side import load, reference
from olive_build.proof.generation import Decoding, Ends
from olive_build.proof.outputs import of_steps, read_outputs, write_outputs
from olive_build.proof.predictions import Confidence, Predictions
from olive_build.proof.quality import measure_quality, quality_of, run_reference
from olive_build.proof.reference import read_reference, write_reference
from olive_build.proof.references.generation import Case, GenerationReference

PENALTIES = Decoding(40, 1.3, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)  # threads of so small a model wait for each other
    out = tmp_path_factory.mktemp("miniature")
    write_miniature(out)
    return out


@pytest.fixture(scope="module")
def made(folder: Path) -> GenerationReference:
    return reference(folder, folder / "test.jsonl")


def small() -> GenerationReference:
    """A reference of two texts of the little model, made by itself in a session."""
    random = np.random.default_rng(3)
    texts = tuple(random.integers(1, VOCABULARY, length) for length in (9, 6))
    cases = (
        Case((0,), (4,), Decoding(5)),
        Case((0, 1), (4, 2), PENALTIES),
        Case((1,), (3,), Decoding(5, num_beams=2)),
    )
    nothing = np.zeros(0, np.float32)
    empty = GenerationReference(
        texts,
        Ends((), 0),
        cases,
        cases[0].decoding,
        Predictions(None, None, (), 2),
        (Confidence(nothing, nothing),) * 4,
    )
    found = empty.run(TorchSession(gpt_neo()), np.arange(2))
    written = (*found.written[:3], (7, 8, 9))
    choices = (*(_sure(row or ()) for row in written[:3]), Confidence(nothing, nothing))
    return replace(empty, predictions=replace(found, written=written), choices=choices)


def _sure(row: tuple[int, ...]) -> Confidence:
    return Confidence(np.full(len(row), 20, np.float32), np.full(len(row), 5, np.float32))


def session_of(folder: Path) -> TorchSession:
    class Session(TorchSession):
        def get_inputs(self) -> list[Any]:
            return [
                replace(value, shape=(value.shape[0], 4, value.shape[2], 32))
                if value.name.startswith("past")
                else value
                for value in super().get_inputs()
            ]

    return Session(load(folder))


def test_pytorch_s_own_steps_give_all_that_pytorch_gave(
    folder: Path, made: GenerationReference
) -> None:
    figures = measure_quality(session_of(folder), made).as_json()
    assert figures["perplexity_ratio"] == pytest.approx(1, abs=1e-6)
    assert (figures["token_agreement"], figures["generate_agreement"]) == (1, 1)
    assert figures["texts"] == 24
    assert "batched" not in figures


def test_eight_prompts_are_continued_alone_and_padded_with_and_without_penalties(
    made: GenerationReference,
) -> None:
    plain = Decoding(40)
    assert [case.decoding for case in made.cases] == [plain] * 8 + [PENALTIES] * 8 + [
        plain,
        PENALTIES,
    ]
    assert [case.lengths for case in made.cases[:16]] == [(8,)] * 16
    assert made.cases[16].rows == tuple(row for case in made.cases[:8] for row in case.rows)
    assert len(set(made.cases[16].lengths)) > 1
    assert made.promised == plain
    lengths = [len(row or ()) for row in made.expected.written]
    assert [len(choice.margin) for choice in made.choices] == lengths
    assert all((choice.margin >= 0).all() for choice in made.choices)


def test_what_a_recipe_promises_is_a_case_too(folder: Path) -> None:
    found = reference(folder, folder / "test.jsonl", num_beams="2", length_penalty="0.5")
    assert found.promised == Decoding(40, num_beams=2, length_penalty=0.5)
    mine = [case for case in found.cases if case.decoding == found.promised]
    assert [len(case.rows) for case in mine] == [1] * 8 + [8]
    beams = [len(choice.best) for choice in found.choices]
    assert beams[16:24] + beams[-8:] == [0] * 16


def test_what_the_model_s_own_files_ask_for_changes_no_greedy_case(
    folder: Path, made: GenerationReference, tmp_path: Path
) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    generation = json.loads((folder / "generation_config.json").read_text())
    (tmp_path / "generation_config.json").unlink()
    (tmp_path / "generation_config.json").write_text(
        json.dumps({**generation, "do_sample": True, "temperature": 2.0, "suppress_tokens": [5]})
    )
    assert reference(tmp_path, tmp_path / "test.jsonl").expected.written == made.expected.written


def test_too_few_texts_that_can_be_begun_are_a_clear_error(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "test.jsonl").read_text().splitlines()[:7] + ['{"text": "Ah."}'] * 9
    (tmp_path / "few.jsonl").write_text("\n".join(lines))
    with pytest.raises(StepError, match="7 texts that can be begun and continued") as caught:
        reference(folder, tmp_path / "few.jsonl")
    assert "the first 8 tokens" in (caught.value.why or "")
    assert (caught.value.where or "").endswith("few.jsonl")


def test_a_damaged_model_is_told_from_a_sound_one() -> None:
    model = gpt_neo()
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.weight *= 2
    figures = measure_quality(TorchSession(model), small()).as_json()
    assert abs(figures["perplexity_ratio"] - 1) > 0.01
    assert figures["token_agreement"] < 1
    assert figures["generate_agreement"] < 1


def test_a_file_in_half_precision_is_known_by_its_cache() -> None:
    found = small().run(TorchSession(gpt_neo(), half=True), np.arange(2))
    assert found.is_half


def test_a_file_with_a_cache_has_no_beams_and_one_that_searches_has_no_others() -> None:
    given = small()
    assert given.run(TorchSession(gpt_neo()), np.arange(2)).written[3] is None
    found = measure_quality(Searched(given), given).as_json()
    assert found == {"generate_agreement": 1, "single": {"generate_agreement": 1}, "texts": 2}
    beams = replace(given, promised=given.cases[2].decoding)
    assert beams.run(Searched(beams), np.arange(2)).written == (None, None, None, (7, 8, 9))


def test_what_a_file_hides_is_measured_on_the_graph_inside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given, opened = small(), list[Path]()

    def open_step(path: Path) -> TorchSession:
        opened.append(path)
        return TorchSession(gpt_neo())

    monkeypatch.setattr("olive_build.proof.quality.open_session", open_step)
    outputs = run_reference(Searched(given), given)
    figures = quality_of(of_steps(outputs, Path("step.onnx"), given), given).as_json()
    assert opened == [Path("step.onnx")]
    assert (figures["perplexity_ratio"], figures["generate_agreement"]) == (1, 1)


class Searched:
    """A session that writes what the reference expects of its promised cases."""

    def __init__(self, given: GenerationReference) -> None:
        prompts = [(case, ids) for case in given.cases for ids in case.prompts(given.token_ids)]
        self.answers = {
            tuple(ids.tolist()): written
            for (case, ids), written in zip(prompts, given.expected.written, strict=True)
            if case.decoding == given.promised
        }

    def get_inputs(self) -> list[Any]:
        return []

    def get_outputs(self) -> list[Any]:
        return [type("Value", (), {"name": "sequences"})]

    def run(self, names: None, feeds: Mapping[str, Any], /) -> list[Any]:
        (answer,) = self.answers.values()
        (ids,) = self.answers
        return [np.array([[*ids, *(answer or ())]])]


def test_some_rows_come_with_the_cases_on_them_alone() -> None:
    given = small()
    found = given.run(TorchSession(gpt_neo()), np.array([0]))
    assert found.nll is not None and len(found.nll) == 8
    assert found.written == given.expected.written[:1]


def test_a_variant_is_compared_with_the_graph_that_it_came_from(tmp_path: Path) -> None:
    given, session = small(), TorchSession(gpt_neo())
    for name, outputs in (
        ("plain", run_reference(session, given)),
        ("half", run_reference(TorchSession(gpt_neo(), half=True), given)),
        ("searched", run_reference(Searched(given), given)),
    ):
        (tmp_path / name).mkdir()
        write_outputs(outputs, tmp_path / name)
        back, single = read_outputs(tmp_path / name, given).single, outputs.single
        assert (back.written, back.texts, back.is_half) == (
            *(single.written, single.texts),
            name == "half",
        )
        for array in ("nll", "best"):
            np.testing.assert_array_equal(getattr(back, array), getattr(single, array))
    quality = quality_of(
        read_outputs(tmp_path / "half", given),
        given,
        baseline=read_outputs(tmp_path / "plain", given),
    ).as_json()
    assert 0.9 < quality["against_fp32"]["perplexity_ratio"] < 1.1


def test_a_reference_is_read_as_it_was_written_and_written_alike(tmp_path: Path) -> None:
    given = small()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_reference(given, tmp_path / name)
    for file in ("reference.json", "reference.npz"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()
    read = read_reference(tmp_path / "one")
    assert isinstance(read, GenerationReference)
    assert (read.ends, read.cases, read.promised) == (given.ends, given.cases, given.promised)
    assert read.expected.written == given.expected.written
    assert [ids.tolist() for ids in read.token_ids] == [ids.tolist() for ids in given.token_ids]
    assert read.token_ids[0].dtype == np.int64
    for one, other in zip(read.choices, given.choices, strict=True):
        np.testing.assert_array_equal(one.best, other.best)
        np.testing.assert_array_equal(one.margin, other.margin)
    assert measure_quality(TorchSession(gpt_neo()), read).as_json()["perplexity_ratio"] == 1


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"eos": 0}, "0 are no whole numbers"),
        ({"pad": None}, "[None] are no whole numbers"),
        ({"promised": None}, "TypeError"),
        ({"promised.num_beams": True}, "num_beams is True"),
        ({"promised.early_stopping": 1}, "early_stopping is 1"),
        ({"cases.0.decoding.repetition_penalty": "1"}, "repetition_penalty is '1'"),
        ({"cases.0.decoding": {"max_new_tokens": 4}}, "KeyError: 'repetition_penalty'"),
        ({"cases.0.rows": [2]}, "a prompt is 4 tokens of text 2"),
        ({"cases.0.lengths": [0]}, "a prompt is 0 tokens of text 0"),
        ({"cases.0.lengths": [10]}, "a prompt is 10 tokens of text 0"),
        ({"cases.0.lengths": [4, 4]}, "zip"),
        ({"cases.0.rows": "00"}, "no whole numbers"),
        ({"cases": []}, "prompts and what was written"),
    ],
)
def test_a_damaged_description_is_a_clear_error(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    write_reference(small(), tmp_path)
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
    ("name", "change", "why"),
    [
        ("nll", lambda array: array[1:], "nll and best differ"),
        ("lengths", lambda array: array + 1, "token_ids add up to 17, not its number"),
        ("lengths", lambda array: array - 20, "no whole numbers"),
        ("lengths", lambda array: array.astype(float), "no whole numbers"),
        ("lengths", lambda array: np.append(array, 0), "a text has no token"),
        ("choice_lengths", lambda array: array[1:], "prompts and what was written"),
        ("choice_margin", lambda array: array[1:], "choice_margin add up to"),
        ("written", lambda array: array[1:], "written add up to"),
        ("written", None, "KeyError"),
        ("best", None, "nll and best differ"),
    ],
)
def test_damaged_arrays_are_a_clear_error(tmp_path: Path, name: str, change: Any, why: str) -> None:
    write_reference(small(), tmp_path)
    with np.load(tmp_path / "reference.npz") as file:
        arrays = {key: file[key] for key in file.files}
    if change is None:
        del arrays[name]
    else:
        arrays[name] = change(arrays[name])
    np.savez(tmp_path / "reference.npz", **arrays)
    with pytest.raises(BundleError) as caught:
        read_reference(tmp_path)
    assert why in (caught.value.why or "")


def test_damage_by_layer_is_not_asked_of_what_writes() -> None:
    with pytest.raises(UsageError, match="cannot be told") as caught:
        some_of(small(), 2)
    assert "generation" in (caught.value.why or "")

"""A classifier of texts that goes on learning: the model, its tokens, and bad texts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from labelled_folders import refused

from olive_build.errors import PlanError
from olive_build.families.registry import FAMILIES
from olive_build.families.text_classification import examples
from olive_build.families.text_classification.miniature import write_miniature
from olive_build.families.text_classification.spec import inspect
from olive_build.families.text_classification.training_side import side as training

LABELS = ("river", "house")
LOSS = "cross-entropy"
TEXTS = (
    "the people see",
    "A new house, near the OLD river; 42!",
    "naïve café \u4e2d\u6587 \u0000 x",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # threads of so small a model wait for each other, above all when busy
    made = tmp_path_factory.mktemp("texts")
    write_miniature(made, 12)
    yield made
    torch.set_num_threads(before)


def tokens(rows: int = 3, length: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 60, (rows, length)))
    mask = torch.ones_like(ids)
    mask[0, 4:] = 0
    return ids, mask


def test_the_registry_says_that_it_trains() -> None:
    family = FAMILIES["text-classification"]
    assert "train" in family.options
    assert family.axes == (("batch_size", 1), ("sequence_length", 128))


def test_the_facts_are_those_of_the_files(folder: Path) -> None:
    facts = inspect(folder)
    assert (facts.max_length, facts.pad, len(facts.labels)) == (256, 0, 4)
    assert facts.client_files == ("config.json", "tokenizer.json", "tokenizer_config.json")
    fixed = facts.training_data({"sequence_length": 32})
    assert (fixed["longest"], fixed["fixed"], fixed["tokenizer"]) == (32, True, "tokenizer.json")
    assert facts.training_data({})["fixed"] is False
    assert facts.training_data({"sequence_length": 999})["longest"] == 256


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model_type": "gpt2"}, "its model_type is gpt2, and known are: bert, distilbert"),
        ({"max_position_embeddings": None}, "int() argument"),
        ({"id2label": {"0": "a", "2": "b"}}, "does not number its classes from 0"),
    ],
)
def test_another_model_is_told_why(
    folder: Path, tmp_path: Path, change: dict[str, object], why: str
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    read = json.loads((tmp_path / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(read | change))
    with pytest.raises(PlanError) as caught:
        inspect(tmp_path)
    assert why in caught.value.render()


def test_a_model_without_a_fast_tokenizer_is_told_so(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(PlanError) as caught:
        inspect(tmp_path)
    assert "there is no tokenizer.json" in caught.value.render()


def test_the_model_is_the_one_of_transformers(folder: Path) -> None:
    ids, mask = tokens()
    own = transformers.BertForSequenceClassification.from_pretrained(folder).eval()
    model = training.load(folder)
    with torch.no_grad():
        expected = own(input_ids=ids, attention_mask=mask).logits
        assert (training.forward(model, ids, mask) - expected).abs().max() < 1e-6
    assert "bert.encoder.layer.11.attention.self.query.weight" in dict(model.named_parameters())


def test_nothing_is_dropped_while_it_trains(folder: Path) -> None:
    model, given = training.load(folder), tokens()
    with torch.no_grad():
        still = training.forward(model, *given)
        for _ in range(3):
            assert torch.equal(training.forward(model.train(), *given), still)


def test_a_bare_encoder_is_loaded_for_a_declared_head_and_nothing_of_it_is_drawn(
    folder: Path, tmp_path: Path
) -> None:
    transformers.BertModel.from_pretrained(folder).save_pretrained(tmp_path)
    state = torch.get_rng_state()
    found = dict(training.load(tmp_path, "classifier").named_parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert not found["classifier.weight"].any()  # until the new head takes its place
    kept = dict(training.load(folder).named_parameters())
    name = "bert.encoder.layer.3.output.dense.weight"
    assert torch.equal(found[name], kept[name])


def test_a_bare_encoder_without_a_declared_head_is_refused(folder: Path, tmp_path: Path) -> None:
    transformers.BertModel.from_pretrained(folder).save_pretrained(tmp_path)
    with pytest.raises(PlanError) as caught:
        training.load(tmp_path)
    text = caught.value.render()
    assert (
        "2 tensors of the model are not in its files: classifier.weight, classifier.bias\n" in text
    )
    assert "`train: {head: {replace: classifier, classes: ...}}`" in text


def test_distilbert_is_loaded_as_it_is(folder: Path, tmp_path: Path) -> None:
    config = transformers.DistilBertConfig(
        vocab_size=80, dim=16, n_layers=2, n_heads=2, hidden_dim=32
    )
    own = transformers.DistilBertForSequenceClassification(config).eval()
    own.save_pretrained(tmp_path)
    shutil.copy(folder / "tokenizer.json", tmp_path)
    assert inspect(tmp_path).max_length == 512
    ids, mask = tokens()
    model = training.load(tmp_path)
    with torch.no_grad():
        expected = own(input_ids=ids, attention_mask=mask).logits
        assert (training.forward(model.train(), ids, mask) - expected).abs().max() < 1e-6


def test_examples_and_axes_are_as_the_recipe_fixes_them(folder: Path) -> None:
    found = training.examples(folder, 5, {"sequence_length": 12}, 0)
    assert list(found) == list(training.inputs)
    ids, mask = found.values()
    assert ids.shape == mask.shape == (5, 12) and ids.dtype == mask.dtype == np.int64
    assert (mask.sum(1) >= 6).all() and (mask.sum(1) < 12).any()
    assert not ids[mask == 0].any()
    assert training.axes({"batch_size": 2})["attention_mask"] == (2, "sequence_length")


@pytest.mark.parametrize("length", [None, 6, 64])
def test_tokens_are_those_of_the_tokenizer(folder: Path, length: int | None) -> None:
    described = inspect(folder).training_data({"sequence_length": length} if length else {})
    found = examples.encode(TEXTS, described, folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    expected = tokenizer(
        list(TEXTS),
        truncation=True,
        max_length=length or 256,
        padding="max_length" if length else "longest",
        return_tensors="np",
    )
    for name in training.inputs:
        np.testing.assert_array_equal(found[name], expected[name])


def read(data: Path, folder: Path) -> examples.LabelledExamples:
    described = inspect(folder).training_data({"sequence_length": 16})
    return examples.read_examples(data, described, folder, LABELS, LOSS)


def lines(path: Path, *entries: object) -> Path:
    written = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    path.write_text("\n".join(written) + "\n", encoding="utf-8")
    return path


def test_folders_tables_and_lines_give_the_same(folder: Path, tmp_path: Path) -> None:
    kept = {"river": "the old river", "house": "a new house"}
    tree, table = tmp_path / "tree", tmp_path / "table"
    for label, text in kept.items():
        (tree / label).mkdir(parents=True)
        (tree / label / "1.txt").write_text(text)
        table.mkdir(exist_ok=True)
        (table / f"{label}.txt").write_text(text)
    (table / "labels.csv").write_text("file,label\nhouse.txt,house\nriver.txt,river\n")
    entries = [{"text": kept[label], "label": label} for label in ("house", "river")]
    (tmp_path / "lines").mkdir()
    file = lines(tmp_path / "lines" / "a.jsonl", *entries)
    found = [read(data, folder) for data in (tree, table, file.parent, file)]
    assert found[0].targets.tolist() == [1, 0]
    for other in found[1:]:
        assert other.targets.tolist() == [1, 0]
        np.testing.assert_array_equal(other.inputs["input_ids"], found[0].inputs["input_ids"])


GOOD = {"text": "the river", "label": "river"}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('{"text": "x", "label"', "a line is no JSON"),
        ('["x"]', "a line has no `text` and no `label`"),
        ({"text": "x"}, "a line has no `label`"),
        ({"label": "river"}, "a line has no `text`"),
        ({"text": 5, "label": "river"}, "the text of a line is no text"),
        ({"text": " \t", "label": "river"}, "a text is empty"),
        ({"text": "x", "label": "rivers"}, "did you mean 'river'?"),
    ],
)
def test_a_bad_line_is_named_by_its_number(
    folder: Path, tmp_path: Path, entry: object, said: str
) -> None:
    path = lines(tmp_path / "a.jsonl", GOOD, "", entry)
    text = refused(lambda: read(path, folder))
    assert said in text and f"{path}, line 3" in text


def test_files_that_are_no_texts(folder: Path, tmp_path: Path) -> None:
    assert "does not exist" in refused(lambda: read(tmp_path / "gone", folder))
    assert "the file of texts is empty" in refused(
        lambda: read(lines(tmp_path / "a.jsonl", ""), folder)
    )
    (tmp_path / "a.jsonl").write_bytes(b"\xff\xfe")
    assert "save it as UTF-8" in refused(lambda: read(tmp_path, folder))
    (tmp_path / "empty").mkdir()
    assert "there are no texts to learn from" in refused(lambda: read(tmp_path / "empty", folder))


def test_numbers_in_lines_are_targets(folder: Path, tmp_path: Path) -> None:
    path = lines(
        tmp_path / "a.jsonl", {"text": "x", "label": [1, 0]}, {"text": "y", "label": "0 1"}
    )
    described = inspect(folder).training_data({})
    found = examples.read_examples(path, described, folder, LABELS, "bce-with-logits")
    assert found.targets.tolist() == [[1, 0], [0, 1]]

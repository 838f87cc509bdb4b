"""Nothing that an output reads is drawn at random: what a model's files lack, or have too much."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save_file
from saved_models import (
    BERT,
    WAV2VEC2,
    WEIGHTS,
    Tensors,
    bert,
    changed,
    refusal,
    save,
    without,
)

from olive_build.families.audio_classification.miniature import write_miniature as write_audio
from olive_build.families.audio_classification.training_side import side as audio
from olive_build.families.causal_lm import torch_side as causal
from olive_build.families.dependence import read_by_outputs
from olive_build.families.image_classification import torch_side as images
from olive_build.families.image_classification.miniature import write_miniature as write_images
from olive_build.families.image_classification.training_side import side as image_training
from olive_build.families.loading import from_files
from olive_build.families.sentence_embedding import torch_side as sentences
from olive_build.families.sentence_embedding.miniature import write_miniature as write_sentences
from olive_build.families.text_classification.training_side import side as texts
from olive_build.families.whisper import generation as whisper

WHISPER = Path(__file__).resolve().parents[2] / "recipes" / "whisper-digits" / "model"
LAYER = "encoder.layer.1.attention.self.query.weight"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of each family's kind, good ones."""
    root = tmp_path_factory.mktemp("models")
    for name, write in (
        ("sentences", write_sentences),
        ("images", write_images),
    ):
        (root / name).mkdir()
        write(root / name)
    save(bert("BertModel"), root / "bert")
    save(bert("BertForSequenceClassification", num_labels=5), root / "classifier")
    return root


def sentence_model(folders: Path, out: Path, model: Any) -> Path:
    """Save a model beside the tokenizer of the miniature."""
    shutil.copytree(folders / "sentences", out, ignore=shutil.ignore_patterns(WEIGHTS, "config*"))
    shutil.copytree(folders / "sentences" / "1_Pooling", out / "1_Pooling", dirs_exist_ok=True)
    return save(model, out)


def test_good_folders_have_nothing_to_say(folders: Path) -> None:
    assert sentences.loading(folders / "sentences").notes == ()
    assert images.loading(folders / "images").notes == ()
    assert whisper.loading(WHISPER).notes == ()
    assert texts.loading(folders / "classifier").notes == ()


def test_weights_under_another_prefix_are_named_on_both_sides(
    folders: Path, tmp_path: Path
) -> None:
    def wrapped(tensors: Tensors) -> Tensors:
        return {f"encoder_q.{name}": value for name, value in tensors.items()}

    folder = changed(folders / "bert", tmp_path / "wrapped", wrapped)
    text = refusal(lambda: texts.loading(folder, "classifier"))
    assert "error: 39 tensors of the model are not in its files: bert.embeddings.word_emb" in text
    assert "bert.embeddings.LayerNorm.bias ...; 39 in the files are of no use: encoder_q." in text
    assert "`model.encoder_q.save_pretrained(...)`" in text


def test_a_missing_head_is_to_be_declared(folders: Path, tmp_path: Path) -> None:
    text = refusal(lambda: texts.loading(folders / "bert"))
    assert "2 tensors of the model are not in its files: classifier.weight, classifier.bias" in text
    assert "train: {head: {replace: classifier, classes: ...}}" in text
    loaded = texts.loading(folders / "bert", "classifier")
    (note,) = loaded.notes
    assert note.startswith("2 tensors of the head that a new one replaces are not in its files: ")
    headless = changed(folders / "images", tmp_path / "headless", without("classifier"))
    for load in (images.loading, image_training.loading):
        text = refusal(lambda load=load: load(headless))  # type: ignore[misc]
        assert "not in its files: classifier.1.weight, classifier.1.bias" in text
        assert "replace: classifier.1," in text
    assert image_training.loading(headless, "classifier.1").missing == (
        "classifier.1.weight",
        "classifier.1.bias",
    )


def test_a_new_head_covers_no_other_layer(tmp_path: Path) -> None:
    config = transformers.Wav2Vec2Config(**WAV2VEC2)
    write_audio(tmp_path)
    save(transformers.Wav2Vec2Model(config), tmp_path)
    text = refusal(lambda: audio.loading(tmp_path, "classifier"))
    assert "2 tensors of the model are not in its files: projector.weight, projector.bias" in text
    assert "`train.head` replaces 'classifier' alone" in text


def test_layers_that_the_file_lacks_are_an_error(folders: Path, tmp_path: Path) -> None:
    cut = changed(folders / "sentences", tmp_path / "cut", without("encoder.layer.1."))
    text = refusal(lambda: sentences.load(cut))
    assert "error: 16 tensors of the model are not in its files: encoder.layer.1." in text
    one = changed(folders / "sentences", tmp_path / "one", without(LAYER))
    assert f"1 tensor of the model is not in its files: {LAYER}\n" in refusal(
        lambda: sentences.load(one)
    )


def test_layers_that_the_configuration_lacks_are_an_error(folders: Path, tmp_path: Path) -> None:
    short = changed(folders / "sentences", tmp_path / "short", num_hidden_layers=1)
    text = refusal(lambda: sentences.loading(short))
    assert "16 tensors in the files are of layers that the model does not have: encoder.lay" in text
    assert "`num_hidden_layers`" in text
    # A model with a head has its encoder under a prefix, and this file has not.
    headless = changed(folders / "bert", tmp_path / "headless", num_hidden_layers=1)
    text = refusal(lambda: texts.loading(headless, "classifier"))
    assert "16 tensors in the files are of layers" in text


def test_other_shapes_are_an_error_outside_of_a_new_head(folders: Path, tmp_path: Path) -> None:
    names = {"id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0, "b": 1, "c": 2}}
    folder = changed(folders / "classifier", tmp_path / "shapes", **names)
    text = refusal(lambda: texts.loading(folder))
    assert "2 tensors in the files are of another shape than config.json makes: " in text
    assert "classifier.weight [5, 16] for [3, 16]" in text
    loaded = texts.loading(folder, "classifier")
    assert loaded.mismatched == ("classifier.bias", "classifier.weight")
    assert not loaded.model.classifier.weight.any()


def test_a_head_of_another_task_is_one_line(folders: Path, tmp_path: Path) -> None:
    """BertForMaskedLM saves no pooler; last_hidden_state does without."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.from_pretrained(folders / "sentences")
    folder = sentence_model(folders, tmp_path / "mlm", transformers.BertForMaskedLM(config))
    loaded = sentences.loading(folder)
    assert len(loaded.notes) == 2
    assert loaded.notes[0].startswith("5 tensors in the files are of no use to what is built")
    assert "cls.predictions.bias" in loaded.notes[0]
    assert loaded.notes[1] == (
        "2 tensors of the model are not in its files and read by no output: "
        "pooler.dense.weight, pooler.dense.bias"
    )
    assert not loaded.model.pooler.dense.weight.any()  # and not drawn either


def test_a_pooler_that_the_classifier_reads_is_an_error(tmp_path: Path) -> None:
    folder = save(bert("BertForMaskedLM"), tmp_path)
    text = refusal(lambda: texts.loading(folder, "classifier"))
    assert "not in its files: bert.pooler.dense.weight, bert.pooler.dense.bias;" in text


def test_statistics_of_a_norm_are_weights_and_its_counters_are_not(
    folders: Path, tmp_path: Path
) -> None:
    uncounted = changed(folders / "images", tmp_path / "a", without("num_batches_tracked"))
    loaded = images.loading(uncounted)
    assert len(loaded.notes) == 1
    assert "left out or computed by transformers itself: " in loaded.notes[0]
    mean = "resnet.embedder.embedder.normalization.running_mean"
    unknown = changed(folders / "images", tmp_path / "b", without("num_batches", mean))
    text = refusal(lambda: images.loading(unknown))
    assert f"1 tensor of the model is not in its files: {mean}\n" in text


def test_parts_of_layers_that_the_class_does_not_have_are_an_error(
    folders: Path, tmp_path: Path
) -> None:
    def adapted(tensors: Tensors) -> Tensors:
        names = ("lora_A", "lora_B")
        layer = "encoder.layer.0.attention.self.query"
        return tensors | {f"{layer}.{name}.weight": torch.ones(4, 4) for name in names}

    folder = changed(folders / "sentences", tmp_path / "lora", adapted)
    text = refusal(lambda: sentences.loading(folder))
    assert (
        "2 tensors in the files are of parts that its layers do not have: encoder.layer.0." in text
    )
    assert "merge adapters into the model" in text


def test_masks_that_old_files_hold_are_no_weights(tmp_path: Path) -> None:
    config = transformers.GPTNeoConfig(
        vocab_size=50,
        hidden_size=16,
        num_layers=1,
        num_heads=2,
        attention_types=[[["global"], 1]],
        max_position_embeddings=32,
    )
    folder = save(transformers.GPTNeoForCausalLM(config), tmp_path / "new")
    attention = "transformer.h.0.attn.attention"
    old = changed(
        folder,
        tmp_path / "old",
        lambda tensors: (
            tensors
            | {
                f"{attention}.bias": torch.ones(1, 1, 32, 32, dtype=torch.uint8),
                f"{attention}.masked_bias": torch.tensor(-1e9),
            }
        ),
    )
    assert causal.loading(old).notes[0].startswith("2 tensors in the files are of no use")


def llama(tmp_path: Path, **settings: Any) -> Path:
    sizes = {name: value for name, value in BERT.items() if name != "num_hidden_layers"}
    config = transformers.LlamaConfig(**sizes, num_hidden_layers=1, **settings)
    folder = save(transformers.LlamaForCausalLM(config), tmp_path / "llama")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text("{}")
    return folder


def test_words_are_scored_by_their_table_where_the_configuration_says_so(tmp_path: Path) -> None:
    folder = llama(tmp_path, tie_word_embeddings=True)
    assert causal.loading(folder).notes == ()
    untied = changed(folder, tmp_path / "untied", tie_word_embeddings=False)
    text = refusal(lambda: causal.load(untied))
    assert "1 tensor of the model is not in its files: lm_head.weight\n" in text
    assert "`tie_word_embeddings: true`" in text
    neither = changed(folder, tmp_path / "neither", without("embed_tokens"))
    text = refusal(lambda: causal.load(neither))
    assert "not in its files: model.embed_tokens.weight, lm_head.weight\n" in text


def test_a_whisper_with_a_missing_tensor_is_refused(tmp_path: Path) -> None:
    name = "model.encoder.layer_norm.weight"
    folder = changed(WHISPER, tmp_path / "cut", without(name))
    text = refusal(lambda: whisper.load(folder, "eager"))
    assert f"1 tensor of the model is not in its files: {name}\n" in text


def test_what_transformers_cannot_load_is_no_bug_of_ours(folders: Path, tmp_path: Path) -> None:
    whole = (folders / "bert" / WEIGHTS).read_bytes()
    shutil.copytree(folders / "bert", tmp_path, dirs_exist_ok=True)
    (tmp_path / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    text = refusal(lambda: texts.loading(tmp_path))
    assert "error: transformers cannot load the model" in text
    assert "SafetensorError" in text
    yolos = transformers.YolosConfig(hidden_size=16, num_attention_heads=2, num_hidden_layers=1)
    yolos.save_pretrained(tmp_path)
    save_file({"a": torch.ones(1)}, tmp_path / WEIGHTS, metadata={"format": "pt"})
    text = refusal(lambda: images.loading(tmp_path))
    assert "Unrecognized configuration class" in text


class RoutedConfig(transformers.PretrainedConfig):
    model_type = "routed"


class Routed(transformers.PreTrainedModel):
    """Runs one of two experts, by its input."""

    config_class = RoutedConfig
    base_model_prefix = "routed"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.experts = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(2))
        self.post_init()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.experts[int(x.sum() > 0)](x)
        return found


def test_a_layer_that_the_probe_does_not_run_is_missed_where_its_like_is_there(
    tmp_path: Path,
) -> None:
    folder = save(Routed(RoutedConfig()), tmp_path / "whole")
    x = torch.ones(1, 2)
    assert from_files(Routed, folder, lambda model: model(x)).notes == ()
    cut = changed(folder, tmp_path / "cut", without("experts.0."))
    text = refusal(lambda: from_files(Routed, cut, lambda model: model(x)))
    assert "2 tensors of the model are not in its files: experts.0.weight, experts.0.bias" in text


class Odd(torch.nn.Module):
    """Reads weights in ways that hide them: compared, indexed, masked out."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("added", "compared", "unread", "masked"):
            self.register_parameter(name, torch.nn.Parameter(torch.full((3,), 0.5)))
        self.register_buffer("index", torch.zeros(3, dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = (self.compared > 0.7).float()  # no NaN comes through a comparison
        hidden = torch.where(torch.tensor([False] * 3), self.masked, x)
        _ = self.unread * x
        return (hidden + self.added + gate)[self.index]


def test_reading_is_found_out_by_what_changes_an_output() -> None:
    model, x = Odd(), torch.tensor([1.0, 2.0, 3.0])
    names = ("unread", "masked", "added", "compared", "index")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    read, count = read_by_outputs(model, lambda m: m(x), names, 5)
    assert (read, count) == (["added", "compared", "index"], 3)
    # After the first ones no more are tried, and they count.
    assert read_by_outputs(model, lambda m: m(x), names, 1) == (["added"], 3)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_weights_that_are_no_numbers_are_named(folders: Path, tmp_path: Path) -> None:
    def broken(tensors: Tensors) -> Tensors:
        value = tensors[f"bert.{LAYER}"].clone()
        value[0, 0] = float("nan")
        return tensors | {f"bert.{LAYER}": value}

    folder = changed(folders / "classifier", tmp_path / "broken", broken)
    text = refusal(lambda: texts.loading(folder))
    assert "error: 1 tensor of the model is no finite numbers" in text
    assert LAYER in text

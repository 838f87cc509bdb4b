"""What a model's folder holds besides: refused where it changes the model, else told in a line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from saved_models import BERT, WAV2VEC2, WEIGHTS, Tensors, bert, changed, refusal, save

from olive_build.families.architectures import task_of
from olive_build.families.folder_checks import check_folder
from olive_build.families.registry import FAMILIES
from olive_build.families.stored_tensors import tensors_of

FAMILY = "sentence-embedding"
INDEX = f"{WEIGHTS}.index.json"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(bert("BertModel"), tmp_path_factory.mktemp("bert"))


@pytest.fixture
def folder(model: Path, tmp_path: Path) -> Path:
    out = tmp_path / "model"
    shutil.copytree(model, out)
    return out


def refused(folder: Path, family: str = FAMILY, head: str | None = None) -> str:
    return refusal(lambda: check_folder(folder, family, head=head))


def write(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data), encoding="utf-8")


def put(folder: Path, name: str, tensors: Tensors) -> None:
    save_file(tensors, folder / name, metadata={"format": "pt"})


def test_every_family_says_which_classes_it_builds() -> None:
    # A bare model, such as BertModel, is all that an embedding model names.
    assert [item.name for item in FAMILIES.values() if not item.classes] == ["sentence-embedding"]
    endings = {ending for item in FAMILIES.values() for ending in item.classes}
    assert all(task_of(f"X{ending}") for ending in endings if not ending.endswith("Model"))


@pytest.mark.parametrize(
    ("architecture", "family", "task", "hint"),
    [
        ("T5ForConditionalGeneration", FAMILY, "writing text from other text", "no family builds"),
        ("BertForSequenceClassification", FAMILY, "classification", "family: text-classification"),
        ("GPT2LMHeadModel", FAMILY, "writing text", "`family: causal-lm` builds such models"),
        (
            "BertForQuestionAnswering",
            "text-classification",
            "finding answers",
            "question-answering",
        ),
        ("Wav2Vec2ForCTC", "audio-classification", "speech recognition", "`family: ctc`"),
        ("YolosForObjectDetection", "image-classification", "finding objects", "object-detection"),
        ("ViTMAEForPreTraining", "image-classification", "pre-training", "no family builds it yet"),
        ("WhisperForAudioClassification", "whisper", "classification of sounds", "audio-classif"),
        ("BertForMaskedLM", "causal-lm", "filling in hidden words", "`family: fill-mask`"),
        ("T5ForConditionalGeneration", "whisper", "writing text", "no family builds it yet"),
    ],
)
def test_a_class_of_another_task_is_refused_with_the_family_that_builds_it(
    folder: Path, architecture: str, family: str, task: str, hint: str
) -> None:
    config = json.loads((folder / "config.json").read_text())
    write(folder / "config.json", config | {"architectures": [architecture]})
    text = refused(folder, family)
    assert f"error: the model is a {architecture}, for {task}" in text
    assert f"the family '{family}' builds" in text
    assert hint in text


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        ("wav2vec2", "audio-classification"),
        ("yolos", "image-classification"),
        ("t5", "sentence-embedding"),
    ],
)
def test_saved_models_of_other_tasks_are_refused(tmp_path: Path, kind: str, family: str) -> None:
    torch.manual_seed(0)
    sizes = {name: value for name, value in BERT.items() if name != "max_position_embeddings"}
    if kind == "wav2vec2":
        model: Any = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**WAV2VEC2))
    elif kind == "yolos":
        config = transformers.YolosConfig(**sizes, image_size=[32, 32], num_detection_tokens=2)
        model = transformers.YolosForObjectDetection(config)
    else:
        model = transformers.T5ForConditionalGeneration(
            transformers.T5Config(vocab_size=60, d_model=16, d_kv=8, d_ff=32, num_layers=1)
        )
    save(model, tmp_path)
    assert f"error: the model is a {type(model).__name__}, for " in refused(tmp_path, family)


@pytest.mark.parametrize(
    "architecture",
    ["BertModel", "BertForMaskedLM", "BertForPreTraining", "T5EncoderModel", "Strange", None],
)
def test_encoders_are_taken_out_of_what_was_trained_for_words(
    folder: Path, architecture: str | None
) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = [architecture] if architecture else None
    write(folder / "config.json", config)
    assert check_folder(folder, FAMILY) == ()


def test_a_declared_head_makes_a_classifier_of_any_encoder(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    write(folder / "config.json", config | {"architectures": ["BertForQuestionAnswering"]})
    assert check_folder(folder, "text-classification", head="classifier") == ()


def test_a_language_model_that_was_saved_for_embeddings_is_one(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    write(folder / "config.json", config | {"architectures": ["Qwen2ForCausalLM"]})
    assert "a Qwen2ForCausalLM, for writing text" in refused(folder)
    write(folder / "modules.json", [])
    assert check_folder(folder, FAMILY) == ()


def test_a_quantized_checkpoint_is_refused_and_its_original_asked_for(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    settings = {"bits": 4, "quant_method": "gptq", "group_size": 128}
    for more in (
        {"quantization_config": settings},
        {"text_config": {"compression_config": settings}},
    ):
        write(folder / "config.json", config | more)
        text = refused(folder)
        assert "error: the checkpoint is quantized already by gptq\n" in text
        assert "name the unquantized original as the source" in text
    write(folder / "config.json", config)
    write(folder / "quantize_config.json", settings)
    assert "quantize_config.json" in refused(folder)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("encoder.layer.0.output.dense.qweight", torch.int32),
        ("encoder.layer.0.output.dense.weight", torch.int8),
        ("encoder.layer.0.output.dense.weight", torch.float8_e4m3fn),
        ("encoder.layer.0.output.dense.weight_scale_inv", torch.float32),
    ],
)
def test_quantized_tensors_are_known_without_their_configuration(
    folder: Path, name: str, dtype: torch.dtype
) -> None:
    put(folder, WEIGHTS, load_file(folder / WEIGHTS) | {name: torch.ones(2, 2).to(dtype)})
    text = refused(folder)
    assert "error: the checkpoint is quantized already\n" in text
    assert f"its tensor {name} is " in text


def test_an_adapter_that_is_not_merged_is_refused(folder: Path) -> None:
    write(folder / "adapter_config.json", {"peft_type": "LORA"})
    put(folder, "adapter_model.safetensors", {"a.lora_A.weight": torch.ones(2, 2)})
    text = refused(folder)
    assert "an adapter that is not merged into the model" in text
    assert "adapter_config.json and adapter_model.safetensors change what the model comp" in text
    assert "name that in the recipe: `model: {adapter: {path: {folder: ...}}}` merges it" in text
    (folder / "config.json").unlink()  # An adapter by itself has none.
    assert refused(folder) == text


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_of_the_author_is_told_and_not_run(folder: Path, name: str) -> None:
    path = folder / name
    data = json.loads(path.read_text()) if path.is_file() else {}
    write(path, data | {"auto_map": {"AutoModel": "modeling_mine.MyModel"}})
    (folder / "modeling_mine.py").write_text("raise SystemExit('it ran')")
    notes = check_folder(folder, FAMILY)
    assert any(f"`auto_map` in {name} names code of the author: none is run" in it for it in notes)


def test_copies_for_others_are_told_in_one_line(folder: Path) -> None:
    for name in ("model.fp16.safetensors", "ema.safetensors"):
        shutil.copy(folder / WEIGHTS, folder / name)
    put(folder, "consolidated.safetensors", {"layers.0.wq.weight": torch.ones(2, 2)})
    for name in ("pytorch_model.bin", "modeling_mine.py", "training_args.bin"):
        (folder / name).write_bytes(b"")
    (line,) = check_folder(folder, FAMILY)
    copies = "consolidated.safetensors, ema.safetensors, model.fp16.safetensors"
    assert line == (
        f"not read: {copies}, modeling_mine.py, pytorch_model.bin; model.safetensors is"
    )


def test_weights_that_are_nowhere_else_are_refused(folder: Path) -> None:
    put(folder, "more.safetensors", {"encoder.layer.0.extra.weight": torch.ones(2, 2)})
    text = refused(folder)
    assert "error: the folder has weights that are not read: more.safetensors" in text
    assert "encoder.layer.0.extra.weight is in it alone" in text


def sharded(folder: Path) -> list[str]:
    """Save the folder's model in shards instead, and return their names."""
    (folder / WEIGHTS).unlink()
    config = transformers.AutoConfig.from_pretrained(folder)
    transformers.BertModel(config).save_pretrained(folder, max_shard_size="10KB")
    return sorted(path.name for path in folder.glob("model-*.safetensors"))


def test_two_sets_of_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / WEIGHTS, tmp_path)
    shards = sharded(folder)
    assert len(shards) > 2
    assert check_folder(folder, FAMILY) == ()
    shutil.copy(tmp_path / WEIGHTS, folder)
    text = refused(folder)
    assert "error: the folder has two sets of weights" in text
    assert f"{WEIGHTS} is read, and {INDEX} with {shards[0]} is not" in text


def test_shards_that_are_gone_or_have_no_index_are_told(folder: Path) -> None:
    shards = sharded(folder)
    (folder / shards[1]).rename(folder / "model-09999-of-09999.safetensors")
    text = refused(folder)
    assert f"error: 1 of the {len(shards)} files of weights are not there" in text
    assert f"{INDEX} names {shards[1]}" in text
    (folder / INDEX).unlink()
    text = refused(folder)
    assert f"error: the folder has no {WEIGHTS}" in text
    assert f"{INDEX} says which shard holds what" in text


def test_a_shard_that_no_index_names_is_refused(folder: Path) -> None:
    shards = sharded(folder)
    shutil.copy(folder / shards[0], folder / "model-00001-of-00099.safetensors")
    assert "it is a shard that no index names" in refused(folder)


def test_a_variant_alone_is_not_what_is_read(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "model.fp16.safetensors")
    text = refused(folder)
    assert f"rename the one that is meant to {WEIGHTS}" in text


@pytest.mark.parametrize("index", [{"weight_map": {"a": "../other.safetensors"}}, {}, [1], "["])
def test_a_bad_index_is_refused(folder: Path, index: Any) -> None:
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text(index if isinstance(index, str) else json.dumps(index))
    text = refused(folder)
    assert INDEX in text.splitlines()[0]


@pytest.mark.parametrize("named", ["../model.safetensors", "gone.safetensors", 7])
def test_a_configuration_may_name_its_weights(folder: Path, named: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / WEIGHTS).rename(folder / "mine.safetensors")
    write(folder / "config.json", config | {"transformers_weights": "mine.safetensors"})
    assert check_folder(folder, FAMILY) == ()
    write(folder / "config.json", config | {"transformers_weights": named})
    assert "error: the configuration names weights that are not there" in refused(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x" * 40,
        (2**62).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (8).to_bytes(8, "little") + b'{"a": 1}',
        (60_000).to_bytes(8, "little") + b"[" * 60_000,
    ],
)
def test_a_file_that_is_no_safetensors_is_refused(folder: Path, content: bytes) -> None:
    (folder / WEIGHTS).write_bytes(content)
    assert f"error: cannot read {WEIGHTS}" in refused(folder)


def test_a_file_that_was_cut_is_refused(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:-1])
    assert "its header tells of more" in refused(folder)


def test_headers_are_read_as_the_library_does(folder: Path, tmp_path: Path) -> None:
    half = changed(
        folder, tmp_path / "half", lambda tensors: {k: v.half() for k, v in tensors.items()}
    )
    expected = load_file(half / WEIGHTS)
    found = tensors_of([half / WEIGHTS])
    assert {name: stored.shape for name, stored in found.items()} == {
        name: tuple(value.shape) for name, value in expected.items()
    }
    assert {stored.dtype for stored in found.values()} == {"F16"}
    name = "embeddings.word_embeddings.weight"
    with found[name].path.open("rb") as file:
        file.seek(found[name].begin)
        data = file.read(found[name].end - found[name].begin)
    assert data == expected[name].numpy().tobytes()


def test_a_pointer_of_git_lfs_is_named(folder: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    (folder / WEIGHTS).write_text(pointer)
    text = refused(folder)
    assert "a pointer of Git LFS" in text
    assert "git lfs pull" in text

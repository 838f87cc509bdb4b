"""What cannot be built is refused before it is loaded: what, where, why, what to do, and a code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from new_work import Work

from olive_build.errors import PlanError
from olive_build.proposing.model import Found
from olive_build.proposing.room import require_room


def configure(model: Path, **fields: Any) -> None:
    """Change fields of a model's configuration; None takes one away."""
    path = model / "config.json"
    config = {**json.loads(path.read_text("utf-8")), **fields}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def as_pickle(model: Path) -> None:
    (model / "model.safetensors").unlink()
    torch.save({}, model / "pytorch_model.bin")


def shards(model: Path) -> None:
    loaded = transformers.DistilBertForTokenClassification.from_pretrained(model)
    (model / "model.safetensors").unlink()
    loaded.save_pretrained(model, max_shard_size="100KB")


def without_a_shard(model: Path) -> None:
    shards(model)
    max(model.glob("model-*.safetensors")).unlink()


def truncated(model: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def truncated_shard(model: Path) -> None:
    shards(model)
    path = max(model.glob("model-*.safetensors"))
    path.write_bytes(path.read_bytes()[:-4])


def enormous(model: Path) -> None:
    """Write weights of a petabyte, in a file of which nothing is on the disk."""
    path, count = model / "model.safetensors", 1 << 48
    entry = {"dtype": "I8", "shape": [count], "data_offsets": [0, count]}
    header = json.dumps({"weight": {**entry, "shape": [1 << 42], "data_offsets": [0, 1 << 42]}})
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header.encode())
        file.truncate(8 + len(header) + (1 << 42))


def remote_code(model: Path) -> None:
    code = {"AutoModel": "modeling_own.OwnModel"}
    configure(model, model_type="own", architectures=["OwnModel"], auto_map=code)


def remote_class(model: Path) -> None:
    code = {"AutoModelForTokenClassification": "modeling_own.OwnForTokenClassification"}
    configure(model, architectures=["OwnForTokenClassification"], auto_map=code)


def sentencepiece(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    (model / "tokenizer_config.json").write_text('{"tokenizer_class": "XLMRobertaTokenizer"}')
    (model / "sentencepiece.bpe.model").write_bytes(b"\x0a\x0b")


def without_tokenizer(model: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (model / name).unlink()


def inside(model: Path) -> None:
    (model / "checkpoint-500").mkdir()
    for path in sorted(model.glob("*.*")):
        path.rename(model / "checkpoint-500" / path.name)


BAD: dict[str, tuple[str, Callable[[Path], None], int, tuple[str, ...]]] = {
    "no config.json": (
        "tokens",
        lambda model: (model / "config.json").unlink(),
        3,
        ("has no config.json", "it holds model.safetensors, tokenizer.json", "save_pretrained"),
    ),
    "a folder of checkpoints": (
        "tokens",
        inside,
        3,
        ("has no config.json", "models in it: checkpoint-500", "tokens/checkpoint-500"),
    ),
    "a configuration that is no JSON": (
        "tokens",
        lambda model: (model / "config.json").write_text("{"),
        3,
        ("cannot read config.json",),
    ),
    "sizes of zero": (
        "tokens",
        lambda model: configure(model, dim=0, n_layers=-1),
        3,
        ("sizes below 1", "dim is 0, n_layers is -1", "correct it"),
    ),
    "a pickle": (
        "tokens",
        as_pickle,
        3,
        ("no weights as safetensors", "pytorch_model.bin, a pickle", "save_pretrained"),
    ),
    "a shard that is not there": (
        "tokens",
        without_a_shard,
        3,
        ("files of weights are not there", "model.safetensors.index.json names model-0000", "copy"),
    ),
    "truncated weights": (
        "tokens",
        truncated,
        3,
        ("cannot read model.safetensors", "its header tells of more", "copy or download it again"),
    ),
    "a truncated shard": ("tokens", truncated_shard, 3, ("cannot read model-0000", "download")),
    "weights beyond all memory": (
        "tokens",
        enormous,
        3,
        ("larger than the memory: 17,592.2 GB in fp32", "this machine has", "a smaller model"),
    ),
    "an unknown type": (
        "tokens",
        lambda model: configure(model, model_type="distilbart"),
        3,
        ("has no model of the type 'distilbart'", "a newer transformers"),
    ),
    "no type": (
        "tokens",
        lambda model: configure(model, model_type=None),
        3,
        ("does not say what the model is", "it has no `model_type`"),
    ),
    "code of the author": (
        "tokens",
        remote_code,
        3,
        ("the model is code of its author", "`auto_map` names it", "no model_type 'own'"),
    ),
    "a class of the author": (
        "tokens",
        remote_class,
        3,
        ("the model is code of its author", "no class OwnForTokenClassification", "never run"),
    ),
    "no tokenizer": (
        "tokens",
        without_tokenizer,
        3,
        ("tokenizer cannot be read", "none of tokenizer*.json", "tokenizer.save_pretrained"),
    ),
    "no words": (
        "tokens",
        lambda model: (model / "tokenizer.json").unlink(),
        3,
        ("tokenizer cannot be read", "tokenizer.save_pretrained"),
    ),
    "no processor": (
        "boxes",
        lambda model: (model / "preprocessor_config.json").unlink(),
        3,
        ("image processor cannot be read", "none of preprocessor_config.json", "object-detection"),
    ),
    "a head that nothing builds": (
        "tokens",
        lambda model: configure(model, architectures=["DistilBertForMultipleChoice"]),
        3,
        ("no family builds a DistilBertForMultipleChoice", "choosing among answers"),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_model_that_cannot_be_built(work: Work, case: str) -> None:
    name, spoil, expected, said = BAD[case]
    model = work.model(name)
    spoil(model)
    code, err = work.refused(str(model))
    assert code == expected, err
    for text in said:
        assert text in err
    assert "loading " not in err


def test_a_package_that_is_missing(work: Work) -> None:
    model = work.model("tokens")
    sentencepiece(model)
    code, err = work.refused(str(model))
    assert code == 3
    assert "sentencepiece is for its tokenizer" in err and "pip install sentencepiece" in err


def test_a_backbone_of_another_package(work: Work) -> None:
    model = work.model("boxes")
    config = transformers.DetrConfig().to_dict()
    config["backbone_config"] = {"model_type": "timm_backbone", "backbone": "resnet50"}
    config["architectures"] = ["DetrForObjectDetection"]
    (model / "config.json").write_text(json.dumps(config))
    code, err = work.refused(str(model))
    assert code == 3 and "timm is for its backbone" in err and "pip install timm" in err


def test_a_task_that_the_head_does_not_serve(work: Work) -> None:
    code, err = work.refused(str(work.model("tokens")), "--task", "fill-mask")
    assert code == 2 and "does not serve the task 'fill-mask'" in err
    assert "its head is for token-classification" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing",), "'nothing' is neither a folder that is there nor a repository of the hub"),
        (("pyproject.toml",), "because: it is a file"),
        (("models", "--target", "dektop"), "unknown target 'dektop'"),
        (("models", "-o", "x.yml"), "a recipe's name ends in .yaml"),
    ],
)
def test_words_that_name_nothing(work: Work, words: tuple[str, ...], said: str) -> None:
    code, err = work.refused(*words)
    assert code == 2 and said in err


def test_a_model_outside_of_the_recipes_repository(work: Work) -> None:
    outside = work.folder / "elsewhere"
    shutil.copytree(work.models / "tokens", outside / "tokens")
    (work.folder / "mine").mkdir()
    (work.folder / "mine" / "pyproject.toml").touch()
    code, err = work.refused(str(outside / "tokens"), "-o", "mine/x.yaml")
    assert code == 2 and "../elsewhere/tokens leaves the repository" in err and "-o FILE" in err
    words = ("new", str(outside / "tokens"), "-o", "mine/x.yaml", "--model-root", "elsewhere")
    code, out, err = work.run(*words)
    assert code == 0, err
    assert "olive-build build mine/x.yaml --model-root elsewhere" in out


def test_a_build_that_fills_the_disk(tmp_path: Path) -> None:
    found = Found(tmp_path, "large", loaded=1000, download=1 << 60, repo="a/b", commit="c")
    with pytest.raises(PlanError) as error:
        require_room(found, tmp_path / "not" / "there")
    assert "1,152,921,504.6 GB" in error.value.what and "olive-build cache gc" in str(
        error.value.hint
    )
    require_room(Found(tmp_path, "small", loaded=1000), tmp_path)

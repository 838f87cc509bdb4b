"""A model's folder that a stranger made: what is no plain file of it is refused, unread."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from saved_models import WEIGHTS, bert, refusal, save

from olive_build.errors import OliveBuildError
from olive_build.families import family_module, module_of
from olive_build.families.folder_checks import check_folder
from olive_build.families.sentence_embedding.texts import read_texts
from olive_build.plan.sources import use_folder
from olive_build.steps.source import LoadCheck

FAMILY = "sentence-embedding"
INDEX = f"{WEIGHTS}.index.json"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(bert("BertModel"), tmp_path_factory.mktemp("bert"))


@pytest.fixture
def folder(model: Path, tmp_path: Path) -> Path:
    out = tmp_path / "models--a--b/snapshots/0123"
    shutil.copytree(model, out)
    return out


def refused(folder: Path) -> str:
    def read() -> None:
        use_folder(folder)
        check_folder(folder, FAMILY)

    started = time.monotonic()
    said = refusal(read)
    assert time.monotonic() - started < 1
    return said


def test_a_snapshot_of_the_hubs_cache_is_read(folder: Path) -> None:
    blobs = folder.parents[1] / "blobs"
    blobs.mkdir()
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(blobs / str(number))
        path.symlink_to(f"../../blobs/{number}")
    assert use_folder(folder).folder == folder
    assert check_folder(folder, FAMILY) == ()


@pytest.mark.parametrize("name", ["config.json", WEIGHTS, "vocab.txt"])
@pytest.mark.parametrize(
    "target", ["../../../other/file", "/dev/zero", "/dev/stdin", "/proc/self/environ", "nowhere"]
)
def test_a_link_out_of_a_model_is_never_followed(folder: Path, name: str, target: str) -> None:
    other = folder.parents[2] / "other"
    other.mkdir()
    (other / "file").write_text('{"secret": 1}')
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(target)
    said = refused(folder)
    assert "the model's folder holds what is not read" in said
    assert f"{name}: it is a link" in said
    assert "secret" not in said


@pytest.mark.parametrize("name", ["config.json", WEIGHTS, "extra.json", "1_Pooling/config.json"])
def test_a_pipe_in_a_model_is_not_waited_for(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).parent.mkdir(exist_ok=True)
    os.mkfifo(folder / name)
    assert f"{name}: it is a pipe" in refused(folder)


def test_what_is_hidden_is_no_part_of_a_model(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git/link").symlink_to("/etc/passwd")
    assert use_folder(folder).folder == folder


@pytest.mark.parametrize(
    ("shard", "said"),
    [
        ("../secret.safetensors", "names a file outside of its folder"),
        ("/etc/passwd", "names a file outside of its folder"),
        ("..", "names a file outside of its folder"),
        (".hidden.safetensors", "names a file outside of its folder"),
        ("sub/model.safetensors", "names a file outside of its folder"),
        ("a..safetensors", "names a file outside of its folder"),
        ("pytorch_model.bin", "names weights that are no safetensors"),
        ("model.pt", "names weights that are no safetensors"),
    ],
)
def test_an_index_names_safetensors_of_its_folder_alone(
    folder: Path, shard: str, said: str
) -> None:
    (folder / WEIGHTS).rename(folder / "model-00001-of-00001.safetensors")
    index = {"metadata": {}, "weight_map": {"embeddings.word_embeddings.weight": shard}}
    (folder / INDEX).write_text(json.dumps(index))
    assert said in refused(folder)


@pytest.mark.parametrize("named", ["pytorch_model.bin", "other.json"])
def test_a_configuration_names_no_pickle(folder: Path, named: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"transformers_weights": named}))
    (folder / named).write_text(json.dumps({"weight_map": {"a": "pytorch_model.bin"}}))
    assert "names weights that are no safetensors: pytorch_model.bin" in refused(folder)


SPOILT: dict[str, Callable[[str], str]] = {
    "deep": lambda text: '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
    "endless number": lambda text: text[:-1] + ',"layer_norm_eps": 1e400}',
    "not a number": lambda text: text[:-1] + ',"layer_norm_eps": NaN}',
    "half a character": lambda text: text[:-1] + r',"model_type": "\ud800"}',
    "digits": lambda text: text[:-1] + ',"hidden_size": ' + "9" * 5000 + "}",
    "a list": lambda text: "[1]",
    "cut": lambda text: text[: len(text) // 2],
}


@pytest.mark.parametrize("change", SPOILT.values(), ids=SPOILT)
def test_json_of_a_model_is_held_to_limits(folder: Path, change: Callable[[str], str]) -> None:
    text = json.dumps(json.loads((folder / "config.json").read_text()))
    (folder / "config.json").write_text(change(text))
    assert "error: cannot read config.json" in refused(folder)


@pytest.mark.parametrize("name", ["added_tokens.json", "1_Pooling/config.json"])
def test_so_is_what_only_a_library_reads(folder: Path, name: str, tmp_path: Path) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("[" * 100_000)
    with pytest.raises(OliveBuildError) as error:
        LoadCheck(module_of(FAMILY, "torch_side")).run({"source": folder}, tmp_path)
    assert error.value.exit_code == 3
    assert "nested" in error.value.render()


@pytest.mark.parametrize(
    "header", ['{"a": {"dtype": "F32", "shape": [1e400], "data_offsets": [0, 4]}}', "[" * 90_000]
)
def test_a_header_of_weights_is_held_to_limits(folder: Path, header: str) -> None:
    content = len(header).to_bytes(8, "little") + header.encode() + bytes(4)
    (folder / WEIGHTS).write_bytes(content)
    assert f"error: cannot read {WEIGHTS}" in refused(folder)


def test_a_path_that_is_too_long_is_an_error_of_the_plan(tmp_path: Path) -> None:
    assert "the model's folder cannot be read" in refused(tmp_path / ("x" * 300))


@pytest.mark.parametrize("line", ['{"text":' * 100_000, r'{"text": "\ud800"}', '{"text": 1e400}'])
def test_a_line_of_texts_is_held_to_limits(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"text": "a"}}\n{line}\n')
    with pytest.raises(OliveBuildError) as error:
        read_texts(tmp_path / "a.jsonl")
    assert "a.jsonl:2" in error.value.render()


def test_texts_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(OliveBuildError, match="cannot be read"):
        read_texts(tmp_path / "a.jsonl")


def test_every_family_reads_a_folder_with_nothing_by_its_own_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[" * 100_000)
    for family in ("sentence-embedding", "whisper", "causal-lm", "image-classification"):
        with pytest.raises(OliveBuildError) as error:
            family_module(family, "spec").inspect(tmp_path)
        assert error.value.exit_code == 3

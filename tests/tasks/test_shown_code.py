"""What the code says follows the model's own files; what no short code says is told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from PIL import Image

from olive_build import rooms
from olive_build.errors import BundleError, PlanError
from olive_build.families.facts import Asked
from olive_build.families.transformers.shown_clips import letters_file, letters_shown
from olive_build.targets import (
    asking,
    load_language,
    load_provider,
    load_target,
    target_names,
)
from olive_build.tasks._scores import kind_in, kind_of

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bundle"))
from family_facts import code_sections, speech_manifest

PIXELS = {"pixel_values": ["batch_size", 3, 96, 96]}
TEXTS = {"input_ids": ["batch_size", "sequence_length"], "attention_mask": ["batch_size", 8]}
DETR = {
    "image_processor_type": "DetrImageProcessor",
    "size": {"shortest_edge": 96, "longest_edge": 160},
}


def written(folder: Path, **files: Any) -> Path:
    for name, content in {"config": {"model_type": "detr"}, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def facts(task: str, folder: Path) -> Any:
    return rooms.module("tasks", task.replace("-", "_")).SIDE.inspect(folder)


@pytest.mark.parametrize("task", sorted(rooms.names("tasks")))
@pytest.mark.parametrize("target", target_names())
def test_every_task_has_code_for_every_target(tmp_path: Path, task: str, target: str) -> None:
    written(tmp_path, preprocessor_config=DETR, tokenizer_config={}, tokenizer={})
    side, language = rooms.module("tasks", task).SIDE, load_target(target).language
    ((name,),) = side.inspect(tmp_path).templates(language, {}).values()
    assert next(rooms.files("tasks.templates", f"{name}.md"), None) is not None
    shared = name.startswith("graph.")
    assert shared != (language in ("python", "transformers_js"))


@pytest.mark.parametrize(
    ("target", "provider"),
    [(target, name) for target in target_names() for name in load_target(target).providers],
)
def test_the_code_asks_for_the_bundles_provider(tmp_path: Path, target: str, provider: str) -> None:
    written(tmp_path, preprocessor_config=DETR)
    found = speech_manifest(target, "pixel_values", provider, "object-detection")
    value = {"name": "pixel_values", "type": "float", "axes": [1, 3, 96, 96]}
    found["variants"]["v1"] |= {"inputs": [value]}
    text = code_sections(found, facts("object-detection", tmp_path))
    assert "$" not in text.replace("$0", "")
    asked = asking(load_language(load_target(target).language), load_provider(provider))
    for part in (asked.code, asked.imports, asked.argument, asked.note):
        assert all(line.strip() in text for line in part.splitlines())


def test_a_task_without_code_in_a_language_is_an_error_of_the_plan(tmp_path: Path) -> None:
    found = facts("object-detection", written(tmp_path, preprocessor_config=DETR))
    asked = Asked("recipe x, target y", "plain", "none", {}, "cobol")
    with pytest.raises(PlanError, match="no code in cobol for object-detection") as caught:
        found.check(tmp_path, asked)
    assert "tasks/templates/object-detection.cobol.md" in (caught.value.hint or "")
    assert caught.value.where == "recipe x, target y"


def test_pictures_become_squares_for_the_client_too(tmp_path: Path) -> None:
    found = facts("object-detection", written(tmp_path, preprocessor_config=DETR))
    file = json.loads(found.written_files["preprocessor_config.json"])
    assert file == {**DETR, "size": {"height": 96, "width": 96}}
    code = found.placeholders(PIXELS, {})
    assert "size = (96, 96)" in code["prepare"] and "keeps their proportions" in code["limits"]
    assert not code["note"]
    (tmp_path / "preprocessor_config.json").write_bytes(
        found.written_files["preprocessor_config.json"]
    )
    again = facts("object-detection", tmp_path)
    assert not again.written_files and not again.placeholders(PIXELS, {})["limits"]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"image_processor_type": "GLPNImageProcessor"}, "code of its own"),
        ({"image_processor_type": "NobodysImageProcessor"}, "NobodysImageProcessor"),
        ({**DETR, "size": {"height": 64, "width": 64}}, "this file takes 96 x 96"),
        ({**DETR, "resample": 17}, "resample"),
    ],
)
def test_what_no_short_code_prepares_is_told(
    tmp_path: Path, settings: dict[str, Any], why: str
) -> None:
    found = facts("object-detection", written(tmp_path, preprocessor_config=settings))
    code = found.placeholders(PIXELS, {})
    assert why in code["note"] and "[batch_size, 3, 96, 96]" in code["note"].replace("'", "")
    assert "np.zeros((1, 3, 96, 96), np.float32)" in code["prepare"]


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("DetrImageProcessor", {"size": {"height": 40, "width": 56}}),
        ("YolosImageProcessor", {"size": {"height": 40, "width": 56}, "do_normalize": False}),
        ("ConditionalDetrImageProcessor", {"size": {"height": 40, "width": 56}, "do_pad": False}),
        ("DeformableDetrImageProcessor", {"size": {"height": 40, "width": 56}, "resample": 3}),
        ("RTDetrImageProcessor", {"size": {"height": 40, "width": 56}}),
        ("DPTImageProcessor", {"size": {"height": 41, "width": 59}, "ensure_multiple_of": 8}),
        ("DPTImageProcessor", {"size": {"height": 44, "width": 60}, "ensure_multiple_of": 8}),
    ],
)
def test_the_code_prepares_what_the_librarys_processor_does(
    tmp_path: Path, kind: str, settings: dict[str, Any]
) -> None:
    processor = getattr(transformers, f"{kind}Pil")(**settings)
    processor.save_pretrained(tmp_path)
    written(tmp_path)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (77, 91, 3), np.uint8))
    expected = processor(images=picture, return_tensors="np")["pixel_values"]
    code = facts("object-detection", tmp_path).placeholders(
        {"pixel_values": list(expected.shape)}, {}
    )
    assert not code["note"], code["note"]
    names: dict[str, Any] = {"np": np, "Image": Image, "picture": picture}
    exec(code["prepare"], names)  # noqa: S102
    assert np.abs(names[code["prepared"]] - expected).max() < 1e-5


def test_texts_fill_the_one_size_that_a_graph_takes(tmp_path: Path) -> None:
    written(
        tmp_path,
        tokenizer_config={"pad_token": {"content": "<pad>"}, "model_max_length": 64},
        tokenizer={},
    )
    found = facts("question-answering", tmp_path)
    free = found.placeholders(TEXTS, {})["tokenizer"]
    assert 'enable_truncation(64, strategy="only_second")' in free and "no_padding" in free
    fixed = found.placeholders({"input_ids": [1, 16]}, {})["tokenizer"]
    assert "enable_truncation(16, " in fixed
    assert 'length=16, pad_id=tokenizer.token_to_id("<pad>"), pad_token="<pad>"' in fixed
    with pytest.raises(BundleError, match="cannot give the input 'bbox'"):
        found.placeholders({**TEXTS, "bbox": [1, 16, 4]}, {})


@pytest.mark.parametrize(
    "config",
    [
        {"id2label": {"0": "a"}},
        {"id2label": {"0": "a", "1": "b", "2": "c"}},
        {"num_labels": 1},
        {},
        {"problem_type": "regression", "num_labels": 1},
        {"problem_type": "multi_label_classification"},
        {"problem_type": "single_label_classification", "num_labels": 4},
    ],
    ids=str,
)
def test_scores_are_made_as_the_loaded_configuration_says(config: dict[str, Any]) -> None:
    loaded = transformers.PretrainedConfig.from_dict(config)
    assert kind_in(config) == kind_of(loaded)


def test_one_number_is_no_share_for_the_client(tmp_path: Path) -> None:
    for labels, name in (
        ({"0": "a", "1": "b"}, "text-classification"),
        ({"0": "a"}, "text-scores"),
    ):
        config = {"model_type": "bert", "id2label": labels}
        found = facts("text-classification", written(tmp_path, config=config, tokenizer={}))
        assert found.templates("transformers_js", {}) == {"": (f"{name}.transformers_js",)}
        assert found.templates("python", {}) == {"": ("text-classification.python",)}


def test_letters_become_a_tokenizer_that_decodes_as_the_library(tmp_path: Path) -> None:
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4}
    vocabulary |= {letter: 5 + place for place, letter in enumerate("abcdefghij'")}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"))
    tokenizer.save_pretrained(tmp_path)
    from tokenizers import Tokenizer

    (content,) = letters_file(letters_shown(tmp_path)).values()
    ours = Tokenizer.from_str(content.decode())
    random = np.random.default_rng(0)
    for _ in range(20):
        tokens = random.choice([0, 4, *range(5, 16)], 30).repeat(random.integers(1, 4, 30))
        expected = tokenizer.decode(tokens.tolist())
        assert ours.decode(tokens.tolist(), skip_special_tokens=False).strip() == expected

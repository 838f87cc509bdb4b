"""What a model's files lack is told before any step, once, and what they have besides in a line."""

from __future__ import annotations

from pathlib import Path

import transformers
from safetensors.torch import load_file, save_file
from tiny_recipe import Project

WEIGHTS = "model.safetensors"
LOADED = "loading "


def wrap(weights: Path) -> None:
    """Put the weights under another prefix, as a model has them that holds this one."""
    tensors = {f"encoder_q.{name}": value for name, value in load_file(weights).items()}
    save_file(tensors, weights, metadata={"format": "pt"})


def test_a_model_whose_weights_are_not_its_own_is_refused_before_any_step(project: Project) -> None:
    wrap(project.folder / "recipes" / "model" / WEIGHTS)
    for verb in ("plan", "build"):
        result = project.run(verb, "tiny")
        assert result.code == 3, result.err
        assert "39 tensors of the model are not in its files: embeddings.word_emb" in result.err
        assert "39 in the files are of no use: encoder_q." in result.err
        assert "tiny/export" not in result.out + result.err
    assert not (project.folder / "outputs").exists()


def test_a_miniature_stands_in_whatever_the_files_hold(project: Project) -> None:
    wrap(project.folder / "recipes" / "model" / WEIGHTS)
    result = project.run("plan", "tiny", "--target", "desktop", "--smoke")
    assert result.code == 0, result.err
    assert LOADED not in result.err
    assert result.out.endswith(" steps for 1 bundle\n")


def test_a_head_of_another_task_is_a_line_of_the_plan_and_is_loaded_once(project: Project) -> None:
    model = project.folder / "recipes" / "model"
    config = transformers.AutoConfig.from_pretrained(model)
    transformers.BertForMaskedLM(config).eval().save_pretrained(model)
    (model / "pytorch_model.bin").write_bytes(b"")
    first = project.run("plan", "tiny")
    assert first.code == 0, first.err
    assert LOADED in first.err
    told = first.out.replace("\n  ", " ").splitlines()
    unread, unexpected, missing = (
        next(line for line in told if line.startswith(f"note: {said}"))
        for said in ("not read: ", "5 tensors in the files are ", "2 tensors of the model are ")
    )
    assert unread == "note: not read: pytorch_model.bin; model.safetensors is"
    assert "of no use to what is built, such as a head of another task: cls.pre" in unexpected
    assert missing.endswith("read by no output: pooler.dense.weight, pooler.dense.bias")
    second = project.run("plan", "tiny", "--json")
    assert LOADED not in second.err
    for bundle in second.json["bundles"]:
        assert {f"note: {note}" for note in bundle["notes"]} >= {unread, unexpected, missing}

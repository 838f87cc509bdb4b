"""Adapters merged as PEFT merges them, tensor by tensor, and those that are refused by name.

peft_adapters/ holds models, adapters and what PEFT made of both (make_adapters.py).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from olive_build.errors import PlanError
from olive_build.families.peft_adapter import CONFIG, PICKLE, WEIGHTS, read_merge
from olive_build.steps.merge_adapter import MergeAdapter

CASES = Path(__file__).parent / "peft_adapters"
DORA = "weight-decomposed"
MERGED = sorted(path.name for path in CASES.iterdir() if path.is_dir() and path.name != DORA)
# PEFT's sums are those of a step, in another order at most.
NEAR = {"rtol": 1e-6, "atol": 1e-7}


@pytest.fixture
def case(tmp_path: Path) -> Callable[[str], Path]:
    def copied(name: str) -> Path:
        shutil.copytree(CASES / name, tmp_path / name)
        return tmp_path / name

    return copied


def merged(folder: Path, out: Path) -> Path:
    out.mkdir()
    inputs = {"source": folder / "model", "adapter": folder / "adapter"}
    MergeAdapter().run(inputs, out)
    return out


def loaded(folder: Path) -> Any:
    """Load a folder as transformers does, by the class that its configuration names."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kind = getattr(transformers, config["architectures"][0])
    return kind.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.mark.parametrize("name", MERGED)
def test_every_tensor_is_what_peft_makes_of_it(name: str, tmp_path: Path) -> None:
    ours = loaded(merged(CASES / name, tmp_path / "out")).state_dict()
    theirs = load_file(CASES / name / "merged.safetensors")
    assert set(theirs) == set(ours)
    base = loaded(CASES / name / "model").state_dict()
    changed = [key for key in theirs if not torch.equal(base[key], theirs[key])]
    assert changed
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value, **NEAR)
        if key not in changed:
            assert torch.equal(ours[key], value), key


def test_what_does_not_change_keeps_its_bytes(tmp_path: Path) -> None:
    """A model in half precision: what is merged is fp32, as the models are that builds load."""
    out = merged(CASES / "half", tmp_path / "out")
    before, after = (load_file(at / "model.safetensors") for at in (CASES / "half/model", out))
    types = {key: (before[key].dtype, after[key].dtype) for key in before}
    half, whole = torch.bfloat16, torch.float32
    assert {key for key, pair in types.items() if pair == (half, whole)} == {
        f"model.layers.{layer}.mlp.down_proj.weight" for layer in (0, 1)
    }
    assert (out / "config.json").read_bytes() == (CASES / "half/model/config.json").read_bytes()


def test_shards_and_a_part_of_sentence_transformers(
    case: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = case("biases")
    whole = merged(folder, tmp_path / "whole")
    tensors = load_file(folder / "model" / "model.safetensors")
    part = folder / "model" / "0_Transformer"
    part.mkdir()
    (folder / "model" / "model.safetensors").unlink()
    (folder / "model" / "config.json").rename(part / "config.json")
    names = sorted(tensors)
    shards = {f"model-0000{i + 1}-of-00002.safetensors": names[i::2] for i in (0, 1)}
    for file, held in shards.items():
        save_file({name: tensors[name] for name in held}, part / file)
    index = {"metadata": {}, "weight_map": {n: file for file, held in shards.items() for n in held}}
    (part / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / "model" / ".git").mkdir()
    (folder / "model" / ".git" / "config").touch()
    out = merged(folder, tmp_path / "out")
    assert not (out / ".git").exists()
    ours = load_file(out / "0_Transformer" / min(shards))
    ours |= load_file(out / "0_Transformer" / max(shards))
    theirs = load_file(whole / "model.safetensors")
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_model_saved_without_the_prefix_of_its_class(
    case: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = case("plain")
    path = folder / "model" / "model.safetensors"
    bare = {name.removeprefix("model."): value for name, value in load_file(path).items()}
    save_file(bare, path, metadata={"format": "pt"})
    ours = load_file(merged(folder, tmp_path / "out") / "model.safetensors")
    theirs = load_file(CASES / "plain" / "merged.safetensors")
    name = "layers.0.self_attn.q_proj.weight"
    torch.testing.assert_close(ours[name], theirs[f"model.{name}"], **NEAR)


@pytest.mark.parametrize(("name", "said"), [("transposed", False), ("plain", True)])
def test_the_layer_decides_which_axis_of_a_weight_is_first(
    name: str, said: bool, case: Callable[[str], Path], tmp_path: Path
) -> None:
    """PEFT corrects `fan_in_fan_out` by the layer's class; square weights don't show the axis."""
    folder = case(name)
    settings(fan_in_fan_out=said)(folder)
    ours = load_file(merged(folder, tmp_path / "out") / "model.safetensors")
    theirs = load_file(CASES / name / "merged.safetensors")
    for key, value in ours.items():
        torch.testing.assert_close(value, theirs[key], **NEAR)


Change = Callable[[Path], None]


def settings(**changes: Any) -> Change:
    def change(folder: Path) -> None:
        path = folder / "adapter" / CONFIG
        config = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**config, **changes}), encoding="utf-8")

    return change


def tensors(edit: Callable[[dict[str, torch.Tensor]], None]) -> Change:
    def change(folder: Path) -> None:
        path = folder / "adapter" / WEIGHTS
        found = load_file(path)
        edit(found)
        save_file(found, path)

    return change


def pickled(folder: Path) -> None:
    (folder / "adapter" / WEIGHTS).rename(folder / "adapter" / PICKLE)


def truncated(folder: Path) -> None:
    path = folder / "adapter" / WEIGHTS
    path.write_bytes(path.read_bytes()[:-8])


def other_sizes(folder: Path) -> None:
    path = folder / "model" / "model.safetensors"
    found = load_file(path)
    found[Q.removeprefix("base_model.model.") + ".weight"] = torch.zeros(8, 16)
    save_file(found, path)


Q = "base_model.model.model.layers.0.self_attn.q_proj"
REFUSED: dict[str, tuple[Change, str]] = {
    "LoHa": (settings(peft_type="LOHA"), "it is a LOHA adapter"),
    "DoRA": (settings(use_dora=True), "its `use_dora` is not understood"),
    "a bias of its own": (settings(lora_bias=True), "its `lora_bias` is not understood"),
    "replicated layers": (settings(layer_replication=[[0, 2]]), "`layer_replication`"),
    "a setting of tomorrow": (settings(use_magic=True), "its `use_magic` is not understood"),
    "PiSSA": (settings(init_lora_weights="pissa"), "changed the model's own weights"),
    "LoftQ": (settings(init_lora_weights="loftq"), "changed the model's own weights"),
    "an expression": (settings(alpha_pattern={"(a+)+": 2}), "pattern '(a+)+'"),
    "another bias": (settings(bias="some"), "its `bias` is none of"),
    "another rank": (settings(r=8), "have rank 4, and adapter_config.json says 8"),
    "no alpha": (settings(lora_alpha=None), "its `lora_alpha` is no number"),
    "a pickle": (pickled, "adapter_model.bin is a pickle"),
    "no settings": (lambda folder: (folder / "adapter" / CONFIG).unlink(), "no adapter of PEFT"),
    "no weights": (lambda folder: (folder / "adapter" / WEIGHTS).unlink(), "are not there"),
    "a truncated file": (truncated, "no whole safetensors file"),
    "half a pair": (
        tensors(lambda found: found.pop(f"{Q}.lora_B.weight")),
        "and not the other matrix of the pair",
    ),
    "a layer missing": (
        tensors(lambda found: [found.pop(f"{Q}.lora_{which}.weight") for which in "AB"]),
        "no matrices for 1 of the layers that it changes",
    ),
    "a tensor too many": (
        tensors(lambda found: found.update({f"{Q}.lora_C.weight": torch.ones(1)})),
        "which the model's files do not have",
    ),
    "a magnitude": (
        tensors(lambda found: found.update({f"{Q}.lora_magnitude_vector": torch.ones(16)})),
        "lora_magnitude_vector is not understood",
    ),
    "another model": (
        tensors(
            lambda found: found.update(
                {f"base_model.model.h.9.{kind}": torch.ones(4, 4) for kind in
                 ("lora_A.weight", "lora_B.weight")}
            )
        ),
        "which the model's files do not have",
    ),
    "matrices that do not fit": (
        tensors(lambda found: found.update({f"{Q}.lora_B.weight": torch.ones(16, 3)})),
        "do not fit each other",
    ),
    "integers": (
        tensors(lambda found: found.update({f"{Q}.lora_A.weight": torch.ones(4, 16).int()})),
        "its matrices I32 and F32",
    ),
    "a model of other sizes": (other_sizes, "is for the shape [16, 16]"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_understood_or_does_not_fit_is_refused(
    kind: str, case: Callable[[str], Path]
) -> None:
    change, said = REFUSED[kind]
    folder = case("plain")
    change(folder)
    with pytest.raises(PlanError) as raised:
        read_merge(folder / "model", folder / "adapter")
    assert said in f"{raised.value.what} {raised.value.why}"
    assert raised.value.hint


def test_an_adapter_that_peft_made_by_dora_is_refused(case: Callable[[str], Path]) -> None:
    folder = case(DORA)
    with pytest.raises(PlanError) as raised:
        read_merge(folder / "model", folder / "adapter")
    assert "its `use_dora` is not understood" in str(raised.value.why)

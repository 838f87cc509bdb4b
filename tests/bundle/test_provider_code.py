"""The code of every template asks for the bundle's provider, and for no other."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from olive_build import rooms
from olive_build.bundle import app_code as module
from olive_build.errors import BundleError, PlanError
from olive_build.families.sentence_embedding.modules import Pooling
from olive_build.recipe.load import load_recipe
from olive_build.recipe.resolve import resolve_all
from olive_build.recipe.sections.train import Training
from olive_build.targets import (
    DataError,
    asking,
    language_names,
    load_language,
    load_provider,
    load_target,
    provider_names,
    target_names,
)
from olive_build.training import app_code as training_code

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from family_facts import (  # noqa: E402
    IMAGES,
    SENTENCES,
    SPEECH,
    WRITERS,
    code_sections,
    speech_manifest,
)

ROOT = HERE.parents[1]
# What code names a provider by, in any language; the CPU is there by itself.
WORDS = {
    "coreml": "coreml",
    "cuda": "cuda",
    "directml": r"_dml|'dml'|dmlexec|directml",
    "nnapi": "nnapi",
    "openvino": "openvino",
    "qnn": "qnn",
    "webgpu": "webgpu",
    "xnnpack": "xnnpack",
}
UNNAMED = {"cpu", "wasm"}
# Each family with the inputs of one file that does all, and of a bare graph.
FAMILIES = (
    ("sentence-embedding", SENTENCES, ("in_here",), ("input_ids",)),
    (
        "sentence-embedding",
        replace(SENTENCES, modules=(Pooling(("cls", "max"), True),)),
        (),
        ("input_ids",),
    ),
    ("image-classification", IMAGES, ("image",), ("pixel_values",)),
    ("whisper", SPEECH, ("audio_pcm", "audio_stream"), ("input_features",)),
    ("causal-lm", WRITERS, ("max_new_tokens",), ("input_ids",)),
)
PLACES = [(target, name) for target in target_names() for name in load_target(target).providers]
Family = tuple[str, Any, tuple[str, ...], tuple[str, ...]]


def manifest(
    target: str, provider: str, takes: str, family: str = "whisper", length: int | str = 61
) -> dict[str, Any]:
    """Return what code is written from; of speech also the inputs beside the audio."""
    found = speech_manifest(target, takes, provider, family)
    if takes not in ("audio_pcm", "audio_stream"):
        value = {"name": takes, "type": "int64", "axes": [1, length]}
        output = {"name": "out_there", "type": "float", "axes": [1, length, 77]}
        found["variants"]["v1"] |= {"inputs": [value], "outputs": [output]}
    return found


def named(text: str) -> set[str]:
    """Return the providers that the blocks of code in a text name."""
    code = "\n".join(re.findall(r"```\w+\n(.*?)```", text, re.DOTALL)).lower()
    return {name for name, word in WORDS.items() if re.search(word, code)}


def manifests(family: Family, target: str, provider: str) -> list[dict[str, Any]]:
    """Return a manifest for each kind of file that a target can have of a family."""
    name, _, whole, bare = family
    # A browser and an NPU are given bare graphs.
    takes = bare if load_target(target).compose == "none" else (*whole, *bare)
    lengths = (61,) if load_provider(provider).needs_fixed_shapes else (61, "sequence_length")
    return [manifest(target, provider, each, name, length) for each in takes for length in lengths]


def asks(text: str, target: str, provider: str) -> None:
    """Assert that the first code of a text asks for a provider alone, and the rest for none."""
    own, *further = text.split("\n### ")
    if "```" in own and "this code runs on the CPU" not in own:
        assert named(own) == {provider} - UNNAMED
    else:
        assert not named(own)
    assert not any(map(named, further)), "what every package has is the CPU"
    lists = re.findall(r"providers=\[(.*?)\]", own)
    assert set(lists) <= {f'"{load_provider(provider).execution_provider}"'}
    assert bool(lists) == ("InferenceSession(" in own and "```python" in own and provider != "qnn")
    assert not re.search(r"[^\n]\n +\n", text)


def test_every_provider_has_a_word_or_is_there_by_itself() -> None:
    assert set(WORDS) | UNNAMED == set(provider_names())


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family[0])
@pytest.mark.parametrize(("target", "provider"), PLACES)
def test_the_code_names_the_bundles_provider_and_no_other(
    target: str, provider: str, family: Family
) -> None:
    for found in manifests(family, target, provider):
        asks(code_sections(found, family[1]), target, provider)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_recipe_has_code_for_each_of_its_targets(path: Path) -> None:
    """A recipe's own provider is asked for, or the CPU where it trains."""
    for build in resolve_all(load_recipe(path)):
        target = load_target(build.target)
        language = target.training_language if build.section(Training) else target.language
        assert asking(load_language(language), load_provider(build.provider)) is not None
        for family in FAMILIES:
            if family[0] != build.family or build.section(Training):
                continue
            whole = build.compose == "single-file"
            for takes in family[2] if whole else family[3]:
                found = manifest(build.target, build.provider, takes, family[0], "sequence_length")
                asks(code_sections(found, family[1]), build.target, build.provider)


def test_the_walk_meets_every_template_that_runs_a_model() -> None:
    walked = set()
    for family in FAMILIES:
        for target, provider in PLACES:
            for found in manifests(family, target, provider):
                takes = {i["name"]: i["axes"] for i in found["variants"]["v1"]["inputs"]}
                names = family[1].templates(load_target(target).language, takes).values()
                walked |= {(family[0], f"{name}.md") for each in names for name in each}
    there = {
        (family, path.name)
        for family in {item[0] for item in FAMILIES}
        for path in rooms.files(f"families.{family.replace('-', '_')}.templates", "*.md")
    }
    assert there == walked


def test_only_a_client_that_cannot_ask_says_that_it_runs_on_the_cpu() -> None:
    told = {
        (target, provider)
        for target, provider in PLACES
        for family in FAMILIES
        for found in manifests(family, target, provider)
        if "this code runs on the CPU" in code_sections(found, family[1])
    }
    assert told == {
        *(("android", "xnnpack"), ("android", "nnapi")),
        *(("ios", "coreml"), ("ios", "xnnpack")),
        *(("desktop", "openvino"), ("windows", "openvino")),
    }


@pytest.mark.parametrize(
    "path", sorted(rooms.files(training_code.ROOM, "*.md")), ids=lambda path: path.stem
)
def test_the_code_that_trains_names_none_since_training_runs_on_the_cpu(path: Path) -> None:
    assert named(path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(("target", "provider"), PLACES)
def test_a_targets_language_can_ask_for_each_of_its_providers(target: str, provider: str) -> None:
    language = load_target(target).language
    asked = asking(load_language(language), load_provider(provider))
    assert bool(asked.code or asked.argument or asked.note) == (
        language == "python" or provider not in UNNAMED
    )


@pytest.mark.parametrize("name", language_names())
def test_what_a_language_asks_with_has_a_source(name: str) -> None:
    for provider, asked in load_language(name).providers.items():
        assert provider in provider_names()
        assert bool(asked.source) == bool(asked.code or asked.argument or asked.note)


def test_a_pair_that_lacks_code_is_an_error() -> None:
    with pytest.raises(PlanError, match="no code in Swift asks for Qualcomm QNN") as caught:
        code_sections(manifest("ios", "qnn", "image", "image-classification"), IMAGES)
    assert "targets/languages/swift.yaml" in (caught.value.hint or "")
    assert "coreml, cpu, xnnpack" in (caught.value.hint or "")


def test_a_template_that_lacks_the_place_or_is_not_there_is_an_error() -> None:
    language = load_language("kotlin")
    with pytest.raises(BundleError, match="would not ask for NNAPI") as caught:
        module.filled("text.kotlin", "no place", language, load_provider("nnapi"), {})
    assert "$provider" in (caught.value.why or "")
    bare = replace(IMAGES)
    object.__setattr__(bare, "templates", lambda language, takes: {})
    with pytest.raises(BundleError, match="the family image-classification brings no code"):
        code_sections(manifest("ios", "cpu", "image", "image-classification"), bare)
    with pytest.raises(BundleError, match=r"no template image\.transformers\.md"):
        module.template("families.image_classification.templates", "image.transformers")


JOINED = """
import sys
from pathlib import Path
from olive_build import rooms
rooms.extend(Path(sys.argv[1]))
from olive_build.cli import main
sys.argv = ["olive-build", "plan", sys.argv[2]]
sys.exit(main())
"""


def kiosk(folder: Path) -> tuple[Path, Path]:
    """Write a target in C# of which the default provider is XNNPACK, and a recipe for it."""
    targets = folder / "joined" / "targets"
    (targets / "providers").mkdir(parents=True)
    text = next(rooms.files("targets", "android.yaml")).read_text(encoding="utf-8")
    text = text.replace("language: kotlin", "language: csharp")
    (targets / "kiosk.yaml").write_text(text, encoding="utf-8")
    recipe = (ROOT / "recipes" / "neo-tiny.yaml").read_text(encoding="utf-8")
    shutil.copytree(ROOT / "recipes" / "neo-tiny", folder / "neo-tiny")
    here = "\ntargets:\n  kiosk:\n    variants: [int8]\n"
    path = folder / "neo-tiny.yaml"
    path.write_text(re.sub(r"\ntargets:\n(?:  .*\n|\n)+", here, recipe), encoding="utf-8")
    return targets, path


def plan(joined: Path, recipe: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", JOINED, str(joined), str(recipe)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def test_a_joined_target_whose_language_cannot_ask_for_its_provider_is_told_by_the_plan(
    tmp_path: Path,
) -> None:
    targets, recipe = kiosk(tmp_path)
    done = plan(targets.parent, recipe)
    assert done.returncode == 3, done.stderr
    assert "no code in C# asks for XNNPACK" in done.stderr


def test_a_joined_provider_says_how_code_asks_for_it(tmp_path: Path) -> None:
    targets, recipe = kiosk(tmp_path)
    target = targets / "kiosk.yaml"
    target.write_text(target.read_text("utf-8").replace("xnnpack", "toy"), encoding="utf-8")
    text = next(rooms.files("targets.providers", "xnnpack.yaml")).read_text(encoding="utf-8")
    text += "operators_of: xnnpack\ncode:\n  csharp: {code: options.Toy();, source: assumed}\n"
    (targets / "providers" / "toy.yaml").write_text(text, encoding="utf-8")
    done = plan(targets.parent, recipe)
    assert done.returncode == 0, done.stderr


def test_a_pair_is_said_once() -> None:
    language, provider = load_language("kotlin"), load_provider("nnapi")
    twice = replace(provider, code={"kotlin": language.providers["nnapi"]})
    with pytest.raises(DataError, match=r"'code\.kotlin' of nnapi is in its language's file too"):
        asking(language, twice)

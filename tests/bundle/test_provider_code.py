"""The code of every template asks for the bundle's provider, and for no other."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from olive_build.bundle import code_sections as module
from olive_build.bundle.code_sections import FURTHER, code_sections
from olive_build.families.sentence_embedding.modules import Pooling
from olive_build.targets import load_provider, load_target, provider_names, target_names

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from family_facts import IMAGES, SENTENCES, SPEECH, WRITERS, speech_manifest  # noqa: E402

TEMPLATES = Path(module.__file__).parent / "templates"
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
# Each family with the inputs by which it chooses its template.
FAMILIES = (
    ("sentences", SENTENCES, ("in_here", "input_ids")),
    (
        "sentences-unpooled",
        replace(SENTENCES, modules=(Pooling(("cls", "max"), True),)),
        ("input_ids",),
    ),
    ("images", IMAGES, ("image", "pixel_values")),
    ("speech", SPEECH, ("audio_pcm", "audio_stream", "input_features")),
    ("generation", WRITERS, ("input_ids", "max_new_tokens")),
)
PLACES = [(target, name) for target in target_names() for name in load_target(target).providers]


def manifest(target: str, provider: str, takes: str) -> dict[str, Any]:
    """Return what code is written from; of speech also the inputs beside the audio."""
    found = speech_manifest(target, takes, provider)
    if takes not in ("audio_pcm", "audio_stream"):
        value = {"name": takes, "type": "int64", "axes": [1, 61]}
        output = {"name": "out_there", "type": "float", "axes": [1, 61, 77]}
        found["variants"]["v1"] |= {"inputs": [value], "outputs": [output]}
    return found


def named(text: str) -> set[str]:
    """Return the providers that the blocks of code in a text name."""
    code = "\n".join(re.findall(r"```\w+\n(.*?)```", text, re.DOTALL)).lower()
    return {name for name, word in WORDS.items() if re.search(word, code)}


def takes_of(family: tuple[str, Any, tuple[str, ...]], target: str) -> list[str]:
    """Return the inputs for which a target has a template, and operators where audio is one."""
    _, facts, inputs = family
    found = load_target(target)
    takes_audio = found.extension_packages or "audio" not in inputs[0]
    return [
        takes
        for takes in inputs
        if (TEMPLATES / facts.template(found.template, takes)).is_file()
        and (takes_audio or not takes.startswith("audio"))
    ]


def test_every_provider_has_a_word_or_is_there_by_itself() -> None:
    assert set(WORDS) | UNNAMED == set(provider_names())


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family[0])
@pytest.mark.parametrize(("target", "provider"), PLACES)
def test_the_code_names_the_bundles_provider_and_no_other(
    target: str, provider: str, family: tuple[str, Any, tuple[str, ...]]
) -> None:
    for takes in takes_of(family, target):
        text = code_sections(manifest(target, provider, takes), family[1])
        own, *further = text.split("\n### ")
        if "```" in own and "this code runs on the CPU" not in own:
            assert named(own) == {provider} - UNNAMED, takes
        else:
            assert not named(own), takes
        assert not any(map(named, further)), "what every package has is the CPU"
        lists = re.findall(r"providers=\[(.*?)\]", own)
        assert set(lists) <= {f'"{load_provider(provider).execution_provider}"'}
        assert not re.search(r"[^\n]\n +\n", text)


def test_the_walk_meets_every_template_that_runs_a_model() -> None:
    walked = {
        facts.template(load_target(target).template, takes)
        for target, family in product(target_names(), FAMILIES)
        for facts in (family[1],)
        for takes in takes_of(family, target)
    }
    walked |= {name for path in walked for _, names in FURTHER.get(path, ()) for name in names}
    there = {path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.md")}
    assert there - walked == {path for path in there if path.startswith("training/")}


def test_only_a_client_that_cannot_ask_says_that_it_runs_on_the_cpu() -> None:
    told = {
        (target, provider)
        for target, provider in PLACES
        for family in FAMILIES
        for takes in takes_of(family, target)
        if "this code runs on the CPU"
        in code_sections(manifest(target, provider, takes), family[1])
    }
    assert told == {
        *(("android", "xnnpack"), ("android", "nnapi"), ("android", "qnn")),
        *(("ios", "coreml"), ("ios", "xnnpack")),
        *(("desktop", "openvino"), ("windows", "openvino"), ("windows", "qnn")),
    }


@pytest.mark.parametrize(
    "path", sorted((TEMPLATES / "training").glob("*.md")), ids=lambda p: p.stem
)
def test_the_code_that_trains_names_none_since_training_runs_on_the_cpu(path: Path) -> None:
    assert named(path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(("target", "provider"), PLACES)
def test_a_targets_language_can_ask_for_each_of_its_providers(target: str, provider: str) -> None:
    language = load_target(target).language
    asked = load_provider(provider).code_in(language)
    assert bool(asked) == (language != "python" and provider not in UNNAMED)

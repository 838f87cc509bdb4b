"""The code of a bundle's README: templates in the target's language, filled from the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any

from olive_build.bundle.feeds import SAMPLES, feeds
from olive_build.families.facts import Facts
from olive_build.targets import Provider, load_provider, load_target

# The provider that every package has.
EVERYWHERE = "cpu"
# Of the line in a class's constructor that asks for a provider.
INDENT = 8
# React Native and .NET, after the language of the system.
ELSEWHERE = (
    ("From React Native", ("speech/javascript.md",)),
    ("From .NET MAUI", ("speech/maui.md", "speech/csharp.md")),
)
MICROPHONE = ("From the microphone", ("speech/microphone.md",))
# What is asked of a family's models where the recipe says nothing.
DEFAULTS = {"language": "en", "task": "transcribe", "max_new_tokens": "40"}
# What files take that write texts by themselves.
SEARCH = "max_new_tokens"
# What follows a template: headings, and the templates under each.
FURTHER: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "speech/kotlin.md": (MICROPHONE, *ELSEWHERE),
    "speech/swift.md": ELSEWHERE,
    "generation/transformers_js.md": (("From Python", ("generation/loop.md",)),),
}
# Code of transformers.js, whose language is not its template's name.
CLIENT, CLIENT_LANGUAGE = "transformers_js.md", "javascript"


def code_sections(manifest: Mapping[str, Any], facts: Facts) -> str:
    """Return the code that loads the first variant, and what else there is to say of it.

    Raises BundleError for an input that no code of ours can give.
    """
    target = load_target(manifest["target"])
    takes = _takes(_first_variant(manifest)[1]["inputs"])
    path = facts.template(target.template, takes)
    provider = load_provider(manifest["provider"])
    sections = [_filled(path, manifest, facts, provider)]
    if path.endswith(CLIENT) and not _asking_for(provider, CLIENT_LANGUAGE):
        sections += _by_the_cpu(provider)
    sections += [note] if (note := facts.placeholders(takes).get("limits")) else []
    for title, templates in FURTHER.get(path, ()):
        if takes != SAMPLES and title == MICROPHONE[0]:
            continue
        texts = [_filled(each, manifest, facts, load_provider(EVERYWHERE)) for each in templates]
        sections.append("\n\n".join((f"### {title}", *texts)))
    return "\n\n".join(sections)


def _filled(path: str, manifest: Mapping[str, Any], facts: Facts, provider: Provider) -> str:
    template = files("olive_build.bundle").joinpath("templates", *path.split("/"))
    name, variant = _first_variant(manifest)
    inputs, output = variant["inputs"], variant["outputs"][-1]
    code, takes = path.rpartition("/")[2].removesuffix(".md"), _takes(inputs)
    options = DEFAULTS | manifest.get("model", {}).get("options", {})
    known = {
        name: Template(text).safe_substitute(options)
        for name, text in facts.placeholders(takes).items()
    }
    names = {
        "recipe": manifest["recipe"],
        "variant": name,
        "file": _file(variant["files"]),
        "input": inputs[0]["name"],
        "output": output["name"],
        "dimensions": output["axes"][-1],
        "length": inputs[0]["axes"][-1],
        "execution_provider": provider.execution_provider,
        "provider": _asking_for(provider, CLIENT_LANGUAGE if path.endswith(CLIENT) else code),
        **known,
    }
    names |= feeds(code, inputs, known)
    text = _without_empty_lines(template.read_text(encoding="utf-8"), names)
    return Template(text).substitute(names).strip()


def _asking_for(provider: Provider, language: str) -> str:
    """Return what asks for a provider, its lines indented as templates have the first of them."""
    return provider.code_in(language).replace("\n", "\n" + " " * INDENT)


def _by_the_cpu(provider: Provider) -> list[str]:
    """Say so where a client runs a model on the CPU that was built for another provider."""
    if provider.execution_provider == load_provider(EVERYWHERE).execution_provider:
        return []
    return [f"transformers.js cannot ask for {provider.title}: this code runs on the CPU."]


def _takes(inputs: Sequence[Mapping[str, Any]]) -> str:
    """Return the input that says what kind of file it is: its first, or a search's own."""
    names = [item["name"] for item in inputs]
    return SEARCH if SEARCH in names else str(names[0])


def _without_empty_lines(text: str, names: Mapping[str, Any]) -> str:
    """Return a template without the lines that hold one placeholder alone, which is empty."""
    empty = {f"${name}" for name, value in names.items() if value == ""}
    return "\n".join(line for line in text.split("\n") if line.strip() not in empty)


def _first_variant(manifest: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    variants: dict[str, dict[str, Any]] = manifest["variants"]
    return next(iter(variants.items()))


def _file(roles: Mapping[str, str]) -> str:
    """Return the file that code loads: the .onnx, or what comes first where there are several."""
    return roles.get("onnx") or roles.get("ort") or next(iter(roles.values()))

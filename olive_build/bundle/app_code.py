"""The code of a bundle's README: templates of a language, filled from the manifest.

What a model is asked, the templates of its family know; how a language asks for a provider and
writes a graph's inputs, `targets/languages/`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

from olive_build import rooms
from olive_build.errors import BundleError
from olive_build.families.facts import Facts
from olive_build.record.manifest import (
    Manifest,
    Value,
)
from olive_build.targets import (
    Inputs,
    Language,
    Provider,
    asking,
    load_language,
    load_provider,
    load_target,
)

# The provider that every package has: what comes after the bundle's own code runs on it.
EVERYWHERE = "cpu"
# The inputs that carry audio, and what an application calls that.
AUDIO = {"audio_pcm": "samples", "audio_stream": "file"}
# A place that has a line of a template to itself.
ALONE = re.compile(r"( *)\$(\w+)")
# What an application starts with. `max_length` is the model's own.
VALUES: dict[str, float] = {
    "min_length": 1,
    "num_beams": 1,
    "num_return_sequences": 1,
    "length_penalty": 1.0,
    "repetition_penalty": 1.0,
}


def loading_code(manifest: Manifest, facts: Facts) -> list[str]:
    """Return the sections of code that runs the first variant of a bundle, of a model with `facts`.

    Raises BundleError for an input that no code of ours can give and for a template that is not
    there, PlanError where nothing says how the code asks for the provider.
    """
    provider = load_provider(manifest.provider)
    room = _templates(manifest.model.family)
    name, variant = manifest.first
    inputs, output = variant.inputs, variant.outputs[-1]
    takes = {item.name: item.axes for item in inputs}
    known = facts.placeholders(takes, manifest.model.options)
    names = {
        "recipe": manifest.recipe,
        "variant": name,
        "file": variant.loaded,
        "input": inputs[0].name,
        "output": output.name,
        "dimensions": output.axes[-1],
        "length": inputs[0].axes[-1],
        **known,
    }
    sections = []
    for title, paths in facts.templates(load_target(manifest.target).language, takes).items():
        sections += [f"### {title}"] if title else []
        for path in paths:
            text, language = template(room, path)
            given = _given(language, inputs, known) if language else {}
            sections += filled(path, text, language, provider, names | given)
        sections += [known["limits"]] if not title and known.get("limits") else []
        provider = load_provider(EVERYWHERE)
    if not sections:
        raise BundleError(
            f"the family {manifest.model.family} brings no code that loads a bundle",
            hint="name templates in `templates` of its facts",
        )
    return sections


def _templates(family: str) -> str:
    """Return the room of the templates that a family's facts name."""
    folder = family.replace("-", "_")
    return "tasks.templates" if folder in rooms.names("tasks") else f"families.{folder}.templates"


def template(room: str, path: str) -> tuple[str, Language | None]:
    """Return a template ("text.kotlin") of a room, and its language where it has one."""
    language = path.partition(".")[2]
    found = next(rooms.files(room, f"{path}.md"), None)
    if found is None:
        raise BundleError(
            f"there is no template {path}.md for the README's code",
            why="the model's family has no code for this kind of file in the target's language",
            hint=f"add olive_build/{room.replace('.', '/')}/{path}.md",
        )
    return found.read_text(encoding="utf-8"), load_language(language) if language else None


def filled(
    path: str,
    text: str,
    language: Language | None,
    provider: Provider,
    names: Mapping[str, Any],
) -> list[str]:
    """Return a template with its places filled, and what is to be said below it."""
    if language is None:
        return [fill(text, names)]
    asked = asking(language, provider)
    places = {
        "provider": asked.code,
        "provider_imports": asked.imports,
        "provider_argument": asked.argument,
    }
    # The CPU is there by itself.
    there = {*Template(text).get_identifiers(), *(places if provider.name == EVERYWHERE else ())}
    if lacking := [place for place, value in places.items() if value and place not in there]:
        raise BundleError(
            f"the README's code would not ask for {provider.title}",
            why=f"its template {path}.md has no ${lacking[0]}",
            hint="add it where the template makes the session",
        )
    return [fill(text, {**names, **places}), *([asked.note] if asked.note else [])]


def fill(text: str, names: Mapping[str, Any]) -> str:
    """Return a template with its places filled.

    The lines of what has a line to itself are indented as that is; nothing leaves no line.
    """
    lines = []
    for line in text.split("\n"):
        alone = ALONE.fullmatch(line)
        if alone is None:
            lines.append(Template(line).substitute(names))
        elif names[alone[2]] != "":
            lines += [alone[1] + each for each in str(names[alone[2]]).split("\n")]
    return "\n".join(lines).strip()


def _given(language: Language, inputs: Sequence[Value], known: Mapping[str, str]) -> dict[str, str]:
    """Return what a template names of the inputs of a graph that takes audio.

    `audio` is the value of the audio, which must be the first of `inputs`; `name`, `given` and
    `array` are its variable, how a function declares it and its kind; `imports` are lines that only
    this audio needs; `feeds` is a line for each other input, in their order. `known` is what the
    model's facts say: the most tokens of a text. A language without inputs has none of these.
    Raises BundleError for an input whose value or type no application could know from here.
    """
    forms, first = language.inputs, inputs[0]
    if forms is None or first.name not in AUDIO:
        return {}
    values = VALUES | {"max_length": int(known["longest_text"])}
    name, kind = AUDIO[first.name], of_type(forms.types, first.name, first.type)
    return {
        "name": name,
        "given": language.parameter.format(name=name, type=kind),
        "array": kind,
        "imports": forms.imports.get(first.type, ""),
        "audio": forms.array[first.type].format(name=name),
        "feeds": "\n".join(_entry(forms, item, values) for item in inputs[1:]),
    }


def _entry(forms: Inputs, item: Value, values: Mapping[str, float]) -> str:
    name, kind = item.name, item.type
    if name not in values or item.axes != (1,):
        raise unknown(name, f"its axes are {list(item.axes)}, and no value is known for it")
    number = of_type(forms.number, name, kind)
    value = float(values[name]) if kind == "float" else int(values[name])
    return forms.entry.format(input=name, value=number.format(value=value))


def of_type(forms: Mapping[str, str], name: str, kind: str) -> str:
    """Return what a language writes of a type. Raises BundleError for one that it lacks."""
    if kind not in forms:
        raise unknown(name, f"it is {kind}, and the code knows {', '.join(forms)}")
    return forms[kind]


def unknown(name: str, why: str, hint: str = "") -> BundleError:
    """Return the error of an input that no code can give."""
    return BundleError(
        f"the README's code cannot give the input '{name}'",
        why=why,
        hint=hint or "add it to olive_build/targets/languages/ or olive_build/bundle/app_code.py",
    )

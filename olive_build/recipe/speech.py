"""The section `speech`: what a model that transcribes is asked for."""

from __future__ import annotations

from olive_build.families import FAMILIES, FamilySpec
from olive_build.recipe.build import Speech
from olive_build.recipe.codes import Code
from olive_build.recipe.family_sections import SpeechSpec
from olive_build.recipe.place import Place
from olive_build.recipe.suggest import listed

SECTION = "speech"


def speech_for(place: Place, family: FamilySpec) -> Speech | None:
    """Return what is asked of a family that transcribes; None for the others.

    Reports the section where the family is none of those.
    """
    own, common = place.spec.speech or SpeechSpec(), place.context.recipe.speech
    if SECTION in family.options:
        return Speech(
            language=own.language or common.language,
            task=own.task or common.task or "transcribe",
            input=own.input or common.input or "audio_pcm",
        )
    path = place.where(SECTION)
    if place.context.written(path) and path[-1] == SECTION:
        able = [name for name, spec in FAMILIES.items() if SECTION in spec.options]
        place.add(
            Code.CANNOT_RUN,
            path,
            f"`speech` says nothing to models of {family.name}",
            hint="remove it",
            notes=(f"it is for {listed(able)}",),
        )
    return None

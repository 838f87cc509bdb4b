"""A configuration -> a recipe that `validate` finds nothing wrong with, and what was left out."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from olive_build.errors import UsageError
from olive_build.importing.asked import Asked
from olive_build.importing.configuration import read_configuration
from olive_build.importing.engine import say_engine
from olive_build.importing.goals import say_goals
from olive_build.importing.ledger import Found, Ledger, Left, Part
from olive_build.importing.model import say_model
from olive_build.importing.passes import say_passes
from olive_build.importing.systems import say_fixed_shapes, say_targets
from olive_build.recipe.diagnostics import Diagnostic, RecipeErrors
from olive_build.recipe.draft import Draft, Setting, shown
from olive_build.recipe.load import LoadedRecipe, check_text
from olive_build.recipe.model import LONGEST_NAME, VERSION
from olive_build.recipe.tree import KeyPath

MOST_TOLD = 5


@dataclass(frozen=True)
class Imported:
    """A recipe's text, checked, and what of the configuration has no counterpart in it."""

    text: str
    recipe: LoadedRecipe
    left: tuple[Left, ...]


def recipe_name(configured: Path) -> str:
    """Return a recipe's name made of a file's, without the signs that no name has."""
    lower = re.sub(r"[^a-z0-9.-]", "-", configured.stem.lower())
    return lower.strip(".-")[:LONGEST_NAME] or "imported"


def convert(configured: Path, asked: Asked) -> Imported:
    """Return the recipe for a configuration; what a target cannot do is left out of it and listed.

    Raises UsageError where the file is no configuration, or its model none that can be built.
    """
    ledger, draft = Ledger(read_configuration(configured)), Draft()
    root = Part(ledger, Found((), ledger.configuration), "engine")
    draft.say(("recipe",), VERSION)
    draft.say(("name",), asked.recipe.stem)
    draft.say(("description",), f"Imported from {configured.name}", remark="say what it is for")
    family = say_model(ledger, draft, asked, configured)
    say_engine(ledger, root)
    say_targets(ledger, draft, root)
    say_passes(ledger, draft)
    say_fixed_shapes(draft, family)
    say_goals(ledger, draft, root, family)
    for field, path in (("data", asked.data), ("calibration", asked.calibration)):
        if path is not None:
            text = Path(os.path.relpath(path, asked.recipe.parent)).as_posix()
            draft.say(("verify", field, "file"), text, remark=f"--{field}")
    recipe = _settled(ledger, draft, asked)
    left = ledger.listed()
    text, _ = draft.text(_head(configured), _end(left))
    return Imported(text, recipe, left)


def _head(configured: Path) -> list[str]:
    return [
        f"Imported by olive-build from {configured.name}, a run configuration of Olive.",
        "Behind a setting stands the key that it was made of; docs/import.md has the rules.",
        "",
    ]


def _end(left: Sequence[Left]) -> list[str]:
    lines = [f"  {shown(item.where)}: {item.why}" for item in left]
    return ["Without counterpart in a recipe:", *lines] if lines else []


def _settled(ledger: Ledger, draft: Draft, asked: Asked) -> LoadedRecipe:
    """Check the draft as `validate` does; take away what is refused, as long as it can go."""
    while True:
        text, places = draft.text()
        try:
            return check_text(text, asked.recipe, model_roots=asked.model_roots)
        except RecipeErrors as error:
            wrong = [item for item in error.diagnostics if item.severity == "error"]
        gone = [_dropped(ledger, draft, places[item.line - 1], item) for item in wrong]
        if not any(gone):
            raise UsageError(
                "the configuration does not become a recipe that can be built",
                where=str(asked.recipe),
                why="\n".join(_told(item) for item in wrong[:MOST_TOLD]),
                hint="see docs/import.md: --model, --task, --data and --calibration say what the "
                "configuration doesn't",
            )


def _told(diagnostic: Diagnostic) -> str:
    return "; ".join(filter(None, (diagnostic.message, *diagnostic.notes, diagnostic.hint)))


def _dropped(ledger: Ledger, draft: Draft, path: KeyPath, diagnostic: Diagnostic) -> bool:
    """Take a refused setting out of the draft, and list where it came from; whether it could go."""
    whole = _whole(draft, path)
    gone = draft.drop(whole) if whole else ()
    if len(whole) == 4 and whole[2] == "variants" and gone:
        gone = (*gone, *_without_variant(draft, whole, str(gone[0].value)))
    why = "; ".join((diagnostic.message, *diagnostic.notes))
    for where in dict.fromkeys(where for setting in gone for where in setting.origin):
        ledger.leave(where, f"refused: {why}")
    return bool(gone)


def _whole(draft: Draft, path: KeyPath) -> KeyPath:
    """Return what goes where the setting at `path` is refused; () where nothing may."""
    match path:
        case ("export" | "fuse", _, *_) | ("verify", "every_variant", _, *_):
            return path
        case ("passes", int(), "options", str(), *_):
            return path[:4]
        case ("passes", int(), *_):
            return path[:2]
        case ("variants", str(), "quantize", str(knob)) if knob != "method":
            return path
        case ("variants", str() as name, *_):
            for at, setting in draft.below(("targets",)).items():
                if len(at) == 4 and at[2] == "variants" and setting.value == name:
                    return at
        case ("targets", str(), "variants", int()):
            return path
    return ()


def _without_variant(draft: Draft, at: KeyPath, name: str) -> tuple[Setting, ...]:
    """Take away a variant that no target builds any more; a target without any builds fp32."""
    target = at[:2]
    if not draft.below((*target, "variants")):
        draft.say((*target, "variants", 0), "fp32", remark="what the passes ask for is refused")
    built = {
        setting.value for place, setting in draft.below(("targets",)).items() if "variants" in place
    }
    return () if name in built else draft.drop(("variants", name))

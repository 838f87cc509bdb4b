"""Where a variant loses fidelity: stages, layers by damage, and what to change in the recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olive_build.engine.trees import replace_file
from olive_build.errors import UsageError
from olive_build.recipe.find import recipe_names
from olive_build.record.read import MANIFEST
from olive_build.report.attribution_sources import (
    Compared,
    compare_build,
    compare_bundle,
    compare_files,
)
from olive_build.report.blocks import Chart
from olive_build.report.charts import damage_plot
from olive_build.report.damage import DamageView, LayerView, SuggestionView, to_json
from olive_build.report.render.terminal import blocks_lines
from olive_build.report.sections.layers import blocks_of
from olive_build.select import Selection

if TYPE_CHECKING:
    from olive_build.attribution.damage import Attribution, LayerDamage
    from olive_build.attribution.suggest import Suggestion

SAMPLES = 32


@dataclass(frozen=True)
class ExplainQuality:
    """What is explained: a recipe for a target, a bundle's folder, or two ONNX files, fp32 first.

    The latter are `selected.recipe` too.
    """

    selected: Selection
    variant: str | None = None
    inputs: Path | None = None
    samples: int | None = None


def print_quality(asked: ExplainQuality, *, plot: Path | None, as_json: bool) -> None:
    """Print which layers of a bundle's variant, or of one file against another, do most damage.

    Raises UsageError for words that are neither a bundle nor two ONNX files.
    """
    found = explain_quality(_compared(asked))
    if plot is not None:
        drawn = [item for item in found.layers if not item.is_exact]
        write_plot(plot, damage_plot(f"Damage by layer: {found.variant}", drawn))
    if as_json:
        click.echo(json.dumps(to_json(found), indent=2))
        return
    for line in lines(found):
        click.echo(line)
    if plot is not None:
        click.echo(f"\nplot: {plot}")


def _compared(asked: ExplainQuality) -> Compared:
    words = asked.selected.recipe
    paths = [Path(word) for word in words]
    samples = asked.samples or SAMPLES
    if len(paths) == 2 and not any(path.is_dir() for path in paths):
        if asked.variant is not None:
            raise UsageError("--variant belongs to a bundle; two files have none")
        return compare_files(paths[0], paths[1], asked.inputs, samples)
    names_recipe = words[0].endswith(".yaml") or words[0] in recipe_names(asked.selected.recipes)
    if len(paths) == 1 and names_recipe and not (paths[0] / MANIFEST).exists():
        return compare_build(asked.selected, asked.variant, samples)
    if len(paths) != 1 or (paths[0].exists() and not paths[0].is_dir()):
        raise UsageError(
            "explain --quality takes one recipe, one bundle, or two ONNX files",
            why=f"given were {', '.join(words)}",
            hint="olive-build explain --quality outputs/RECIPE/TARGET\n"
            "olive-build explain --quality RECIPE --target TARGET\n"
            "olive-build explain --quality FP32.onnx VARIANT.onnx",
        )
    if asked.inputs is not None:
        raise UsageError("--inputs belongs to two files; a bundle brings its own")
    return compare_bundle(paths[0], asked.variant, asked.selected.recipes, samples)


def explain_quality(compared: Compared) -> DamageView:
    """Measure the layers and try the exclusions that promise most."""
    from olive_build.attribution.damage import attribute
    from olive_build.attribution.layers import changed_layers
    from olive_build.attribution.match import matching_points
    from olive_build.attribution.suggest import suggest

    graphs = compared.reference, compared.variant
    layers = changed_layers(*graphs, matching_points(*graphs, compared.feeds))
    attribution = attribute(*graphs, compared.feeds, measure=compared.measure, layers=layers)
    suggestions = suggest(attribution.layers, *graphs, compared.feeds, measure=compared.measure)
    return view_of(compared, attribution, suggestions)


def lines(found: DamageView) -> Iterator[str]:
    """Return what is printed: the blocks of the report, but for pictures of what tables say."""
    blocks = blocks_of("layers", found)
    return blocks_lines([block for block in blocks if not isinstance(block, Chart)])


def recipe_change(compared: Compared, best: Suggestion) -> str:
    """Return the YAML that keeps the best suggestion's layers in fp32."""
    import yaml

    kept = compared.excluded
    exclude = [*kept, *(pattern for pattern in best.exclude if pattern not in kept)]
    if compared.variant_name is None:
        change: dict[str, Any] = {"exclude": exclude}
    else:
        method = compared.quantize.get("method")
        settings = {**({"method": method} if method else {}), "exclude": exclude}
        change = {"variants": {compared.variant_name: {"quantize": settings}}}
    text: str = yaml.safe_dump(change, sort_keys=False, allow_unicode=True, width=100)
    return text


def view_of(
    compared: Compared, found: Attribution, suggestions: Sequence[Suggestion]
) -> DamageView:
    """Return what is shown of a comparison."""
    return DamageView(
        reference=compared.labels[0],
        variant=compared.labels[1],
        inputs=compared.inputs,
        samples=found.samples,
        matching_points=found.points,
        loss=found.whole,
        notes=compared.notes,
        stages=compared.stages,
        layers=tuple(map(_layer, found.layers)),
        suggestions=tuple(map(_suggestion, suggestions)),
        recipe_change=recipe_change(compared, suggestions[0]) if suggestions else None,
    )


def _layer(item: LayerDamage) -> LayerView:
    return LayerView(
        node=item.layer.name,
        operator=item.layer.operator,
        precision=item.layer.precision,
        own_db=item.own_db,
        damage=item.damage,
        share=item.share,
        accumulated_db=item.accumulated_db,
        reference_bytes=item.layer.reference_bytes,
        variant_bytes=item.layer.variant_bytes,
    )


def _suggestion(item: Suggestion) -> SuggestionView:
    return SuggestionView(
        item.exclude,
        tuple(layer.name for layer in item.layers),
        item.added_bytes,
        item.expected,
        item.before,
        item.after,
        item.gain,
    )


def write_plot(path: Path, picture: str) -> None:
    """Write the picture. Raises UsageError when the file cannot be written."""
    try:
        replace_file(path, picture.encode("utf-8"))
    except OSError as error:
        raise UsageError(
            "the plot cannot be written", where=str(path), why=error.strerror or str(error)
        ) from error

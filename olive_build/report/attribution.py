"""Where a variant loses fidelity: stages, layers by damage, and what to change in the recipe."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olive_build.engine.trees import replace_file
from olive_build.errors import UsageError
from olive_build.report.attribution_sources import (
    Compared,
    Stage,
    compare_bundle,
    compare_files,
)
from olive_build.report.blocks import ColumnOf, table
from olive_build.report.charts import Damage, damage_plot
from olive_build.report.numbers import figure, megabytes, title_of
from olive_build.report.render.terminal import block_lines
from olive_build.report.style import paint

if TYPE_CHECKING:
    from olive_build.attribution.damage import Attribution, LayerDamage
    from olive_build.attribution.layers import Layer
    from olive_build.attribution.suggest import Suggestion

SAMPLES = 32
SHOWN = 20
# A rewritten place whose noise is below this is the same but for rounding.
EXACT_DB = 80.0


@dataclass(frozen=True)
class ExplainQuality:
    """What is explained: `words` are a bundle's folder or two ONNX files, fp32 first."""

    words: tuple[str, ...]
    recipes: Path
    variant: str | None = None
    inputs: Path | None = None
    samples: int | None = None


@dataclass(frozen=True)
class Explained:
    """All that is shown of one comparison."""

    compared: Compared
    attribution: Attribution
    suggestions: tuple[Suggestion, ...]


def print_quality(asked: ExplainQuality, *, plot: Path | None, as_json: bool) -> None:
    """Print which layers of a bundle's variant, or of one file against another, do most damage.

    Raises UsageError for words that are neither a bundle nor two ONNX files.
    """
    explained = explain_quality(_compared(asked))
    if plot is not None:
        write_plot(plot, damage_plot(_title(explained), _drawn(explained.attribution)))
    if as_json:
        click.echo(json.dumps(as_data(explained), indent=2))
        return
    for line in lines(explained):
        click.echo(line)
    if plot is not None:
        click.echo(f"\nplot: {plot}")


def _compared(asked: ExplainQuality) -> Compared:
    paths = [Path(word) for word in asked.words]
    samples = asked.samples or SAMPLES
    if len(paths) == 2 and not any(path.is_dir() for path in paths):
        if asked.variant is not None:
            raise UsageError("--variant belongs to a bundle; two files have none")
        return compare_files(paths[0], paths[1], asked.inputs, samples)
    if len(paths) != 1 or (paths[0].exists() and not paths[0].is_dir()):
        raise UsageError(
            "explain --quality takes one bundle, or two ONNX files",
            why=f"given were {', '.join(asked.words)}",
            hint="olive-build explain --quality outputs/RECIPE/TARGET\n"
            "olive-build explain --quality FP32.onnx VARIANT.onnx",
        )
    if asked.inputs is not None:
        raise UsageError("--inputs belongs to two files; a bundle brings its own")
    return compare_bundle(paths[0], asked.variant, asked.recipes, samples)


def explain_quality(compared: Compared) -> Explained:
    """Measure the layers and try the exclusions that promise most."""
    from olive_build.attribution.damage import attribute
    from olive_build.attribution.layers import changed_layers
    from olive_build.attribution.match import matching_points
    from olive_build.attribution.suggest import suggest

    graphs = compared.reference, compared.variant
    layers = changed_layers(*graphs, matching_points(*graphs, compared.feeds))
    attribution = attribute(*graphs, compared.feeds, measure=compared.measure, layers=layers)
    suggestions = suggest(attribution.layers, *graphs, compared.feeds, measure=compared.measure)
    return Explained(compared, attribution, suggestions)


def lines(explained: Explained) -> Iterator[str]:
    """Yield what is printed."""
    compared, found = explained.compared, explained.attribution
    yield f"{compared.labels[1]}"
    yield f"against {compared.labels[0]}, on {compared.inputs}"
    for note in compared.notes:
        yield paint(note, "yellow")
    if compared.stages:
        yield ""
        yield from _stage_lines(compared.stages)
    yield ""
    yield from _layer_lines(found)
    yield ""
    yield (
        f"all together lose {_small(found.whole)} at the model's end (1 - cosine); "
        f"{found.points} matching points"
    )
    yield from _suggestion_lines(explained)


def _stage_lines(stages: Sequence[Stage]) -> Iterator[str]:
    losses: list[tuple[Stage, str]] = []
    before: float | None = None
    for stage in stages:
        now = stage.figures.get("cosine_mean")
        lost = "" if now is None or before is None else _small(max(0.0, before - now))
        before = now if now is not None else before
        losses.append((stage, stage.problem or lost))
    names = dict.fromkeys(name for stage in stages for name in stage.figures)
    shown = table(
        "stages",
        "",
        losses,
        ("step", "", lambda it: it[0].name),
        *map(_figure_column, names),
        ("lost here", "", lambda it: it[1]),
    )
    return block_lines(shown)


def _figure_column(name: str) -> ColumnOf[tuple[Stage, str]]:
    return title_of(name), "number", lambda it: figure(name, it[0].figures)


def _layer_lines(found: Attribution) -> Iterator[str]:
    ranking, exact = _ranked(found)
    shown = table(
        "layers",
        "",
        ranking[:SHOWN],
        ("layer", "", lambda it: it.layer.name),
        ("precision", "", lambda it: it.layer.precision),
        ("own noise", "number", lambda it: _decibels(it.own_db)),
        ("damage", "number", lambda it: _small(it.damage)),
        ("share", "number", lambda it: f"{it.share:.1%}"),
        ("so far", "number", lambda it: _decibels(it.accumulated_db)),
        ("size", "number", lambda it: _sizes(it.layer)),
    )
    yield from block_lines(shown)
    if len(ranking) > SHOWN:
        rest = ranking[SHOWN:]
        yield f"and {len(rest)} more with {sum(item.share for item in rest):.1%} together"
    if exact:
        least = min(item.own_db for item in exact)
        places = "1 place is" if len(exact) == 1 else f"{len(exact)} places are"
        yield f"{places} only written in another way: {_decibels(least)} or better"


def _sizes(layer: Layer) -> str:
    return f"{megabytes(layer.reference_bytes)} -> {megabytes(layer.variant_bytes)}"


def _ranked(found: Attribution) -> tuple[list[LayerDamage], list[LayerDamage]]:
    """Return the layers by damage, and apart those that differ in how they are written alone."""
    from olive_build.attribution.layers import REWRITTEN

    exact = [
        item
        for item in found.layers
        if item.layer.precision == REWRITTEN and item.own_db >= EXACT_DB
    ]
    return [item for item in found.ranking if item not in exact], exact


def _suggestion_lines(explained: Explained) -> Iterator[str]:
    if not explained.suggestions:
        yield "no exclusion that was tried takes away a part of that worth its bytes"
        return
    yield ""
    shown = table(
        "suggestions",
        "",
        explained.suggestions,
        (
            "left in fp32",
            "",
            lambda it: _shortened(it.exclude),
        ),
        ("loss", "", lambda it: f"{_small(it.before)} -> {_small(it.after)}"),
        ("gain", "number", lambda it: f"{it.gain:.0%}"),
        ("size", "number", lambda it: f"+{megabytes(it.added_bytes)}"),
        ("gain per MB", "number", lambda it: f"{it.gain / max(1, it.added_bytes) * 1e6:.1%}"),
    )
    yield from block_lines(shown)
    yield ""
    yield "what gains most for its bytes, in the recipe:"
    yield ""
    for line in recipe_change(explained).splitlines():
        yield f"    {line}"


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:2]) + ", ..." * (len(names) > 2)


def recipe_change(explained: Explained) -> str:
    """Return the YAML that keeps the best suggestion's layers in fp32."""
    import yaml

    compared, best = explained.compared, explained.suggestions[0]
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


def as_data(explained: Explained) -> dict[str, Any]:
    """Return everything as plain data: infinite ratios are null, bytes whole numbers."""
    compared, found = explained.compared, explained.attribution
    return {
        "reference": compared.labels[0],
        "variant": compared.labels[1],
        "inputs": compared.inputs,
        "samples": found.samples,
        "matching_points": found.points,
        "loss": found.whole,
        "notes": list(compared.notes),
        "stages": [
            {"step": s.name, "figures": dict(s.figures), "problem": s.problem}
            for s in compared.stages
        ],
        "layers": [_layer_data(item) for item in found.ranking],
        "suggestions": [
            {
                "exclude": list(item.exclude),
                "nodes": [layer.name for layer in item.layers],
                "added_bytes": item.added_bytes,
                "expected_gain": item.expected,
                "loss_before": item.before,
                "loss_after": item.after,
                "gain": item.gain,
            }
            for item in explained.suggestions
        ],
        "recipe_change": recipe_change(explained) if explained.suggestions else None,
    }


def _layer_data(item: LayerDamage) -> dict[str, Any]:
    layer = item.layer
    return {
        "node": layer.name,
        "operator": layer.operator,
        "precision": layer.precision,
        "own_db": item.own_db if math.isfinite(item.own_db) else None,
        "damage": item.damage,
        "share": item.share,
        "accumulated_db": item.accumulated_db if math.isfinite(item.accumulated_db) else None,
        "reference_bytes": layer.reference_bytes,
        "variant_bytes": layer.variant_bytes,
    }


def _title(explained: Explained) -> str:
    return f"Damage by layer: {explained.compared.labels[1]}"


def write_plot(path: Path, picture: str) -> None:
    """Write the picture. Raises UsageError when the file cannot be written."""
    try:
        replace_file(path, picture.encode("utf-8"))
    except OSError as error:
        raise UsageError(
            "the plot cannot be written", where=str(path), why=error.strerror or str(error)
        ) from error


def _drawn(found: Attribution) -> list[Damage]:
    exact = _ranked(found)[1]
    return [
        Damage(item.layer.name, item.layer.precision, item.share, item.own_db, item.accumulated_db)
        for item in found.layers
        if item not in exact
    ]


def _decibels(value: float) -> str:
    if value == math.inf:
        return "exact"
    return "lost" if value == -math.inf else f"{value:.1f} dB"


def _small(value: float) -> str:
    return f"{value:.1e}" if value else "0"

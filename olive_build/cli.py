"""The command line: parses, calls, prints. No logic, and nothing heavy at import."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

# Before anything is imported that would look up a host; child processes inherit them.
QUIET = {
    "CI": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "OLIVE_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
os.environ.update(QUIET)

import click  # noqa: E402

from olive_build.cli_options import (  # noqa: E402
    a_file,
    json_option,
    outputs_option,
    recipes_option,
    selection,
)
from olive_build.cli_training import train  # noqa: E402
from olive_build.cli_verify import verify  # noqa: E402
from olive_build.errors import EXIT_INTERRUPTED, OliveBuildError, UsageError  # noqa: E402

EPILOG = """\b
Begin with:
  olive-build list                       the recipes
  olive-build build all-minilm-l6-v2     all targets of one, proved
  olive-build explain all-minilm-l6-v2   what a build would do, and why

Exit codes: 0 done, 1 a bug of ours, 2 usage or recipe, 3 plan or model, 4 a step failed,
5 out of budget, 6 bundle, 130 interrupted."""


@click.group(
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="olive-build", message="%(prog)s %(version)s")
def cli() -> None:
    """Build models for the devices that people have, from one YAML recipe a model.

    A recipe says how a PyTorch model is exported, fused and quantized, and for which targets. A
    build runs Olive's passes, proves every file against PyTorch and publishes a bundle for each
    target that holds its budgets.
    """


@cli.command("list")
@recipes_option
@json_option
def list_(recipes: Path, as_json: bool) -> None:
    """List the recipes with their descriptions."""
    from olive_build.report.listing import print_recipes

    print_recipes(recipes, as_json=as_json)


@cli.command()
@click.argument("recipe", nargs=-1)
@recipes_option
@json_option
def validate(recipe: tuple[str, ...], recipes: Path, as_json: bool) -> None:
    """Check recipes and report everything that is wrong with each of them.

    RECIPE is a name or a path; without one, all recipes are checked.
    """
    from olive_build.report.validation import validate_recipes

    sys.exit(validate_recipes(recipe, recipes, as_json=as_json))


@cli.command()
@selection
@json_option
def plan(as_json: bool, **chosen: Any) -> None:
    """Show the steps of a build, what each needs, and what comes out.

    Runs none of them; a model that is not on this machine is downloaded, and one that is to be
    trained is loaded once, to see whether the recipe's `train` fits it.
    """
    from olive_build.report.plans import print_plan
    from olive_build.select import select

    print_plan(select(**chosen), smoke=chosen["smoke"], as_json=as_json)


@cli.command()
@selection
@click.option("--force", is_flag=True, help="As if every step were to run again.")
@click.option("--quality", is_flag=True, help="Say where a BUNDLE, or ONNX against ONNX, loses.")
@click.option("--variant", metavar="V", help="With --quality: which variant of the bundle.")
@click.option("--inputs", type=a_file, help="With --quality: .npz with samples for two files.")
@click.option("--plot", type=a_file, help="With --quality: write a picture to this .svg.")
@click.option("--samples", type=click.IntRange(1), help="With --quality: at most.  [default: 32]")
@json_option
def explain(force: bool, quality: bool, as_json: bool, **chosen: Any) -> None:
    """Say for each step whether a build would run it, and why. Runs none of them.

    With --quality: where a bundle, or VARIANT.onnx against FP32.onnx, loses fidelity.
    """
    if quality:
        from olive_build.report.attribution import print_quality

        print_quality(chosen, as_json=as_json)
        return
    if any(chosen[name] is not None for name in ("variant", "inputs", "plot", "samples")):
        raise click.UsageError("--variant, --inputs, --plot and --samples belong to --quality")
    from olive_build.report.plans import print_explanation
    from olive_build.select import select

    print_explanation(select(**chosen), smoke=chosen["smoke"], force=force, as_json=as_json)


@cli.command()
@selection
@outputs_option
@click.option(
    "--jobs", type=click.IntRange(1), help="Steps at once.  [default: 2, or 1 on one CPU]"
)
@click.option("--force", is_flag=True, help="Run every step again, recorded or not.")
@click.option("--keep-going", is_flag=True, help="When one target fails, build the others.")
@click.option("--strict", is_flag=True, help="Refuse a bundle with a verdict that noise left open.")
@click.option(
    "--write-recipe", type=a_file, help="Write the recipe with what its searches chose to FILE."
)
@click.option(
    "--until",
    type=click.Choice(["load", "export", "fuse", "quantize", "compose", "prove", "bundle"]),
    default="bundle",
    show_default=True,
    help="Stop after this stage; before bundle nothing is published.",
)
@json_option
def build(as_json: bool, **chosen: Any) -> None:
    """Build, prove and publish the bundles of recipes.

    RECIPE is a name in the recipes folder or the path of a file. What was built before and has
    not changed is not built again; a build that was stopped goes on where it was.
    """
    from olive_build.report.building import run_build

    sys.exit(run_build(chosen, as_json=as_json))


cli.add_command(verify)


@cli.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: a free one."
)
def serve(bundle: Path, port: int) -> None:
    """Show a web bundle of text generation in a browser on this machine.

    BUNDLE is a folder such as outputs/neo-tiny/web. Its page runs the model with what
    `make clients` installed, and asks no other host for anything.
    """
    from olive_build.report.serving import serve_bundle

    serve_bundle(bundle, port)


@cli.command()
@click.argument("bundle", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--against",
    multiple=True,
    metavar="WHAT",
    help="pytorch, fp32, a path to an .onnx file, or a peer of `make bench-peers`; repeatable.",
)
@click.option("--lengths", metavar="N,N", help="Sizes of the input.  [default: the family's]")
@click.option("--batches", metavar="N,N", help="Inputs at once.  [default: 1]")
@click.option("--threads", metavar="N,N", help="Threads of the runtime.  [default: 1]")
@click.option(
    "--seconds",
    type=click.FloatRange(0.01, 600),
    default=1.0,
    show_default=True,
    help="How long each candidate runs at each size.",
)
@recipes_option
@outputs_option
@json_option
def bench(bundle: tuple[Path, ...], as_json: bool, **chosen: Any) -> None:
    """Time bundles: latency, throughput, load time, memory, each in a process of its own, in turn.

    BUNDLE is a folder with a manifest.json. Ratios are against the first of --against.
    """
    from olive_build.report.benching import run_bench

    sys.exit(run_bench(bundle, chosen, as_json=as_json))


cli.add_command(train)


@cli.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@json_option
def diff(old: Path, new: Path, as_json: bool) -> None:
    """Compare two bundles: settings, tools, files, figures. Exit code 0 either way."""
    from olive_build.report.differences import print_differences

    print_differences(old, new, as_json=as_json)


@cli.command()
@click.argument("subject", nargs=-1, required=True)
@click.option("--output", type=a_file, help="Where the page goes.  [default: beside the bundles]")
@click.option(
    "--attribution",
    "attributions",
    type=a_file,
    multiple=True,
    help="Show the layers by damage in this JSON of `explain --quality --json`; repeatable.",
)
@click.option(
    "--layers", "measure_layers", is_flag=True, help="Measure the layers by damage now: minutes."
)
@recipes_option
@outputs_option
def report(subject: tuple[str, ...], **chosen: Any) -> None:
    """Write one HTML page about a build, or one that compares two.

    SUBJECT is a recipe that was built, or a bundle's folder; with a second one, what became
    better and worse from the first to it. The page needs no network and no script.
    """
    from olive_build.report.html.write import write_report

    write_report(subject, **chosen)


@cli.command()
@click.option("--check", is_flag=True, help="Only say whether the committed file is up to date.")
@recipes_option
def schema(check: bool, recipes: Path) -> None:
    """Write recipes/recipe.schema.json, by which editors complete and check recipes."""
    from olive_build.report.schemas import write_schema

    sys.exit(write_schema(recipes, check=check))


@cli.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check this machine: Python, packages and their versions, cache, disk, memory."""
    from olive_build.report.doctor import run_doctor

    sys.exit(run_doctor(as_json=as_json))


@cli.group()
def cache() -> None:
    """Look into, check or shrink the cache of steps."""


@cache.command("ls")
@json_option
def cache_ls(as_json: bool) -> None:
    """List what is cached, least recently used first."""
    from olive_build.report.caching import print_cache

    print_cache(as_json=as_json)


@cache.command("verify")
@json_option
def cache_verify(as_json: bool) -> None:
    """Hash everything again; what is damaged is set aside and made anew by the next build."""
    from olive_build.report.caching import verify_cache

    sys.exit(verify_cache(as_json=as_json))


@cache.command("gc")
@click.option("--max-age-days", type=click.FloatRange(0), help="Remove what was not used since.")
@click.option("--max-size-mb", type=click.FloatRange(0), help="Remove the oldest down to this.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@json_option
def cache_gc(
    max_age_days: float | None, max_size_mb: float | None, dry_run: bool, as_json: bool
) -> None:
    """Remove what was not used for long; nothing that a running build uses."""
    from olive_build.report.caching import collect_garbage

    collect_garbage(max_age_days, max_size_mb, dry_run=dry_run, as_json=as_json)


def main() -> None:
    """Run the command line; every error becomes a message and the exit code of its kind."""
    import gc
    import signal

    # Starting up makes no garbage, and looking for it takes a twentieth of the time.
    gc.set_threshold(100_000)

    # A pipeline stops a build with SIGTERM; it must leave as clean a state as Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    # A service may start it without them; what is said then goes nowhere.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    as_json = "--json" in sys.argv[1:]
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        _interrupted()
    except KeyboardInterrupt:
        _interrupted()
    except click.ClickException as error:
        if as_json:
            _say_json(UsageError(error.format_message()))
        error.show()
        sys.exit(error.exit_code)
    except OliveBuildError as error:
        _fail(error, as_json=as_json)
    except BrokenPipeError:
        # The reader (head, less) has gone; that is no error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # noqa: BLE001
        _bug(error, as_json=as_json)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _interrupted() -> None:
    builds = any(word in sys.argv[1:2] for word in ("build", "plan", "explain"))
    kept = "; what was finished is kept, the next build goes on from there" if builds else ""
    click.echo(f"interrupted{kept}", err=True)
    sys.exit(EXIT_INTERRUPTED)


def _fail(error: OliveBuildError, *, as_json: bool) -> None:
    if as_json:
        _say_json(error)
    click.echo(error.render(), err=True)
    sys.exit(error.exit_code)


def _say_json(error: OliveBuildError) -> None:
    import json

    click.echo(json.dumps({"error": error.as_json()}, indent=2))


def _bug(error: Exception, *, as_json: bool) -> None:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile(
        "w", prefix="olive-build-bug-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(f"{' '.join(sys.argv)}\n\n")
        traceback.print_exception(error, file=file)
    first = next(iter(str(error).splitlines()), "")
    bug = OliveBuildError(
        f"this is a bug of olive-build: {type(error).__name__}: {first}",
        where=f"{file.name} has the details",
        hint="please report it with that file",
    )
    _fail(bug, as_json=as_json)


if __name__ == "__main__":
    main()

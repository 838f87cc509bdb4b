"""The command line: finds its verbs, one a file of this room, and ends each with an exit code.

Nothing heavy is imported at the top of a verb: for the help all of them are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

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

from olive_build import rooms  # noqa: E402
from olive_build.errors import EXIT_INTERRUPTED, OliveBuildError, UsageError  # noqa: E402

EPILOG = """\b
Begin with:
  olive-build list                       the recipes
  olive-build build all-minilm-l6-v2     all targets of one, proved
  olive-build explain all-minilm-l6-v2   what a build would do, and why

Exit codes: 0 done, 1 a bug of ours, 2 usage or recipe, 3 plan or model, 4 a step failed,
5 out of budget, 6 bundle, 130 interrupted."""


class Verbs(click.Group):
    """The verbs of the room; of those only what is called, or described, is imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(rooms.names("cli"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        if cmd_name not in rooms.names("cli"):
            raise click.UsageError(_no_verb(cmd_name), ctx)
        command: click.Command = rooms.module("cli", cmd_name).command
        return command


@click.group(
    cls=Verbs,
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


def main(argv: Sequence[str] | None = None, extensions: Sequence[Path] = ()) -> None:
    """Run the command line; every error becomes a message and the exit code of its kind.

    `argv` are the words after the program's name, this process's own by default. The rooms of the
    folders in `extensions` join ours (`rooms.extend`): their verbs are verbs like any other.
    """
    import gc
    import signal

    # Starting up makes no garbage, and looking for it takes a twentieth of the time.
    gc.set_threshold(100_000)

    # A pipeline stops a build with SIGTERM; it must leave as clean a state as Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    # A service may start it without them; what is said then goes nowhere.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    words = sys.argv[1:] if argv is None else list(argv)
    as_json = "--json" in words
    for folder in extensions:
        rooms.extend(folder)
    try:
        cli.main(words, "olive-build", standalone_mode=False)
    except click.exceptions.Abort:
        _interrupted(words)
    except KeyboardInterrupt:
        _interrupted(words)
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
        _bug(error, words, as_json=as_json)


def _no_verb(name: str) -> str:
    from olive_build.recipe.suggest import did_you_mean, listed

    verbs = rooms.names("cli")
    return f"No such command '{name}': {did_you_mean(name, verbs, f'there are {listed(verbs)}')}"


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _interrupted(words: Sequence[str]) -> None:
    builds = any(word in words[:1] for word in ("build", "plan", "explain"))
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


def _bug(error: Exception, words: Sequence[str], *, as_json: bool) -> None:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile(
        "w", prefix="olive-build-bug-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(f"olive-build {' '.join(words)}\n\n")
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

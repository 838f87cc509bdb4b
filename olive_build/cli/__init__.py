"""The command line: finds its verbs, one a file of this room, and ends each with an exit code.

Nothing heavy is imported at the top of a verb: for the help all of them are.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
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
# Starting up makes no garbage, and looking for it takes a twentieth of the time.
gc.set_threshold(100_000)

import click  # noqa: E402

from olive_build import rooms  # noqa: E402
from olive_build.cli import _joined, _signals, _terminal  # noqa: E402
from olive_build.errors import EXIT_DONE, EXIT_INTERRUPTED, OliveBuildError, UsageError  # noqa: E402

# What the system says of paths and disks, whoever named them.
UNUSABLE = (
    *(errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENOTDIR),
    *(errno.ENOSPC, errno.EDQUOT),
)
MOST_SHOWN = 200
EPILOG = """\b
Begin with:
  olive-build new models/my-model        a recipe for a model of your own
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
    words = sys.argv[1:] if argv is None else list(argv)
    _signals.listen()
    _terminal.take_over()
    try:
        code = _run(words, extensions, as_json="--json" in words)
    except BaseException as error:
        if not (_signals.came() or isinstance(error, KeyboardInterrupt)):
            raise
        code = _interrupted(words)
    _signals.ignore()
    _terminal.let_go()
    sys.exit(code)


def _run(words: Sequence[str], extensions: Sequence[Path], *, as_json: bool) -> int:
    """Join the folders and run a verb; return the exit code of how it ended, which was said."""
    try:
        for folder in extensions:
            _joined.join(folder)
        cli.main(words, "olive-build", standalone_mode=False)
    except SystemExit as stop:
        if _terminal.Terminal.reader_gone:  # that is no error of ours, and click's exit
            return EXIT_DONE
        return stop.code if isinstance(stop.code, int) else EXIT_DONE
    except Exception as error:
        # click takes the end of a file for Ctrl-C too.
        cause = error.__cause__ if isinstance(error, click.exceptions.Abort) else error
        if _signals.came() or isinstance(cause, KeyboardInterrupt):
            raise
        return _told(cause or error, words, as_json=as_json)
    return EXIT_DONE


def _told(error: BaseException, words: Sequence[str], *, as_json: bool) -> int:
    """Print what went wrong; return the exit code of its kind."""
    if fault := _joined.fault_of(error):
        return _fail(fault, as_json=as_json)
    match error:
        case BrokenPipeError():
            return EXIT_DONE
        case click.ClickException():
            if as_json:
                _say_json(UsageError(error.format_message()))
            error.show()
            return error.exit_code
        case OliveBuildError():
            return _fail(error, as_json=as_json)
        case OSError() if error.errno == errno.ENOSPC and error.filename is None:
            full = UsageError("what is to be shown cannot be written", why=error.strerror)
            return _fail(full, as_json=as_json)
        case OSError() if about := _of_a_path(error, words):
            return _fail(about, as_json=as_json)
    return _bug(error, words, as_json=as_json)


def _of_a_path(error: OSError, words: Sequence[str]) -> UsageError | None:
    """Return the error of a path that was given, or lies below one, or that nobody could use."""
    path = str(error.filename or "")
    given = [word.partition("=")[2] if word.startswith("--") else word for word in words]
    is_given = any(path.startswith(os.path.abspath(word)) or path == word for word in given if word)
    if not path or not (is_given or error.errno in UNUSABLE):
        return None
    return UsageError(
        "a path cannot be used",
        where=f"{path[:MOST_SHOWN]}..." if len(path) > MOST_SHOWN else path,
        why=error.strerror,
        hint="name another one, or see to it that it can be read and written",
    )


def _no_verb(name: str) -> str:
    from olive_build.recipe.suggest import did_you_mean, listed

    verbs = rooms.names("cli")
    return f"No such command '{name}': {did_you_mean(name, verbs, f'there are {listed(verbs)}')}"


def _interrupted(words: Sequence[str]) -> int:
    builds = any(word in words[:1] for word in ("build", "plan", "explain"))
    kept = "; what was finished is kept, the next build goes on from there" if builds else ""
    with suppress(OSError):  # the terminal may be what is gone
        click.echo(f"interrupted{kept}", err=True)
    return EXIT_INTERRUPTED


def _fail(error: OliveBuildError, *, as_json: bool) -> int:
    if as_json:
        _say_json(error)
    with suppress(BrokenPipeError):
        click.echo(error.render(), err=True)
    return error.exit_code


def _say_json(error: OliveBuildError) -> None:
    import json

    with suppress(BrokenPipeError):
        click.echo(json.dumps({"error": error.as_json()}, indent=2))


def _bug(error: BaseException, words: Sequence[str], *, as_json: bool) -> int:
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
    return _fail(bug, as_json=as_json)


if __name__ == "__main__":
    main()

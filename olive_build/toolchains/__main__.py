"""`python -m olive_build.toolchains` makes every toolchain, or makes a broken one anew."""

from __future__ import annotations

import sys

from olive_build.errors import EXIT_INTERRUPTED, OliveBuildError
from olive_build.toolchains.environments import TOOLCHAINS, folder_of
from olive_build.toolchains.install import import_fault
from olive_build.toolchains.provision import make_again, python_of


def main() -> int:
    """Make what is missing, import what is there; return the exit code."""
    try:
        for toolchain in TOOLCHAINS:
            python_of(toolchain, _say)
            fault = import_fault(toolchain, folder_of(toolchain))
            if fault:
                _say(f"the {toolchain} toolchain is broken: {fault.splitlines()[-1]}")
                make_again(toolchain, _say)
            _say(f"the {toolchain} toolchain is ready: {folder_of(toolchain)}")
    except OliveBuildError as error:
        sys.stderr.write(f"{error.render()}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing was left half made\n")
        return EXIT_INTERRUPTED
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

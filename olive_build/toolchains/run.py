"""Runs a module of this package in a toolchain's Python: `python -P run.py MODULE ARGUMENTS...`.

The module finds `olive_build`, the toolchain's own packages, and nothing else of where it was
started from. The package's parent must not come onto sys.path: of a copy that was installed it is
the site-packages with the other onnxruntime. PYTHONPATH may lead there as well.
"""

from __future__ import annotations

import os
import runpy
import sys
import sysconfig
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

PACKAGE = "olive_build"


def hide_python_path() -> None:
    """Take what PYTHONPATH added off sys.path, and the variable away from child processes."""
    added = os.environ.pop("PYTHONPATH", "").split(os.pathsep)
    # It may name the standard library, which is there without it.
    own = {os.path.abspath(path) for path in sysconfig.get_paths().values()}
    own.add(os.path.join(sysconfig.get_path("platstdlib"), "lib-dynload"))
    hidden = {os.path.abspath(path) for path in added if path} - own
    sys.path[:] = [path for path in sys.path if path and os.path.abspath(path) not in hidden]


def show_package() -> None:
    """Make `olive_build` importable from where this file lies, and nothing beside it."""
    folder = Path(__file__).resolve().parents[1]
    start = folder / "__init__.py"
    spec = spec_from_file_location(PACKAGE, start, submodule_search_locations=[str(folder)])
    assert spec is not None and spec.loader is not None
    package = module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


def main(arguments: Sequence[str]) -> None:
    """Run the module that the first argument names as `__main__`, with the rest as its own."""
    if not arguments:
        sys.exit("usage: python -P run.py MODULE [ARGUMENTS...]")
    hide_python_path()
    show_package()
    sys.argv[:] = list(arguments)
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])

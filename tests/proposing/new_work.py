"""The verb `new` in a repository of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Work:
    """A repository with models, in which the command line is called."""

    folder: Path
    cache: Path
    models: Path

    def model(self, name: str) -> Path:
        """Return a copy of a model that a test may change."""
        return Path(shutil.copytree(self.models / name, self.folder / "models" / name))

    def run(self, *words: str, **variables: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "olive_build", *words],
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "OLIVE_BUILD_CACHE": str(self.cache),
                **variables,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert "Traceback" not in done.stderr and "bug of olive-build" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    def new(self, *words: str) -> dict[str, Any]:
        """Write a recipe, which must succeed and be valid; return what the verb says in JSON."""
        code, out, err = self.run("new", *words, "--json")
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)
        code, out, err = self.run("validate", found["recipe"])
        assert code == 0 and out.endswith(": valid\n"), out + err
        return found

    def refused(self, *words: str) -> tuple[int, str]:
        """Call the verb, which must refuse and write nothing; return its code and message."""
        code, _, err = self.run("new", *words)
        assert code != 0
        assert not (self.folder / "recipes").exists()
        return code, " ".join(err.split())

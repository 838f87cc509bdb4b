"""A recipe for the tiny model, and the command line in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """\
recipe: 1
name: tiny
description: A miniature for tests
model:
  family: sentence-embedding
  licence: Apache-2.0
  source: path
  sources:
    path:
      folder: model
verify:
  timing: false
targets:
  desktop:
    variants: [int8]
  web:
    variants: [fp32, q8]
"""


@dataclass
class Result:
    """A finished call."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Project:
    """A folder with recipes and outputs, and a cache that the module's tests share."""

    folder: Path
    cache: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "olive_build", *words]

    def all_variables(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OLIVE_BUILD_CACHE": str(self.cache),
            **self.environment,
        }

    def run(self, *words: str) -> Result:
        """Call olive-build in the folder and wait."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.all_variables(),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Result(done.returncode, done.stdout, done.stderr)

    def write_recipe(self, text: str = RECIPE, name: str = "tiny") -> Path:
        path = self.folder / "recipes" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("name: tiny", f"name: {name}"), encoding="utf-8")
        return path

    def bundle(self, target: str, recipe: str = "tiny") -> Path:
        return self.folder / "outputs" / recipe / target


def built(project: Project, *words: str) -> Project:
    """Build the tiny recipe, which must succeed."""
    result = project.run("build", "tiny", *words)
    assert result.code == 0, result.out + result.err
    return project

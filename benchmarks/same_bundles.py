"""Hold the bundles of this checkout against those of another commit, built on this machine.

    python benchmarks/same_bundles.py COMMIT [RECIPE ...] [--full] [--keep FOLDER]

The recipes are built by both, as miniatures, or with --full the models themselves without timing.
What is measured differs from run to run and from machine to machine, and so may digests of models
that were trained here; that is why both sides are built, and nothing of them is committed. A
recipe whose methods were searched is named with what the search chose (`build --write-recipe`), or
the two sides would not build the same thing.

Model files, tokenizers, checkpoints and references are equal byte for byte; of files in ORT format
nodes and weights are, as onnxruntime writes them in an order that hangs on addresses of memory
(four conversions of one model by one commit give four files); manifest and proof are
equal key by key, after `RENAMED` and without `MEASURED`; READMEs are equal line by line. Exit code
1 where anything differs, each difference said in a line.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ("manifest.json", "proof.json")
# Files of the new side that say again what other files say.
SEALS = ("proof.json.sha256",)

# Old key -> new key, both as dotted paths in which `*` is one name.
RENAMED: dict[str, str] = {}
# Keys whose values are of a run, not of what was built: times, memory, the machine, and digests and
# sizes of records and READMEs, which are compared by themselves.
MEASURED = (
    r"machine\..*",
    r"tools\..*",
    r"variants\.[^.]+\.(latency|load|memory)(\..*)?",
    r"variants\.[^.]+\.training\.cost\..*",
    r".*\.(seconds|milliseconds|peak_bytes|rows_per_second)(\..*)?",
    r"files\.(README\.md|proof\.json|demo/.*|.*\.ort)\..*",
)
# Two runs of the same kernels give the same figure; sums in another order give the last digits.
FIGURE_TOLERANCE = 2e-6
# By how many bytes files in ORT format of one model differ in size.
ORT_PADDING = 64


def main() -> int:
    """Build both sides and compare them. Returns the exit code."""
    options = _arguments()
    with tempfile.TemporaryDirectory(prefix="same-bundles-") as made:
        folder = Path(options.keep or made).resolve()
        before, after = folder / "before", folder / "after"
        base = folder / "commit"
        if not before.exists():
            _git("worktree", "add", "--force", "--detach", str(base), options.commit)
            try:
                _build(base, before, options.recipes, folder, full=options.full)
            finally:
                _git("worktree", "remove", "--force", str(base))
        _build(ROOT, after, options.recipes, folder, full=options.full)
        found = list(differences(before, after))
    print("\n".join(found) or "the bundles are the same")
    return 1 if found else 0


def differences(before: Path, after: Path) -> Iterator[str]:
    """Yield a line for all that differs between two folders of bundles."""
    old, new = _files(before), _files(after)
    for name in sorted(old | new):
        if name.rpartition("/")[2] in SEALS:
            continue
        if name not in new or name not in old:
            yield f"{name}: only {'before' if name in old else 'after'}"
        elif name.endswith(RECORDS):
            yield from (f"{name}: {line}" for line in _records(before / name, after / name))
        elif name.endswith("README.md"):
            yield from (f"{name}: {line}" for line in _texts(before / name, after / name))
        elif name.endswith(".ort"):
            if _ort_contents(before / name) != _ort_contents(after / name):
                yield f"{name}: its nodes or weights differ"
        elif (before / name).read_bytes() != (after / name).read_bytes():
            yield f"{name}: its bytes differ"


def _records(before: Path, after: Path) -> Iterator[str]:
    old = {_renamed(key): value for key, value in _flat(json.loads(before.read_bytes()))}
    new = dict(_flat(json.loads(after.read_bytes())))
    for key in sorted(old.keys() | new.keys()):
        if any(re.fullmatch(pattern, key) for pattern in MEASURED):
            continue
        if key not in new or key not in old:
            side, value = ("before", old.get(key)) if key in old else ("after", new.get(key))
            yield f"{key} is there only {side}: {value!r}"
        elif not _equal(key, old[key], new[key]):
            yield f"{key} was {old[key]!r} and is {new[key]!r}"


def _flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield the leaves of JSON values with their dotted paths.

    Items of a list go by their `path`, `figure`, `stage` or `name` where they have one, else by
    number, so that one that came or went does not shift the others.
    """
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            names = (
                [item[key] for key in ("path", "figure", "name") if key in item]
                if isinstance(item, dict)
                else []
            )
            yield from _flat(item, f"{path}.{names[0] if names else number}")
    else:
        yield path, value


def _ort_contents(path: Path) -> list[tuple[str, ...]]:
    """Return the nodes and weights of a file in ORT format, those of inner graphs too, sorted."""
    import_module("onnxruntime.tools.ort_format_model")  # makes the next one importable
    session = import_module("ort_flatbuffers_py.fbs.InferenceSession").InferenceSession

    found: list[tuple[str, ...]] = []

    def read(graph: Any) -> None:
        for number in range(graph.NodesLength()):
            node = graph.Nodes(number)
            inputs = [str(node.Inputs(i)) for i in range(node.InputsLength())]
            outputs = [str(node.Outputs(i)) for i in range(node.OutputsLength())]
            found.append((str(node.Name()), str(node.OpType()), *inputs, "->", *outputs))
            for place in range(node.AttributesLength()):
                if inner := node.Attributes(place).G():
                    read(inner)
        for number in range(graph.InitializersLength()):
            weight = graph.Initializers(number)
            raw = weight.RawDataAsNumpy()
            data = raw.tobytes() if weight.RawDataLength() else b""
            found.append((str(weight.Name()), hashlib.sha256(data).hexdigest()))

    read(session.GetRootAs(path.read_bytes(), 0).Model().Graph())
    return sorted(found)


def _renamed(key: str) -> str:
    for old, new in RENAMED.items():
        pattern = re.escape(old).replace(r"\*", "([^.]+)")
        if re.fullmatch(pattern, key):
            return re.sub(pattern, new.replace("*", r"\1"), key)
    return key


def _equal(key: str, old: object, new: object) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=1e-3, abs_tol=FIGURE_TOLERANCE)
    if key.endswith("size_bytes") and isinstance(old, int) and isinstance(new, int):
        return abs(old - new) <= ORT_PADDING
    return old == new


def _texts(before: Path, after: Path) -> Iterator[str]:
    old, new = (path.read_text(encoding="utf-8").splitlines() for path in (before, after))
    yield from (
        line
        for line in difflib.unified_diff(old, new, lineterm="", n=0)
        if not line.startswith(("---", "+++", "@@"))
    )


def _files(folder: Path) -> set[str]:
    inner = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in inner if not name.endswith(".lock") and name != "index.json"}


def _build(checkout: Path, outputs: Path, recipes: list[str], folder: Path, *, full: bool) -> None:
    """Build recipes by a checkout, with a cache of its own; one that fails does not stop others."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "OLIVE_BUILD_CACHE": str(folder / f"cache-{outputs.name}"),
    }
    untimed = ["--set", "verify.timing=false"]
    for recipe in recipes:
        command = [sys.executable, "-m", "olive_build", "build", recipe, "--outputs", str(outputs)]
        # A recipe that trains has no `verify`, and says so with exit code 2.
        for own in (untimed, []) if full else (["--smoke"],):
            done = subprocess.run(
                [*command, "--keep-going", *own],
                cwd=checkout,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 2:
                break
        state = "built" if done.returncode == 0 else f"exit {done.returncode}:\n{done.stderr}"
        print(f"{outputs.name} {recipe}: {state}", file=sys.stderr, flush=True)


def _git(*arguments: str) -> None:
    subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, capture_output=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("commit", help="what is built as the side before")
    every = sorted(p.stem for p in (ROOT / "recipes").glob("*.yaml") if p.stem[0] != "_")
    parser.add_argument("recipes", nargs="*", default=every)
    parser.add_argument("--full", action="store_true", help="the models, not their miniatures")
    parser.add_argument("--keep", help="folder for both sides; a side before in it is used again")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

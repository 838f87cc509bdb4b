"""What a page is about: a recipe's build, or one bundle, as the command line names it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from olive_build.errors import UsageError
from olive_build.record.read import MANIFEST
from olive_build.report.html.bundles import BundleView, read_bundle


@dataclass(frozen=True)
class Subject:
    """Bundles that are shown together; `folder` is where they lie."""

    name: str
    folder: Path
    is_bundle: bool
    bundles: tuple[BundleView, ...]


def find_subject(name: str, outputs: Path) -> Subject:
    """Return what a word of the command line names.

    A folder with manifest.json is a bundle, one that holds such folders a build; any other word is
    a recipe whose bundles lie in `outputs`. Raises UsageError where there is none, BundleError
    where one is damaged.
    """
    path = Path(name)
    if (path / MANIFEST).is_file():
        return Subject(name, path, True, (read_bundle(path),))
    for folder in (path, outputs / name):
        found = sorted(item.parent for item in folder.glob(f"*/{MANIFEST}"))
        if found:
            return Subject(name, folder, False, tuple(read_bundle(item) for item in found))
    raise UsageError(
        f"there is no bundle of '{name}'",
        where=str(outputs / name),
        why=f"neither there nor in {path} is a folder with {MANIFEST}",
        hint="build it first (`olive-build build RECIPE`), or give the folder of a bundle or of "
        "a recipe's bundles; --outputs says where they are",
    )


def default_output(subjects: list[Subject]) -> Path:
    """Return where the page is written: beside the bundles, never inside one."""
    last = subjects[-1]
    folder = last.folder.parent if last.is_bundle else last.folder
    if len(subjects) > 1:
        return folder / "comparison.html"
    name = f"report-{last.bundles[0].target}.html" if last.is_bundle else "report.html"
    return folder / name


def check_output(path: Path) -> None:
    """Raise UsageError for a path in a bundle, whose files are all listed in its manifest."""
    for folder in path.absolute().parents:
        if (folder / MANIFEST).is_file():
            raise UsageError(
                "a report is not written into a bundle",
                where=str(path),
                why=f"`olive-build verify` refuses a file that {MANIFEST} does not list",
                hint="choose another place with --output",
            )

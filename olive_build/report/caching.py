"""What `cache` shows."""

from __future__ import annotations

import json
import math
import time

import click

from olive_build.engine import upkeep
from olive_build.engine.store import ANOTHER, Store, why_not_written
from olive_build.errors import EXIT_DONE, EXIT_STEP, UsageError
from olive_build.report.blocks import table
from olive_build.report.numbers import megabytes
from olive_build.report.render.terminal import print_block


def _opened() -> Store:
    """Return the cache. Raises UsageError where there is none and none can be made."""
    store = Store()
    why = None if store.root.exists() else why_not_written(store.root)
    if why:
        store.close()
        where = str(store.root.parent)
        raise UsageError("the cache cannot be made", where=where, why=why, hint=ANOTHER)
    return store


def print_cache(*, as_json: bool) -> None:
    """List the records of the store."""
    with _opened() as store:
        entries = upkeep.ls(store)
        root = store.root
    if as_json:
        rows = [
            {
                "slot": entry.slot,
                "key": entry.record.key,
                "artifact": entry.record.artifact,
                "size_bytes": entry.size_bytes,
                "seconds": entry.record.seconds,
                "present": entry.present,
            }
            for entry in entries
        ]
        click.echo(json.dumps({"root": str(root), "entries": rows}, indent=2))
        return
    click.echo(str(root))
    if not entries:
        click.echo("nothing is cached")
        return
    now = time.time()
    shown = table(
        "cache",
        "",
        entries,
        ("step", "", lambda entry: entry.slot),
        ("size", "number", lambda it: megabytes(it.size_bytes) if it.present else "removed"),
        ("took", "number", lambda entry: f"{entry.record.seconds:.1f} s"),
        ("last used", "number", lambda entry: _ago(now - entry.last_used)),
    )
    print_block(shown)
    # Equal artifacts of several steps are stored once.
    sizes = {entry.record.artifact: entry.size_bytes for entry in entries if entry.present}
    click.echo(f"{len(entries)} steps, {megabytes(sum(sizes.values()))}")


def _ago(seconds: float) -> str:
    """Return how long ago something was, in the largest unit of which there is more than one."""
    for size, least, unit in ((86400, 2, "days"), (3600, 2, "h"), (60, 1, "min")):
        if seconds >= least * size:
            return f"{seconds / size:.0f} {unit} ago"
    return "just now"


def verify_cache(*, as_json: bool) -> int:
    """Hash all artifacts again; return 4 when something was damaged."""
    with _opened() as store:
        damages = upkeep.verify(store)
    if as_json:
        rows = [{"digest": d.digest, "what": d.what, "slots": d.slots} for d in damages]
        click.echo(json.dumps({"damaged": rows}, indent=2))
    for damage in () if as_json else damages:
        click.echo(f"{damage.what}: {', '.join(damage.slots)} (artifact {damage.digest[:12]})")
    if not as_json:
        click.echo(
            f"{len(damages)} artifacts were damaged; the next build makes them anew"
            if damages
            else "every byte is as it was written"
        )
    return EXIT_STEP if damages else EXIT_DONE


def collect_garbage(
    max_age_days: float | None, max_size_mb: float | None, *, dry_run: bool, as_json: bool
) -> None:
    """Remove what was not used for long and say how much that was."""
    if any(limit is not None and math.isnan(limit) for limit in (max_age_days, max_size_mb)):
        raise UsageError("nan is no limit", hint="write a number, such as --max-size-mb 2000")
    with _opened() as store:
        removed = upkeep.gc(
            store, max_age_days=max_age_days, max_size_mb=max_size_mb, dry_run=dry_run
        )
    if as_json:
        click.echo(json.dumps(vars(removed), indent=2))
        return
    verb = "would remove" if dry_run else "removed"
    click.echo(
        f"{verb} {removed.records} records and {removed.artifacts} artifacts, "
        f"{megabytes(removed.size_bytes)}"
    )

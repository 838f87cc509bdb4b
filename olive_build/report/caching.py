"""What `cache` shows."""

from __future__ import annotations

import json
import math
import time

import click

from olive_build.engine import upkeep
from olive_build.engine.store import Store
from olive_build.errors import EXIT_DONE, EXIT_STEP, UsageError
from olive_build.report.blocks import table
from olive_build.report.numbers import megabytes
from olive_build.report.render.terminal import print_block


def print_cache(*, as_json: bool) -> None:
    """List the records of the store."""
    with Store() as store:
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
        ("last used", "number", lambda entry: f"{(now - entry.last_used) / 3600:.1f} h ago"),
    )
    print_block(shown)
    # Equal artifacts of several steps are stored once.
    sizes = {entry.record.artifact: entry.size_bytes for entry in entries if entry.present}
    click.echo(f"{len(entries)} steps, {megabytes(sum(sizes.values()))}")


def verify_cache(*, as_json: bool) -> int:
    """Hash all artifacts again; return 4 when something was damaged."""
    with Store() as store:
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
    with Store() as store:
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

"""One self-contained HTML page of what was built: opens offline, prints, needs no script."""

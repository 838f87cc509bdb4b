"""From a run configuration of Olive to a recipe: what `olive-build import` does.

`configuration` reads the file, `ledger` keeps what became of each of its values, `model`,
`systems`, `passes` and `goals` translate one part each into a `draft`, and `convert` checks the
draft as `validate` would.
"""

"""The locked environments that steps and clients run in.

`build.lock` is this process's own. The others are made beside the cache when a step needs them:
`environments` knows where they lie and whether they are whole, `provision` makes them, `run` is
what runs in them.
"""

"""From a resolved build and the facts of its model to the graph of steps that makes its bundle."""

STAGES = ("load", "export", "fuse", "quantize", "compose", "prove", "bundle")
"""What `--until` may name; a step says to which it belongs."""

"""What models are asked to do: one file a task, each for any architecture that serves it.

A task says what it is given and what it answers, and how answers are compared; how a model becomes
a graph, `families/transformers` knows. A file has `SIDE`, the task together with that family.
"""

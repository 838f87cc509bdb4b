"""From a resolved build and the facts of its model to the graph of steps that makes its bundle."""

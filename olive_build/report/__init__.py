"""What a person reads, and what a pipeline parses."""

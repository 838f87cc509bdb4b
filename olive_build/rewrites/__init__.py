"""Our graph changes: one rule a file, each with a reason when it declines, and a test."""

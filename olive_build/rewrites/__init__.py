"""Graph changes of ours: one rule a file, each with the reason when it declines and a test."""

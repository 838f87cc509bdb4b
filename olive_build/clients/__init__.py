"""Where an artifact is loaded and run."""

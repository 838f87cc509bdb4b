"""What is measured of an artifact, and the verdict."""

"""What is measured of a file, and the verdict."""

"""The locked environments that steps and clients run in."""

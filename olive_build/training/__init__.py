"""Training artifacts: what a device goes on learning with, how they are made and proved."""

"""What `olive-build train` and `bench` do with a bundle that trains."""

"""What is shipped: layouts, manifests, publishing, and verifying what was published."""

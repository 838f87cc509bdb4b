"""What a bundle says of itself: the types of manifest.json and proof.json, read and written."""

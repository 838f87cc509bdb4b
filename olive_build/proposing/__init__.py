"""A model's own files become a recipe: what it is, what can be built of it, what is not known."""

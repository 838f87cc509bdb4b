"""The steps of what a device trains with; those of the kind `training` run in its toolchain."""

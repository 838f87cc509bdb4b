"""`python -m olive_build` is `olive-build`."""

from olive_build.cli import main

main()

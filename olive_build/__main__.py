"""`python -m olive_build` is `olive-build`."""

import os
import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until the command line listens, so early that there is nothing to clear up.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

from olive_build.cli import main

if __name__ == "__main__":
    main()

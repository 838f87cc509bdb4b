"""The processes that this one starts: they see no secrets, and end when it does."""

from __future__ import annotations

import os
import re
import signal
import sys

# Ends of the parts of a name: HF_TOKEN, AWS_SECRET_ACCESS_KEY, PGPASSWORD, SSH_AUTH_SOCK.
_SECRET = re.compile(
    r"(TOKEN|KEY|SECRET|PASSWORD|PASSWD|PASSPHRASE|PASS|PWD|CREDENTIAL|AUTH|COOKIE|PAT)S?(_|$)",
    re.IGNORECASE,
)
# Not secret, whatever their end.
_KNOWN = frozenset({"PWD", "OLDPWD"})
# An address with a name and a password in it.
_WITH_PASSWORD = re.compile(r"://[^/\s@]*:[^/\s@]*@")
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def environment() -> dict[str, str]:
    """Return this process's variables for one that it starts, without those that hold secrets.

    What works on a stranger's files has no use for tokens; only what downloads sees them.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name in _KNOWN or not (_SECRET.search(name) or _WITH_PASSWORD.search(value))
    }


def follow_parent() -> None:
    """Die with the process that started this one, which alone decides what Ctrl-C means."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    die_with_parent()


def die_with_parent() -> None:
    """Have Linux kill this process when the thread that started it is gone, however it went."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

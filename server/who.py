"""Who changes something: the name that is kept beside what was changed and why."""

from __future__ import annotations

import argparse
import getpass


def who(chosen: argparse.Namespace) -> str:
    """What `--who` says, else the name of the user; empty where there is none."""
    if chosen.who is not None:
        return str(chosen.who)
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for this user
        return ""

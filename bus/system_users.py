"""Users of this machine: the name of the one that we are, and home folders; there may be neither, as in containers."""

import os
import pwd
from pathlib import Path


def user_name() -> str:
    """The name of the user that we are, a number where it has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def at_home(path: Path) -> Path:
    """The absolute path, with `~` and `~user` filled in; raises ValueError where nobody has such a home."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"{path}: there is no such home folder on this machine") from None

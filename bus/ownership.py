"""Root works in a data folder as the user whose it is: what root leaves there, the program could not read."""

import os
import pwd
from pathlib import Path

ROOT = 0


def take_on_owner(data: Path) -> None:
    """Root, as sudo makes one, has from now on the rights of the folder's owner; nothing where there is no folder."""
    if os.geteuid() != ROOT:
        return
    for folder in (data / "printbus", data):
        if folder.exists() and (uid := folder.stat().st_uid) != ROOT:
            return _become(uid, folder.stat().st_gid)


def _become(uid: int, gid: int) -> None:
    """Root's own rights stay out of use, also in the programs that are started."""
    groups = [gid]
    try:
        known = pwd.getpwuid(uid)
    except KeyError:
        pass
    else:
        gid, groups = known.pw_gid, os.getgrouplist(known.pw_name, known.pw_gid)
    os.setgroups(groups)
    os.setegid(gid)
    os.seteuid(uid)

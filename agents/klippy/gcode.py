"""Gcode that we write ourselves."""

import re

from bus.errors import InvalidParams

# A line break would start another command.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def print_file(filename: str) -> str:
    """The command that prints a file of the gcodes root; raises InvalidParams.

    One leading slash is dropped. Klipper reads the quoted name as a shell would.
    """
    name = filename.removeprefix("/")
    if not name:
        raise InvalidParams("filename: expected the name of a file")
    if _UNPRINTABLE.search(name):
        raise InvalidParams("filename: line breaks and control characters cannot be part of a name")
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'SDCARD_PRINT_FILE FILENAME="{quoted}"'

"""How addresses that may hold credentials are shown: without anything but their scheme."""

import re

HIDDEN = "***"
ADDRESS = re.compile(r"""(?<=://)[^\s'"]+""")
CREDENTIALS = re.compile(r"""[^\s'"/]+:[^\s'"]+(?=@)""")  # of an address whose scheme was forgotten
SECRET = re.compile(r"passw(or)?d|secret|token|api_?key", re.IGNORECASE)  # in the name of an option
EXPRESSION = re.compile(r"(\{[^{}]*\})")  # of a template: it names a secret at most


def without_addresses(text: str) -> str:
    """A text with what follows the scheme of each address taken out, and names and passwords before an @."""
    return CREDENTIALS.sub(HIDDEN, ADDRESS.sub(HIDDEN, text))


def scheme_of(url: str) -> str:
    """One address, maybe a template, as `scheme://***`; of a template its expressions stay."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return HIDDEN if url else url
    return scheme + mark + "".join(_shown(part) for part in EXPRESSION.split(rest))


def _shown(part: str) -> str:
    is_secret = not EXPRESSION.fullmatch(part) and any(letter.isalnum() for letter in part)
    return HIDDEN if is_secret else part

"""What users may be called, and what is too little of a password."""

import re

from bus.errors import InvalidParams

PSEUDO_USERS = ("_TRUSTED_USER_", "_API_KEY_USER_")  # Moonraker's names of those who are no users
USER_NAME = re.compile(
    r"(?!\$)[^\s/+#*:\x00-\x1f\x7f-\x9f](?:[^/+#*:\x00-\x1f\x7f-\x9f]{0,62}[^\s/+#*:\x00-\x1f\x7f-\x9f])?"
)
LONGEST = 1024


def require_user_name(name: str) -> str:
    """The name; raises InvalidParams for one that could be taken for something else, by topics or by people."""
    if name in PSEUDO_USERS:
        raise InvalidParams(f"The name {name} is reserved")
    if not USER_NAME.fullmatch(name):
        raise InvalidParams("A user name has 1 to 64 characters, without / + # * : and control characters")
    return name


def require_password(password: str) -> str:
    """The password; raises InvalidParams for none."""
    if not password:
        raise InvalidParams("The password is empty")
    return password

"""What users may be called, and what is too little of a password."""

from bus.errors import InvalidParams
from bus.identity import USER_NAME

PSEUDO_USERS = ("_TRUSTED_USER_", "_API_KEY_USER_")  # Moonraker's names of those who are no users


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

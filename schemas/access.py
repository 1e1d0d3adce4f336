"""Users, logins, tokens and API keys: who may do what, on every transport."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from .base import Flags, Method, Model, NoParams, Notification, Params, Permission

OWNER = "access"
SECRET = Flags(secret=True)
CHANGE = Flags(changes=True, secret=True)

Source = Literal["moonraker", "ldap"]
HERE: Source = "moonraker"  # the only one there is
LONGEST_PASSWORD = 1024
Password = Annotated[str, Field(max_length=LONGEST_PASSWORD)]


def _listed(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


Roles = Annotated[list[str], BeforeValidator(_listed)]
GIVEN = "Names of roles: `viewer`, `operator`, `admin`, or configured ones."


class LoginParams(Params):
    """Name and password of a user."""

    username: str
    password: Password
    source: Source | None = Field(None, description="Where the user is known; there is only `moonraker` here.")


class CreateParams(LoginParams):
    """A new user; without roles an admin, as users of Moonraker are."""

    roles: Roles = Field(["admin"], min_length=1, description=GIVEN)


class UserParams(Params):
    """A user."""

    username: str


class RolesParams(UserParams):
    """What a user may do from now on."""

    roles: Roles = Field(min_length=1, description=GIVEN)


class PasswordParams(Params):
    """The caller's own password, old and new."""

    password: Password
    new_password: Password


class ResetParams(UserParams):
    """A new password for somebody who has lost the old one."""

    password: Password


class RefreshParams(Params):
    """A refresh token, as a login answers it."""

    refresh_token: str


class KeyParams(Params):
    """An API key by its name."""

    name: str


class NewKeyParams(KeyParams):
    """A new API key."""

    roles: Roles = Field(min_length=1, description=GIVEN)


class VerifyParams(Params):
    """What a client has shown to the bridge."""

    scheme: Literal["token", "key", "oneshot"]
    value: str
    address: str


class Verified(Model):
    """Whose that is."""

    user: str | None
    kind: str


class LoggedIn(Model):
    """A user with tokens: `token` lives for an hour, `refresh_token` as configured."""

    username: str
    action: Literal["user_logged_in", "user_created"]
    token: str
    refresh_token: str
    source: Source


class Refreshed(Model):
    """A new access token."""

    username: str
    action: Literal["user_jwt_refresh"]
    token: str
    source: Source


class Done(Model):
    """What has been done to a user."""

    username: str
    action: Literal["user_logged_out", "user_deleted", "user_password_reset", "user_roles_changed"]


class CurrentUser(Model):
    """The caller; a trusted address and an API key are shown as users that nobody can be."""

    username: str | None
    created_on: float | None
    source: Source | None
    roles: list[str]


class User(Model):
    """A user, without secrets."""

    username: str
    created_on: float
    source: Source
    roles: list[str]


class Users(Model):
    """All users."""

    users: list[User]


class Key(Model):
    """An API key, without the key."""

    name: str
    created_on: float
    roles: list[str]


class Keys(Model):
    """All API keys."""

    keys: list[Key]


class NewKey(Key):
    """A key that was made; it is shown only this once."""

    key: str


class Revoked(Model):
    """An API key that is not valid any more."""

    name: str
    action: Literal["key_revoked"]


class Info(Model):
    """What a login page has to know."""

    default_source: Source
    available_sources: list[Source]
    login_required: bool = Field(description="Whether addresses are not trusted any more.")
    trusted: bool | None = Field(description="Whether the caller's address is; null where it has none.")


class Username(Model):
    """The user that it is about."""

    username: str


LOGIN = Method(
    "access.login",
    LoginParams,
    LoggedIn,
    OWNER,
    Permission.OPEN,
    ("POST /access/login",),
    flags=SECRET,
    summary="Logs a user in; on a connection that stays, this connection too.",
)
LOGOUT = Method(
    "access.logout",
    NoParams,
    Done,
    OWNER,
    Permission.READ,
    ("POST /access/logout",),
    flags=CHANGE,
    summary="Logs the calling user out everywhere: all tokens are void.",
)
GET_USER = Method(
    "access.get_user",
    NoParams,
    CurrentUser,
    OWNER,
    Permission.READ,
    ("GET /access/user",),
    summary="Who is calling.",
)
POST_USER = Method(
    "access.post_user",
    CreateParams,
    LoggedIn,
    OWNER,
    Permission.ADMIN,
    ("POST /access/user",),
    flags=CHANGE,
    summary="Creates a user and logs it in; roles can give no more than the caller may.",
)
DELETE_USER = Method(
    "access.delete_user",
    UserParams,
    Done,
    OWNER,
    Permission.ADMIN,
    ("DELETE /access/user",),
    flags=CHANGE,
    summary="Deletes a user other than the caller.",
)
LIST_USERS = Method(
    "access.users.list",
    NoParams,
    Users,
    OWNER,
    Permission.READ,
    ("GET /access/users/list",),
    summary="All users.",
)
PASSWORD = Method(
    "access.user.password",
    PasswordParams,
    Done,
    OWNER,
    Permission.READ,
    ("POST /access/user/password",),
    flags=CHANGE,
    summary="Changes the caller's password; all tokens are void then.",
)
RESET_PASSWORD = Method(
    "access.user.reset_password",
    ResetParams,
    Done,
    OWNER,
    Permission.ADMIN,
    ("POST /access/user/reset_password",),
    flags=CHANGE,
    summary="Gives another user, who may do no more than the caller, a new password; all its tokens are void then.",
)
USER_ROLES = Method(
    "access.user.roles",
    RolesParams,
    Done,
    OWNER,
    Permission.ADMIN,
    ("POST /access/user/roles",),
    flags=CHANGE,
    summary="Gives a user other than the caller these roles and no others; open connections are judged anew.",
)
REFRESH = Method(
    "access.refresh_jwt",
    RefreshParams,
    Refreshed,
    OWNER,
    Permission.OPEN,
    ("POST /access/refresh_jwt",),
    flags=SECRET,
    summary="A new access token for a refresh token.",
)
ONESHOT = Method(
    "access.oneshot_token",
    NoParams,
    str,
    OWNER,
    Permission.READ,
    ("GET /access/oneshot_token",),
    flags=SECRET,
    summary="A token for the query argument `token` of one request within 5 s from the same address.",
)
GET_KEY = Method(
    "access.get_api_key",
    NoParams,
    str,
    OWNER,
    Permission.ADMIN,
    ("GET /access/api_key",),
    flags=SECRET,
    summary="The API key called `default`, which may do everything; made when it is asked for first.",
)
POST_KEY = Method(
    "access.post_api_key",
    NoParams,
    str,
    OWNER,
    Permission.ADMIN,
    ("POST /access/api_key",),
    flags=CHANGE,
    summary="Replaces the API key called `default`; connections that it has opened stay.",
)
LIST_KEYS = Method(
    "access.keys.list",
    NoParams,
    Keys,
    OWNER,
    Permission.ADMIN,
    ("GET /access/keys/list",),
    summary="All API keys, without the keys.",
)
CREATE_KEY = Method(
    "access.keys.create",
    NewKeyParams,
    NewKey,
    OWNER,
    Permission.ADMIN,
    ("POST /access/keys",),
    flags=CHANGE,
    summary="Makes a further API key; roles can give no more than the caller may.",
)
REVOKE_KEY = Method(
    "access.keys.revoke",
    KeyParams,
    Revoked,
    OWNER,
    Permission.ADMIN,
    ("DELETE /access/keys",),
    flags=CHANGE,
    summary="Revokes an API key; what is open through it loses its rights at once.",
)
INFO = Method(
    "access.info",
    NoParams,
    Info,
    OWNER,
    Permission.OPEN,
    ("GET /access/info",),
    summary="Whether a login is required here.",
)
VERIFY = Method(
    "access.verify",
    VerifyParams,
    Verified,
    OWNER,
    Permission.AGENT,
    flags=SECRET,
    summary="Whose a credential is; for bridges of this instance only.",
)

CREATED = Notification("notify_user_created", "A user was created.", tuple[Username])
DELETED = Notification("notify_user_deleted", "A user was deleted and has lost all connections.", tuple[Username])
LOGGED_OUT = Notification("notify_user_logged_out", "A user has logged out everywhere.", tuple[Username])

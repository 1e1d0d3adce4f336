"""The services of the host, its power, and sudo."""

from typing import Literal

from pydantic import Field

from .base import CHANGES, Bool, Flags, Method, Model, NoParams, Notification, Params, Permission
from .machine import SERVICES, UnitState

OWNER = SERVICES
JOB_SECONDS = 120.0  # systemd gives a service 90 s to stop

ProviderName = Literal["none", "systemd_cli", "systemd_dbus", "supervisord_cli"]


class ServiceParams(Params):
    """One service."""

    service: str = Field(description="The unit's name without `.service`; upper and lower case count.")


class SudoInfoParams(Params):
    """What is to be found out."""

    check_access: Bool = Field(False, description="Whether to find out if programs can be run as root now.")


class SudoInfo(Model):
    """What sudo is wanted for."""

    sudo_access: bool | None = Field(description="Null unless the check was asked for.")
    linux_user: str = Field(description="Whom the process belongs to.")
    sudo_requested: bool = Field(description="Whether something waits for the password.")
    request_messages: list[str] = Field(description="What waits for it.")


class PasswordParams(Params):
    """The password of the Linux user; it stays in memory, and is forgotten with the program."""

    password: str = Field(max_length=1024)


class SudoResponses(Model):
    """What came of the password."""

    sudo_responses: list[str] = Field(description="That it is set, and what came of each that waited for it.")
    is_restarting: bool = Field(description="Whether one of them restarts the program.")


class SudoAlert(Model):
    """What waits for the password now; both lists say the same."""

    sudo_requested: bool
    sudo_messages: list[str]
    request_messages: list[str]


class Ability(Model):
    """Whether something can be done."""

    available: bool
    reason: str | None = Field(description="Why not.")


class Abilities(Model):
    """What can be done to the host and its services from here."""

    services: Ability = Field(description="Start, stop and restart of services.")
    shutdown: Ability
    reboot: Ability


def _power(what: str, summary: str) -> Method[NoParams, str]:
    return Method(
        f"machine.{what}",
        NoParams,
        str,
        OWNER,
        Permission.HOST,
        (f"POST /machine/{what}",),
        flags=CHANGES,
        summary=summary,
    )


def _service(verb: str, summary: str) -> Method[ServiceParams, str]:
    return Method(
        f"machine.services.{verb}",
        ServiceParams,
        str,
        OWNER,
        Permission.HOST,
        (f"POST /machine/services/{verb}",),
        deadline=JOB_SECONDS,
        flags=CHANGES,
        summary=summary,
    )


SHUTDOWN = _power("shutdown", "Shuts the host down; not from a container, and only where systemd lets us.")
REBOOT = _power("reboot", "Restarts the host; not from a container, and only where systemd lets us.")
RESTART = _service("restart", "Restarts a service of the allow list; the server itself only after the answer.")
STOP = _service("stop", "Stops a service of the allow list, but not the server itself.")
START = _service("start", "Starts a service of the allow list.")
SUDO_INFO = Method(
    "machine.sudo.info",
    SudoInfoParams,
    SudoInfo,
    OWNER,
    Permission.READ,
    ("GET /machine/sudo/info",),
    summary="Whether the password for sudo is wanted, and for what.",
)
SUDO_PASSWORD = Method(
    "machine.sudo.password",
    PasswordParams,
    SudoResponses,
    OWNER,
    Permission.HOST,
    ("POST /machine/sudo/password",),
    deadline=JOB_SECONDS,
    flags=Flags(changes=True, secret=True),
    summary="Sets the password for sudo, and does what waited for it.",
)

SERVICE_STATE_CHANGED = Notification(
    "notify_service_state_changed", "A service changed its state.", tuple[dict[str, UnitState]]
)
SUDO_ALERT = Notification(
    "notify_sudo_alert", "Something waits for the password for sudo, or nothing does any more.", tuple[SudoAlert]
)

"""Which provider manages the services of this host."""

import os
from collections.abc import Callable
from pathlib import Path

from schemas.services import ProviderName

from . import supervisord_place
from .allowed import Allowed
from .provider import Power, Provider, Unreachable
from .settings import MachineSettings
from .sudo import Sudo

ADDRESS, SOCKET = "DBUS_SYSTEM_BUS_ADDRESS", Path("/var/run/dbus/system_bus_socket")
Maker = Callable[[], Provider]


async def choose(settings: MachineSettings, allowed: Allowed, sudo: Sudo) -> tuple[Provider | None, str | None]:
    """The provider, and why there is none or it does not answer; a provider that is asked for by name is kept."""
    makers = _makers(settings, allowed, sudo)
    if settings.provider == "none":
        return None, "the provider is 'none'"
    if settings.provider != "auto":
        provider = makers[settings.provider]()
        return provider, await _fault(provider)
    faults: list[str] = []
    if not _has_bus():
        faults.append("there is no system bus")
        del makers["systemd_dbus"]
    if not supervisord_place.is_known(settings.supervisord_config_path):
        faults.append(supervisord_place.UNKNOWN)
        del makers["supervisord_cli"]
    for make in makers.values():
        provider = make()
        fault = await _fault(provider)
        if fault is None:
            return provider, None
        faults.append(fault)
    return None, "; ".join(faults)


def _makers(settings: MachineSettings, allowed: Allowed, sudo: Sudo) -> dict[ProviderName, Maker]:
    """Each imports what it needs: of these libraries a host needs one or none."""

    def systemd_dbus() -> Provider:
        from .systemd import SystemdBus

        return SystemdBus(allowed, Power(settings.shutdown_action))

    def systemd_cli() -> Provider:
        from .systemctl import Systemctl

        return Systemctl(allowed, sudo)

    def supervisord_cli() -> Provider:
        from .supervisord import Supervisord

        return Supervisord(allowed, settings.supervisord_config_path)

    return {"systemd_dbus": systemd_dbus, "systemd_cli": systemd_cli, "supervisord_cli": supervisord_cli}


def _has_bus() -> bool:
    return ADDRESS in os.environ or SOCKET.exists()


async def _fault(provider: Provider) -> str | None:
    try:
        await provider.probe()
    except Unreachable as fault:
        return str(fault)
    return None

"""What is told about services: the retained documents, and a notification for each change."""

from collections.abc import Callable
from typing import Any

from bus.agent import Bus
from bus.envelope import dumps
from schemas.base import Model, Notification
from schemas.machine import NO_SERVICES, InstanceIds
from schemas.services import OWNER, SERVICE_STATE_CHANGED, Abilities, Ability, ProviderName

from .provider import Rights, States

SERVICES, ABILITIES = "services", "abilities"
Notify = Callable[[Notification, list[Any]], None]


class Board:
    """Publishes only what is news."""

    def __init__(self, bus: Bus, notify: Notify) -> None:
        self._bus = bus
        self._notify = notify
        self._services = NO_SERVICES
        self._before: States | None = None  # before the provider was lost, too
        self.rights = Rights()
        self._lost: str | None = None
        self._container: str | None = None
        self._shown: dict[str, Model] = {}

    @property
    def available(self) -> list[str]:
        """The services that may be managed."""
        return self._services.available_services

    @property
    def instances(self) -> InstanceIds:
        """What we and Klipper are called."""
        return self._services.instance_ids

    def chosen(self, provider: ProviderName) -> None:
        """Who manages services."""
        self._services = self._services.model_copy(update={"provider": provider})

    def named(self, **instances: str) -> None:
        """Under which names we or Klipper were found."""
        found = self.instances.model_copy(update=instances)
        self._services = self._services.model_copy(update={"instance_ids": found})
        self.show()

    def changed(self, states: States) -> None:
        """How all services are now; those that are in another state than before are told."""
        if self._before is not None:
            news = {name: state for name, state in states.items() if self._before.get(name) != state}
            if news:
                self._notify(SERVICE_STATE_CHANGED, [news])
        self._before, self._lost = states, None
        self._set(states)

    def lost(self, reason: str) -> None:
        """Nothing is known any more."""
        self._lost = reason
        self._set({})

    def may(self, rights: Rights) -> None:
        """What we may do."""
        self.rights = rights
        self.show()

    def contained(self, container: str | None) -> None:
        """In which kind of container we are."""
        self._container = container
        self.show()

    def _set(self, states: States) -> None:
        update = {"available_services": list(states), "service_state": dict(states)}
        self._services = self._services.model_copy(update=update)
        self.show()

    def show(self) -> None:
        """Publishes what has changed, once anything is known."""
        if self._before is None and self._lost is None:
            return
        self._publish(SERVICES, self._services)
        self._publish(ABILITIES, self._abilities())

    def _abilities(self) -> Abilities:
        inside = f"the host is a container ({self._container})" if self._container else None
        rights = self.rights
        return Abilities(
            services=_ability(self._lost or rights.services),
            shutdown=_ability(inside or self._lost or rights.shutdown),
            reboot=_ability(inside or self._lost or rights.reboot),
        )

    def _publish(self, name: str, document: Model) -> None:
        if self._shown.get(name) != document:
            self._shown[name] = document
            self._bus.publish(self._bus.topics.state(OWNER, name), dumps(document), retain=True)


def _ability(reason: str | None) -> Ability:
    return Ability(available=reason is None, reason=reason)

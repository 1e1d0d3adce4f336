"""In whose name an agent's calls are made, and what those may."""

from bus.access import AccessRules, Identity, Role
from bus.agent import Actor
from bus.envelope import loads
from bus.exchange import Exchange
from bus.identity import Kind, user
from bus.mandate import Mandate
from bus.origins import Origin, Origins
from bus.session import LocalSession
from bus.topics import Topics
from schemas import Permission
from tests.conftest import Run

ALICE = Actor("alice", "http", "10.0.0.5", Kind.USER)


async def mandated(mandate: Mandate) -> Origin:
    """The origin of what the filestore asks for with a mandate."""
    session = LocalSession(Exchange(AccessRules("test", [])), Identity("router", Role.BUS, transport="local"))
    origin = Origin(Actor(None, "agent", "agent.filestore"), "agent.filestore", lambda _: None, agent=True)
    return Origins(session, Topics("test"), 1 << 20).mandated(origin, loads(mandate.as_json()))


def test_what_was_configured_has_its_own_name_and_permissions(run: Run[Origin]) -> None:
    found = run(mandated(Mandate("button desk", frozenset({Permission.READ}))))
    assert found.actor == Actor(None, "template", "agent.filestore/button desk")
    assert found.may == frozenset({"read"})
    assert not found.agent


def test_who_has_asked_is_named_and_may_what_they_may(run: Run[Origin]) -> None:
    found = run(mandated(Mandate("upload", None, ALICE.as_said())))
    assert (found.actor, found.actor.principal, found.may, found.agent) == (ALICE, user("alice"), None, False)


def test_who_has_asked_through_an_uplink_may_what_its_role_may(run: Run[Origin]) -> None:
    far = Actor(None, "uplink:farm", "desk", Kind.UPLINK, may=frozenset({Permission.FILES}))
    found = run(mandated(Mandate("upload", None, far.as_said())))
    assert (found.actor, found.may) == (far, far.may) and found.actor.may == far.may


def test_who_had_asked_is_named_and_their_right_was_looked_at_then(run: Run[Origin]) -> None:
    found = run(mandated(Mandate("job_queue", actor=ALICE.as_dict())))
    assert (found.actor.user, found.actor.client) == ("alice", "10.0.0.5")
    assert found.may is not None and Permission.CONTROL in found.may

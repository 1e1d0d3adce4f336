"""The default rules, role by role, and the default authenticator."""

import ipaddress

import pytest

from bus.access import AccessRules, Identity, Login, Refusal, Role, Tls, TrustedNetworks
from schemas import Permission

RULES = AccessRules("i", ["farm"])
BUS = Identity("printbus", Role.BUS, transport="local")
BRIDGE = Identity("bridge", Role.BRIDGE, transport="local")
AGENT = Identity("agent.klippy", Role.AGENT, "agent:b1")
CLIENT = Identity("panel", Role.CLIENT)
EVERYBODY = {"bus": BUS, "bridge": BRIDGE, "agent": AGENT, "client": CLIENT}

PUBLISH = {
    "i/moonraker/api/request": "bus bridge client",
    "i/moonraker/api/request/panel": "bus bridge client",
    "i/moonraker/api/request/other": "bus bridge",
    "i/moonraker/api/response": "bus",
    "i/moonraker/api/response/panel": "bus",
    "i/rpc/panel/printer/info": "bus client",
    "i/rpc/panel": "bus",
    "i/rpc/bridge/printer/info": "bus bridge",
    "i/rpc/bridge/17/printer/info": "bus bridge",
    "i/rpc/agent.klippy/printer/info": "bus agent",
    "i/connection/bridge/17": "bus bridge",
    "i/reply/panel": "bus",
    "i/state/klippy/status": "bus agent",
    "i/state/bridge/clients": "bus bridge",
    "i/state/other/status": "bus",
    "i/agent/klippy": "bus agent",
    "i/agent/klippy/answer": "bus agent",
    "i/agent/klippy/call": "bus",
    "i/agent/other": "bus",
    "i/agent/other/answer": "bus",
    "i/agent/bridge": "bus bridge",
    "i/moonraker/status": "bus",
    "i/moonraker/klippy": "bus agent",
    "i/moonraker/notify/notify_klippy_ready": "bus agent",
    "i/klipper/delta": "bus agent",
    "i/klipper/state/extruder/temperature": "bus agent",
    "i/klippy/tunnel/send/panel": "bus agent client",
    "i/klippy/tunnel/send/bridge/17": "bus bridge agent",
    "i/klippy/tunnel/send/other": "bus agent",
    "i/klippy/tunnel/control/panel": "bus agent client",
    "i/klippy/tunnel/receive/panel": "bus agent",
    "i/klippy/tunnel/state/panel": "bus agent",
    "i/other/tunnel/receive/panel": "bus",
    "i/event/print/started": "bus",
    "i/log/head": "bus",
    "i/files/upload/panel/1/0": "bus client",
    "i/files/download/panel/1/0": "bus client",
    "i/files/upload/other/1/0": "bus",
    "i": "bus",
    "i/": "bus",
    "farm/moonraker/api/request": "bus client",
    "homeassistant/sensor/config": "bus client",
    "ix/rpc/other/x": "bus client",
    "$SYS/broker/uptime": "bus",
    "$share/x": "bus",
}
RECEIVE = {
    "i/moonraker/api/request": "bus bridge agent client",
    "i/moonraker/api/request/panel": "bus bridge",
    "i/moonraker/api/response": "bus bridge agent client",
    "i/moonraker/api/response/panel": "bus bridge client",
    "i/moonraker/api/response/other": "bus bridge",
    "i/rpc/panel/printer/info": "bus bridge",
    "i/reply/panel": "bus bridge client",
    "i/reply/agent.klippy": "bus bridge agent",
    "i/reply/panel/17": "bus bridge client",
    "i/connection/bridge/17": "bus bridge",
    "i/agent/klippy": "bus bridge agent client",
    "i/agent/klippy/call": "bus agent",
    "i/agent/other/call": "bus",
    "i/agent/klippy/answer": "bus bridge",
    "i/klipper/delta": "bus bridge agent",
    "i/klippy/tunnel/send/panel": "bus agent",
    "i/klippy/tunnel/control/panel": "bus agent",
    "i/other/tunnel/send/panel": "bus",
    "i/klippy/tunnel/receive/panel": "bus bridge client",
    "i/klippy/tunnel/receive/other": "bus bridge",
    "i/klippy/tunnel/state/panel": "bus bridge client",
    "i/klippy/tunnel/state/bridge/17": "bus bridge",
    "i/klipper/status": "bus bridge agent client",
    "i/klipper/state/extruder/temperature": "bus bridge agent client",
    "i/state/klippy/status": "bus bridge agent client",
    "i/event/print/started": "bus bridge agent client",
    "i/files/upload/panel/1/0": "bus bridge client",
    "i/files/upload/other/1/0": "bus bridge",
    "homeassistant/sensor/config": "bus bridge agent client",
    "$SYS/broker/uptime": "bus bridge agent client",
}


@pytest.mark.parametrize("topic", PUBLISH)
def test_who_may_publish(topic: str) -> None:
    assert [name for name, who in EVERYBODY.items() if RULES.may_publish(who, topic)] == PUBLISH[topic].split()


@pytest.mark.parametrize("topic", RECEIVE)
def test_who_may_receive_and_subscribe(topic: str) -> None:
    expected = RECEIVE[topic].split()
    assert [name for name, who in EVERYBODY.items() if RULES.may_receive(who, topic)] == expected
    assert [name for name, who in EVERYBODY.items() if RULES.may_subscribe(who, topic)] == expected


def test_wildcards_are_accepted_because_each_delivery_is_checked() -> None:
    assert all(RULES.may_subscribe(who, "i/rpc/#") for who in EVERYBODY.values())


@pytest.mark.parametrize(
    ("old", "new", "live", "expected"),
    [
        (Identity("a", Role.CLIENT, "anna"), Identity("a", Role.CLIENT, "anna", "10.0.0.9"), True, True),
        (Identity("a", Role.CLIENT, "anna"), Identity("a", Role.CLIENT, "ben"), False, False),
        (Identity("a", Role.CLIENT, None), Identity("a", Role.CLIENT, "ben"), False, False),
        (AGENT, Identity("agent.klippy", Role.AGENT, "agent:b1"), True, True),
        (AGENT, Identity("agent.klippy", Role.AGENT, "agent:b2"), True, False),
        (AGENT, Identity("agent.klippy", Role.AGENT, "agent:b2"), False, True),
        (AGENT, Identity("agent.klippy", Role.CLIENT, "agent:b1"), False, False),
    ],
)
def test_take_over(old: Identity, new: Identity, live: bool, expected: bool) -> None:
    assert RULES.may_take_over(old, new, live=live) is expected


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("unix", True),
        ("", False),
        ("192.168.1.5", False),
        ("::ffff:192.168.1.5", False),
        ("fe80::1%eth0", False),
        ("nonsense", False),
    ],
)
def test_loopback_is_trusted_and_nothing_else(address: str, trusted: bool) -> None:
    answer = TrustedNetworks().authenticate(Login("one", "anna", None, address, "mqtt"))
    expected = (
        Identity("one", Role.CLIENT, "anna", address, "mqtt", confided=True) if trusted else Refusal.NOT_AUTHORIZED
    )
    assert answer == expected


@pytest.mark.parametrize(
    ("address", "tls", "confided"),
    [
        ("unix", None, True),
        ("", None, False),
        ("::1", None, True),
        ("192.168.1.5", None, False),
        ("192.168.1.5", Tls("anna"), True),
    ],
)
def test_what_a_network_could_listen_to_is_not_confided(address: str, tls: Tls | None, confided: bool) -> None:
    assert Login("one", None, None, address, "mqtt", tls).confided is confided


def test_other_networks_can_be_trusted() -> None:
    networks = TrustedNetworks([ipaddress.ip_network("192.168.0.0/16")])
    assert networks.trusts("192.168.1.5") and not networks.trusts("127.0.0.1")


@pytest.mark.parametrize(
    ("client_id", "user", "expected"),
    [
        ("agent.klippy", "agent:b1", Role.AGENT),
        ("agent.klippy", "anna", Refusal.CLIENT_ID),
        ("agent.a/b", "agent:b1", Refusal.CLIENT_ID),
        ("bridge", "bridge:b1", Role.BRIDGE),
        ("bridge-2", "bridge:b1", Role.BRIDGE),
        ("bridge", None, Refusal.CLIENT_ID),
        ("printbus", "bus:b1", Refusal.CLIENT_ID),
        ("panel", "agent:b1", Role.CLIENT),
        ("a+b", None, Refusal.CLIENT_ID),
    ],
)
def test_roles_follow_from_client_id_and_user(client_id: str, user: str | None, expected: Role | Refusal) -> None:
    answer = TrustedNetworks().authenticate(Login(client_id, user, None, "127.0.0.1", "mqtt"))
    assert (answer.role if isinstance(answer, Identity) else answer) == expected


class Staff:
    """People whose roles and permissions change."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[str, ...]] = {}
        self.permitted: dict[str, set[Permission]] = {}

    def knows(self, who: Identity) -> bool:
        return who.user in self.permitted

    def roles(self, who: Identity) -> tuple[str, ...]:
        return self.held.get(who.user or "", ())

    def may(self, who: Identity, permission: Permission) -> bool:
        return permission in self.permitted.get(who.user or "", set())


def staffed(user: str, *permissions: Permission, roles: tuple[str, ...] = ()) -> tuple[AccessRules, Identity]:
    rules, staff = AccessRules("i", ["farm"]), Staff()
    staff.held[user], staff.permitted[user] = roles, set(permissions)
    rules.people = staff
    return rules, Identity("panel", Role.CLIENT, user)


def test_who_may_not_read_sees_only_its_own_answers() -> None:
    rules, ann = staffed("ann", Permission.CONTROL)
    for topic in ("klipper/status", "state/klippy/x", "moonraker/api/response", "event/print/x", "reply/other"):
        assert not rules.may_receive(ann, f"i/{topic}")
    for topic in ("moonraker/api/response/panel", "reply/panel", "files/download/panel/1/0"):
        assert rules.may_receive(ann, f"i/{topic}")
    assert rules.may_publish(ann, "i/moonraker/api/request/panel") and rules.may_receive(ann, "home/lamp")


def test_who_logged_in_and_what_changed_about_users_is_for_administrators() -> None:
    for permission in (Permission.READ, Permission.ADMIN):
        rules, ann = staffed("ann", Permission.READ, permission)
        for stream in ("access", "logins"):
            assert rules.may_receive(ann, f"i/event/{stream}/x") is (permission is Permission.ADMIN)
        assert rules.may_receive(ann, "i/event/print/started")


def test_who_is_gone_may_do_nothing() -> None:
    rules, _ = staffed("ann", Permission.READ)
    ben = Identity("panel", Role.CLIENT, "ben")
    for topic in ("i/moonraker/api/request", "home/lamp", "i/klipper/status", "i/moonraker/api/response/panel"):
        assert not rules.may_publish(ben, topic) and not rules.may_receive(ben, topic)


@pytest.mark.parametrize(
    ("topic", "publish", "receive"),
    [
        ("voron/klipper/status", True, True),
        ("voron/moonraker/api/request/x", True, True),
        ("homeassistant/sensor/voron/x/config", True, True),
        ("farm/moonraker/api/request", False, True),
        ("other/klipper/status", False, False),
        ("other/moonraker/api/request", False, False),
        ("voron2/klipper/status", False, False),
        ("homeassistant/sensor/other/config", False, False),
        ("homeassistant/status", False, False),
        ("i/moonraker/api/request", False, False),
        ("i/moonraker/api/request/panel", False, False),
        ("i/klipper/status", False, False),
        ("i/moonraker/api/response/panel", False, False),
        ("$SYS/broker/uptime", False, False),
    ],
)
def test_a_printer_of_another_host_has_its_own_topics_and_no_others(topic: str, publish: bool, receive: bool) -> None:
    rules, voron = staffed("voron", Permission.OPEN, roles=("printer",))
    assert (rules.may_publish(voron, topic), rules.may_receive(voron, topic)) == (publish, receive)


@pytest.mark.parametrize("name", ["+", "#", "", "other/klipper", "$SYS", "*"])
def test_a_printers_name_opens_nothing_else(name: str) -> None:
    rules, trap = staffed(name, Permission.OPEN, roles=("printer",))
    for topic in ("other/klipper/status", "i/klipper/status", "i/moonraker/api/request", "home/lamp", "$SYS/broker/x"):
        assert not rules.may_publish(trap, topic) and not rules.may_receive(trap, topic)


def test_a_printer_called_like_the_instance_sees_nothing_of_it() -> None:
    rules, trap = staffed("i", Permission.OPEN, roles=("printer",))
    assert not any(rules.may_receive(trap, f"i/{topic}") for topic in ("klipper/status", "state/klippy/x", "log/head"))
    assert not rules.may_publish(trap, "i/klipper/status")

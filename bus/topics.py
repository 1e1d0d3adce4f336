"""The names of all topics: the instance first, so that one prefix is one access rule (design.md "Topics")."""

import re

INSTANCE = re.compile(r"[A-Za-z0-9_-]+")
REQUEST = "moonraker/api/request"
RESPONSE = "moonraker/api/response"
# What follows the instance in all topics of ours.
OWN_LEVELS = frozenset(
    ("", "agent", "connection", "event", "files", "klipper", "klippy", "log", "moonraker", "reply", "rpc", "state")
) | {"uplink"}


def quote(name: str) -> str:
    """A name as one topic level: `% + # /` and control characters percent-encoded."""
    if not _UNSAFE.search(name):
        return name
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found.group().encode()), name)


_UNSAFE = re.compile(r"[%+#/\x00-\x1f\x7f]")


def is_own(instance: str, topic: str) -> bool:
    """Whether a topic is one of those to which the program itself gives a meaning, or one of the broker's."""
    first, _, rest = topic.partition("/")
    return topic.startswith("$") or (first == instance and rest.partition("/")[0] in OWN_LEVELS)


def group_request(group: str) -> str:
    """Where requests to all instances of a group go."""
    return f"{group}/{REQUEST}"


class Topics:
    """The topics of one instance."""

    def __init__(self, instance: str) -> None:
        if not INSTANCE.fullmatch(instance):
            raise ValueError(f"instance name {instance!r}: expected letters, digits, '_' and '-'")
        self.instance = instance
        self.request = f"{instance}/{REQUEST}"
        self.response = f"{instance}/{RESPONSE}"
        self.server_status = f"{instance}/moonraker/status"
        self.klippy_state = f"{instance}/moonraker/klippy"
        self.notifications = f"{instance}/moonraker/notify/+"
        self.klipper_status = f"{instance}/klipper/status"
        self.klipper_delta = f"{instance}/klipper/delta"
        self.klipper_gcode = f"{instance}/klipper/gcode"
        self.log_head = f"{instance}/log/head"
        self.rpc_requests = f"{instance}/rpc/#"
        self.agents = f"{instance}/agent/+"
        self.connections = f"{instance}/connection/+/+"
        self.private_requests = f"{self.request}/#"
        self.agent_answers = f"{instance}/agent/+/answer"
        self.claim = f"{instance}/uplink/claim"
        self.resend = f"{instance}/uplink/resend"

    def private_request(self, client: str) -> str:
        """Where one client sends requests that only it sees."""
        return f"{self.request}/{client}"

    def private_response(self, client: str) -> str:
        """Where the answers to its private requests go."""
        return f"{self.response}/{client}"

    def rpc(self, client: str, method: str) -> str:
        """The request topic of one method for one client."""
        return f"{self.instance}/rpc/{client}/{method.replace('.', '/')}"

    def reply(self, client: str) -> str:
        """Where answers to per-method requests go."""
        return f"{self.instance}/reply/{client}"

    def notify(self, name: str) -> str:
        """The topic of one broadcast notification."""
        return f"{self.instance}/moonraker/notify/{name}"

    def klipper_field(self, obj: str, field: str) -> str:
        """The retained value of one field of one printer object."""
        return f"{self.instance}/klipper/state/{quote(obj)}/{quote(field)}"

    def state(self, agent: str, name: str) -> str:
        """A retained state document of an agent."""
        return f"{self.instance}/state/{agent}/{name}"

    def event(self, stream: str, kind: str) -> str:
        """Where committed events of one type are published."""
        return f"{self.instance}/event/{stream}/{kind}"

    def agent(self, name: str) -> str:
        """The retained presence of an agent."""
        return f"{self.instance}/agent/{name}"

    def agent_call(self, name: str) -> str:
        """Calls from the router to an agent in another process."""
        return f"{self.instance}/agent/{name}/call"

    def agent_macro(self, name: str) -> str:
        """Calls of gcode macros to an agent's remote methods."""
        return f"{self.instance}/agent/{name}/macro"

    def agent_answer(self, name: str) -> str:
        """Its answers."""
        return f"{self.instance}/agent/{name}/answer"

    def connection(self, client: str) -> str:
        """Where a bridge says that one of its websockets opened or closed; its clients are `{bridge}/{number}`."""
        return f"{self.instance}/connection/{client}"

    def standing(self, client: str) -> str:
        """Where the router says what one of its websockets may do."""
        return f"{self.instance}/connection/{client}/standing"

    def tunnel_send(self, client: str) -> str:
        """Where a client's messages for Klipper go into its tunnel."""
        return f"{self.instance}/klippy/tunnel/send/{client}"

    def tunnel_receive(self, client: str) -> str:
        """Where Klipper's messages come out of it."""
        return f"{self.instance}/klippy/tunnel/receive/{client}"

    def tunnel_control(self, client: str) -> str:
        """What a client says about its tunnel."""
        return f"{self.instance}/klippy/tunnel/control/{client}"

    def tunnel_state(self, client: str) -> str:
        """What the server says about it."""
        return f"{self.instance}/klippy/tunnel/state/{client}"

    def upload_data(self, client: str, number: str) -> str:
        """Where a client sends the chunks of an upload."""
        return f"{self.instance}/files/upload/{client}/{number}/data"

    def upload_want(self, client: str, number: str) -> str:
        """Where the server says how far an upload may go on."""
        return f"{self.instance}/files/upload/{client}/{number}/want"

    def upload_failed(self, client: str, number: str) -> str:
        """Where the server says why it gives an upload up."""
        return f"{self.instance}/files/upload/{client}/{number}/failed"

    def download_data(self, client: str, number: str) -> str:
        """Where the server sends the chunks of a download."""
        return f"{self.instance}/files/download/{client}/{number}/data"

    def download_want(self, client: str, number: str) -> str:
        """Where a client says what it has room for."""
        return f"{self.instance}/files/download/{client}/{number}/want"

    def download_failed(self, client: str, number: str) -> str:
        """Where the server says why it gives a download up."""
        return f"{self.instance}/files/download/{client}/{number}/failed"

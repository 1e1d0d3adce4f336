"""Makes a Moonraker installation as people have them, by letting the real one work: what tests of the import read.

`python -m benchmarks.installation --moonraker .bench/moonraker/bin/moonraker tests/data/moonraker`, once
`scripts/bench` has installed Moonraker; mosquitto has to be installed.
Beside the installation it writes what Moonraker said of it.
"""

import argparse
import json
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

from . import servers
from .servers import HOST

SPEED = "8"  # times as fast as a printer
PATIENCE = 60.0
POLL_SECONDS = 0.05
SETTLE_SECONDS = 1.0
FOLDERS = ("config", "database")
SECRETS = "moonraker.secrets"
TOPIC = "workshop/case"
OF_THE_MACHINE = {"gcode_metadata", "moonraker", "update_manager"}  # namespaces
OTHER_FILE = "parts/Größe 1.gcode"
PASSWORDS = {"anna": "correct horse battery", "Bób": "pässwörd ✓"}

MOONRAKER_CONF = """\
# A printer of two, behind a proxy.
[server]
host: 0.0.0.0
port: {http}
klippy_uds_address: {{data_path}}/comms/klippy.sock  # where Klipper listens
max_upload_size: 2048

[data_store]
temperature_store_size: 600

[include parts/*.conf]

[authorization]
trusted_clients:
    127.0.0.1
    192.168.1.0/24   ; the workshop
    FE80::/10
    printer.local
cors_domains:
    *.local
    https://my.mainsail.xyz
force_logins: False
login_timeout: 30

[machine]
provider: none
validate_service: False
Shutdown_Action = halt

[history]

[octoprint_compat]
flip_h: True

[announcements]
subscriptions:
    mainsail

[job_queue]
load_on_startup: True
job_transition_gcode:
    G28
    M117 next \\; please

[update_manager]
enable_auto_refresh: True
"""
INCLUDED = {
    "parts/1-store.conf": """\
[data_store]
temperature_store_size: 900
gcode_store_size: 500

[include deeper/*.conf]
""",
    "parts/2-webcam.conf": """\
[webcam Bed Cam]
location: printer
stream_url: /webcam2/?action=stream
snapshot_url: /webcam2/?action=snapshot
target_fps: 20
flip_vertical: True
rotation: 180
""",
    "parts/deeper/mqtt.conf": """\
[mqtt]
address: 127.0.0.1
port: {mqtt}
username: {{secrets.broker.user}}
password: {{secrets.broker.password}}
instance_name: workshop printer
status_objects:
    webhooks
    toolhead=position,print_time
    extruder=temperature
publish_split_status: True

[sensor Case]
type: mqtt
name: Case
state_topic: workshop/case
state_response_template:
    {{% set told = payload|fromjson %}}
    {{set_result("power", told["power"]|float)}}
    {{set_result("humidity", told["humidity"]|float)}}
parameter_power:
    units=W
history_field_energy:
    parameter=power
    desc=Energy of the print
    strategy=accumulate
    units=Ws
    report_total=true
    report_maximum=true
""",
}
SECRETS_TEXT = "[broker]\nuser: moonraker\npassword: not-a-secret-in-a-test\n"


class Server:
    """A running Moonraker, asked over HTTP."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, path: str, body: object = None, *, verb: str | None = None, token: str | None = None) -> Any:
        """The result of a request."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"http://{HOST}:{self._port}{path}", data, {"Content-Type": "application/json"}, method=verb)
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        with urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
            return json.load(answer)["result"]

    def print_file(self, name: str, token: str | None = None) -> None:
        """Starts a print and returns when it is going on."""
        self.ask(f"/printer/print/start?filename={quote(name)}", {}, token=token)
        _until(lambda: self._latest_job() == "in_progress", f"{name} is printed")

    def cancel(self) -> None:
        """Ends the print; returns when the printer stands still."""
        self.ask("/printer/print/cancel", {})
        _until(lambda: self._latest_job() != "in_progress", "the print is cancelled")

    def until_over(self) -> None:
        """Returns when the history has no open job."""
        _until(lambda: self._latest_job() != "in_progress", "the print is over")

    def until_ready(self) -> None:
        """Returns when Klipper is."""
        _until(lambda: self.ask("/server/info")["klippy_state"] == "ready", "Klipper is ready")

    def _latest_job(self) -> str:
        return "".join(job["status"] for job in self.ask("/server/history/list?limit=1")["jobs"])


class Installation:
    """A data folder with Moonraker and a printer at work in it."""

    def __init__(self, data: Path, program: Path) -> None:
        self.data = data
        self._program = program
        self._http, self._mqtt = servers.free_ports(2)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self.server = Server(self._http)

    def configure(self, http: int | None = None, mqtt: int | None = None) -> None:
        """Writes the configuration, with other ports than those in use where they are given."""
        ports = {"http": http or self._http, "mqtt": mqtt or self._mqtt}
        config = self.data / "config"
        for name, text in {"moonraker.conf": MOONRAKER_CONF, **INCLUDED}.items():
            (config / name).parent.mkdir(parents=True, exist_ok=True)
            (config / name).write_text(text.format(**ports))
        (self.data / SECRETS).write_text(SECRETS_TEXT)

    def start_printer(self) -> None:
        """Starts the simulated Klipper and the broker."""
        socket, gcodes = self.data / "comms" / "klippy.sock", self.data / "gcodes"
        command = servers.virtual_printer(self.data)[:3]
        self._start("printer", [*command, "--socket", str(socket), "--gcodes", str(gcodes), "--speed", SPEED])
        servers.wait_for(socket)
        servers.wait_for(gcodes / "demo.gcode")

    def start_broker(self) -> None:
        """Starts mosquitto."""
        self._start("broker", servers.mosquitto(self._mqtt))

    def start(self) -> None:
        """Starts Moonraker; returns when it has found Klipper."""
        self._start("moonraker", [str(self._program), "-d", str(self.data)])
        _until(lambda: servers.answers(self._http), "Moonraker answers")
        self.server.until_ready()

    def measure(self, power: float) -> None:
        """Tells the sensor something."""
        payload = json.dumps({"power": power, "humidity": 41.5})
        command = ["mosquitto_pub", "-h", HOST, "-p", str(self._mqtt), "-t", TOPIC, "-m", payload]
        subprocess.run(command, check=True)

    def end(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends a child process."""
        process = self._children.pop(name)
        process.send_signal(how)
        process.wait(PATIENCE)

    def end_all(self) -> None:
        """Ends all of them."""
        for name in [*self._children]:
            self.end(name)

    def _start(self, name: str, command: list[str]) -> None:
        log = (self.data.parent / f"{name}.log").open("ab")
        with log:
            self._children[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=servers.ROOT, env=servers.ENVIRONMENT
            )


def _until(true: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + PATIENCE
    while True:
        try:
            if true():
                return
        except OSError:
            pass
        if time.monotonic() > limit:
            raise TimeoutError(f"waiting until {what}")
        time.sleep(POLL_SECONDS)


def _settings_of_clients(server: Server) -> None:
    """What front ends and people keep in Moonraker."""
    for name, password in PASSWORDS.items():
        server.ask("/access/user", {"username": name, "password": password})
    items: list[tuple[str, str | list[str], object]] = [
        ("mainsail", "general.printername", "Vörón"),
        ("mainsail", "dashboard.nonExpandPanels", {"widescreen": ["a", "b"], "mobile": []}),
        ("mainsail", ["presets", "with.dot", "a b"], {"values": {"extruder": {"bool": True, "value": 230}}}),
        ("fluidd", "uiSettings", {"general": {"locale": "de", "numbers": [1, -2.5, None, True]}}),
        ("maintenance", "b1a2", {"name": "Oil the rails", "perform_note": "", "end_time": None}),
        ("kinds", "text", ""),
        ("kinds", "whole", -(1 << 62)),
        ("kinds", "half", 0.5),
        ("kinds", "yes", True),
        ("kinds", "list", [None, {"ü": []}]),
        ("kinds", "object", {}),
    ]
    for namespace, key, value in items:
        server.ask("/server/database/item", {"namespace": namespace, "key": key, "value": value})
    webcam = {"name": "Nozzle", "stream_url": "/webcam/?action=stream", "snapshot_url": "/webcam/?action=snapshot"}
    server.ask("/server/webcams/item", {**webcam, "rotation": 90, "aspect_ratio": "16:9", "extra_data": {"hide": 1}})
    server.ask("/server/webcams/item", {"name": "Tür", "stream_url": "http://10.0.0.9/s", "enabled": False})


def _prints(work: Installation) -> None:
    """A job for each way in which one can end."""
    server = work.server
    login = {"username": "anna", "password": PASSWORDS["anna"], "source": "moonraker"}
    token = server.ask("/access/login", login)["token"]
    other = work.data / "gcodes" / OTHER_FILE
    other.parent.mkdir(exist_ok=True)
    shutil.copy(work.data / "gcodes" / "demo.gcode", other)
    server.print_file("demo.gcode")
    work.measure(120)
    server.until_over()
    server.print_file(OTHER_FILE, token)
    work.measure(80)
    server.until_over()
    for _ in range(2):
        server.print_file("demo.gcode", token)
        server.cancel()
    server.ask("/server/history/job?uid=000003", verb="DELETE")
    server.print_file(OTHER_FILE)
    server.ask("/printer/emergency_stop", {})
    server.until_over()
    server.ask("/printer/firmware_restart", {})
    server.until_ready()
    server.print_file("demo.gcode")
    work.end("printer", signal.SIGKILL)
    server.until_over()
    (work.data / "comms" / "klippy.sock").unlink()
    work.start_printer()
    server.until_ready()
    _ends_of_moonraker(work)


def _ends_of_moonraker(work: Installation) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        work.server.print_file("demo.gcode")
        work.end("moonraker", how)
        work.start()
        time.sleep(SETTLE_SECONDS)  # what happens before and when it begins to follow the printer it misses
        work.server.cancel()
        time.sleep(SETTLE_SECONDS)  # and a cancellation that no job knows of can be seen nowhere
    work.server.print_file("demo.gcode")


def _said(server: Server) -> dict[str, Any]:
    """What it answers about itself."""
    names = [name for name in server.ask("/server/database/list")["namespaces"] if name not in OF_THE_MACHINE]
    return {
        "config": server.ask("/server/config")["orig"],
        "webcams": server.ask("/server/webcams/list")["webcams"],
        "namespaces": {name: server.ask(f"/server/database/item?namespace={name}")["value"] for name in names},
        "history": server.ask("/server/history/list?order=asc")["jobs"],
        "totals": server.ask("/server/history/totals"),
        "users": server.ask("/access/users/list")["users"],
        "api_key": server.ask("/access/api_key"),
        "passwords": PASSWORDS,
    }


@contextmanager
def _working(program: Path) -> Iterator[Installation]:
    with TemporaryDirectory(prefix="pb-") as folder:
        work = Installation(Path(folder) / "data", program)
        work.configure()
        try:
            work.start_broker()
            work.start_printer()
            work.start()
            yield work
        finally:
            work.end_all()


def _forget_machine(database: Path) -> None:
    """What it has noted of the machine that it was made on is nobody's business."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("DELETE FROM namespace_store WHERE key IN ('klippy_connection', 'system')")
        connection.execute("VACUUM")


def make(program: Path, target: Path) -> None:
    """Writes the installation and `said.json` into a folder; what was there is replaced."""
    with _working(program) as work:
        _settings_of_clients(work.server)
        _prints(work)
        said = _said(work.server)
        work.end("moonraker", signal.SIGKILL)  # with a job that has not ended
        work.configure(http=7125, mqtt=1883)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in FOLDERS:
            shutil.copytree(work.data / name, target / name, ignore=shutil.ignore_patterns(".*"))
        _forget_machine(target / "database" / "moonraker-sql.db")
        shutil.copy(work.data / SECRETS, target / SECRETS)
        (target / "said.json").write_text(json.dumps(said, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def main() -> None:
    """Makes it anew."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.installation")
    parser.add_argument("--moonraker", type=Path, required=True, metavar="PROGRAM", help="version 0.11")
    parser.add_argument("target", type=Path, help="a folder that is replaced")
    options = parser.parse_args()
    make(options.moonraker.absolute(), options.target)


if __name__ == "__main__":
    main()

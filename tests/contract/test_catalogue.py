"""Every row of the method table against the catalogue, on the running program and all four transports."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter
from websockets.sync.client import connect

from bus.errors import to_http
from schemas import METHODS, NAMESPACES, files, printer, server, services
from schemas.base import AnyMethod, Arguments, Notification, is_open
from tests.e2e.test_print import Socket, get, until
from tests.feeds import printer_with_a_feed
from tests.http_script import scripted
from tests.mqtt_wire import WireClient
from tests.program import Addresses, Program, running
from tests.spoolman_script import spoolman
from tests.virtual_printer import virtual_printer

DATA = Path(__file__).parents[1] / "data" / "api"
CATALOGUE = {row["rpc"]: row for row in json.loads((DATA / "catalogue.json").read_text()) if row["rpc"]}
NOTIFICATIONS = {entry["name"] for entry in json.loads((DATA / "notifications.json").read_text())}
# What the reference has not, or not as a method of its own.
OURS = {"events.read", "events.state", "events.append", "rpc.discover"}
OURS |= {"server.history.export", "server.database.history"}
OURS |= {f"server.job_queue.{name}" for name in ("schedule", "schedules", "unschedule")}
OURS |= {"klippy.tunnel.open", "klippy.objects.now", "klippy.loaded_file", "printer.bed_mesh.dump_mesh"}
OURS |= {
    f"files.{name}"
    for name in ("upload.open", "upload.commit", "upload.abort", "download.open", "download.checksum", "download.close")
}
OURS |= {"files.print", "webcams.store"}
OURS |= {
    "access.user.reset_password",
    "access.user.roles",
    "access.keys.list",
    "access.keys.create",
    "access.keys.revoke",
    "access.verify",
}
# For agents, of this instance or of somebody else's: test_extensions.py and test_processes.py.
OF_AGENTS = {"access.verify", "events.append", "server.extensions.request", "connection.send_event"}
OF_AGENTS |= {"connection.register_remote_method"}
# Would be done to the machine that runs the tests: test_machine_rows.py.
OF_HOST = {row.name for row in METHODS.values() if row.owner == services.OWNER} - {services.SUDO_INFO.name}
# Need topics, and what another call has answered: test_files.py.
TRANSFERS = {name for name in OURS if name.startswith(("files.upload.", "files.download."))}
# Restarts the server, and has nothing to answer: test_database.py.
OF_DATABASE = {"server.database.restore", "debug.database.table"}
# With a bus at the other end: test_peripherals_agent.py.
OF_HARDWARE = {"machine.peripherals.canbus"}
# For users: test_logins.py.
OF_USERS = {"access.login", "access.logout", "access.user.password", "access.refresh_jwt"}
KNOWN = sorted(set(METHODS) - OURS)

# What is optional, and so has methods only where it is configured.
OPTIONAL = """
database: {debug: true}
sensors: {meter: {state_topic: catalogue/meter, state_response_template: '{set_result("power", payload|float)}'}}
notifiers: {phone: {url: 'json://HOST/catalogue', events: gcode}}
"""

Json = dict[str, Any]
Ask = Callable[[str, Json], Json]

LATEST_JOB = "@job"  # stands for the id of the job that began last
FIRST_QUEUED, FIRST_SCHEDULE = "@queued", "@schedule"  # for those of the first that waits, and of the first schedule

# Valid input per method, in an order in which the printer bears it.
VALID: dict[str, Json] = {
    "server.info": {},
    "server.websocket.id": {},
    "server.connection.identify": {"client_name": "t", "version": "1", "type": "Web", "url": "http://t"},
    "server.config": {},
    "server.logs.rollover": {},
    "events.read": {"limit": 5, "since_time": 0, "until_time": 4e9},
    "events.state": {"fold": "last_print", "seq": 3},
    "rpc.discover": {},
    "server.extensions.list": {},
    "access.info": {},
    "access.get_user": {},
    "access.post_user": {"username": "cat", "password": "purr"},
    "access.users.list": {},
    "access.user.roles": {"username": "cat", "roles": ["viewer"]},
    "access.user.reset_password": {"username": "cat", "password": "miaow"},
    "access.delete_user": {"username": "cat"},
    "access.get_api_key": {},
    "access.post_api_key": {},
    "access.keys.create": {"name": "slicer", "roles": ["operator"]},
    "access.keys.list": {},
    "access.keys.revoke": {"name": "slicer"},
    "access.oneshot_token": {},
    "server.mqtt.publish": {
        "topic": "catalogue/lamp",
        "payload": {"on": [1, 2.5]},
        "qos": 1,
        "retain": True,
        "timeout": 5,
    },
    "server.mqtt.subscribe": {"topic": "catalogue/lamp", "qos": 2, "timeout": 5},
    "printer.info": {},
    "printer.objects.list": {},
    "printer.objects.query": {"objects": {"toolhead": ["position", "nosuch"], "nosuch": None, "extruder": None}},
    "printer.objects.subscribe": {"objects": {"print_stats": None, "toolhead": ["position"]}},
    "printer.query_endstops.status": {},
    "printer.bed_mesh.dump_mesh": {},
    "klippy.tunnel.open": {},
    "klippy.objects.now": {"objects": {"print_stats": ["state"], "toolhead": None}},
    "klippy.loaded_file": {},
    "server.temperature_store": {"include_monitors": True},
    "server.gcode_store": {"count": 5},
    "machine.system_info": {},
    "machine.sudo.info": {"check_access": False},
    "machine.proc_stats": {},
    "machine.peripherals.usb": {},
    "machine.peripherals.serial": {},
    "machine.peripherals.video": {},
    "printer.gcode.help": {},
    "server.files.roots": {},
    "server.files.list": {"root": "gcodes"},
    "server.files.get_directory": {"path": "gcodes", "extended": True},
    "server.files.post_directory": {"path": "gcodes/made"},
    "server.files.copy": {"source": "gcodes/demo.gcode", "dest": "gcodes/made/one.gcode"},
    "server.files.move": {"source": "gcodes/made/one.gcode", "dest": "gcodes/made/two.gcode"},
    "server.files.metadata": {"filename": "made/two.gcode"},
    "server.files.metascan": {"filename": "made/two.gcode"},
    "server.files.thumbnails": {"filename": "made/two.gcode"},
    "server.files.zip": {"items": ["gcodes/made"], "dest": "config/made.zip", "store_only": True},
    "server.files.delete_file": {"path": "gcodes/made/two.gcode"},
    "server.files.delete_directory": {"path": "gcodes/made", "force": True},
    "server.announcements.update": {"subscriptions": ["klipper"]},
    "server.announcements.list": {"include_dismissed": True},
    "server.announcements.dismiss": {"entry_id": "owner/klipper/issue/1", "wake_time": 0.5},
    "server.announcements.feeds": {},
    "server.announcements.post_feed": {"name": "Mainsail"},
    "server.announcements.delete_feed": {"name": "mainsail"},
    "server.sensors.list": {"extended": True},
    "server.sensors.info": {"sensor": "meter"},
    "server.sensors.measurements": {},
    "server.notifiers.list": {},
    "debug.notifiers.test": {"name": "phone"},
    "server.spoolman.post_spool_id": {"spool_id": 1},
    "server.spoolman.get_spool_id": {},
    "server.spoolman.proxy": {"request_method": "GET", "path": "/v1/spool/1", "use_v2_response": True},
    "server.spoolman.status": {},
    "server.webcams.post_item": {"name": "bed", "stream_url": "/webcam", "rotation": 90, "extra_data": {"a": [1]}},
    "webcams.store": {"key": ["mine"], "value": {"name": "stored", "urlStream": "/webcam"}},
    "server.webcams.list": {},
    "server.webcams.get_item": {"name": "bed"},
    "server.webcams.test": {"name": "bed"},
    "server.webcams.delete_item": {"name": "bed"},
    "server.database.post_item": {"namespace": "catalogue", "key": "a.b", "value": {"c": [1, None]}},
    "server.database.get_item": {"namespace": "catalogue", "key": "a", "at": 4e9},
    "server.database.list": {"root": "config"},
    "server.database.history": {"namespace": "catalogue", "key": "a.b.c", "limit": 1},
    "server.database.delete_item": {"namespace": "catalogue", "key": "a.b"},
    "debug.database.post_item": {"namespace": "simplyprint", "key": "a", "value": "x"},
    "debug.database.list": {},
    "debug.database.get_item": {"namespace": "simplyprint"},
    "debug.database.delete_item": {"namespace": "simplyprint", "key": "a"},
    "server.database.compact": {},
    "server.database.post_backup": {"filename": "catalogue.db"},
    "server.database.delete_backup": {"filename": "catalogue.db"},
    "printer.gcode.script": {"script": "M117 catalogue"},
    "files.print": {"filename": "demo.gcode"},
    "printer.pause_resume.cancel": {},
    "printer.print.start": {"filename": "demo.gcode"},
    "printer.print.pause": {},
    "printer.print.resume": {},
    "printer.print.cancel": {},
    "server.job_queue.post_job": {"filenames": "demo.gcode, demo.gcode", "reset": True},
    "server.job_queue.status": {},
    "server.job_queue.jump": {"job_id": FIRST_QUEUED},
    "server.job_queue.schedule": {"filenames": "demo.gcode", "cron": "30 4 1 1 *"},
    "server.job_queue.schedules": {},
    "server.job_queue.unschedule": {"schedule_id": FIRST_SCHEDULE},
    "server.job_queue.pause": {},
    "server.job_queue.delete_job": {"all": True},
    "server.job_queue.start": {},
    "printer.emergency_stop": {},
    "printer.firmware_restart": {},
    "printer.restart": {},
    "server.history.list": {"limit": 5, "start": 0, "since": 1.5, "order": "asc", "status": "cancelled,error"},
    "server.history.totals": {"since": 1.5},
    "server.history.get_job": {"uid": LATEST_JOB},
    "server.history.export": {"format": "jsonl", "limit": 2},
    "server.history.reset_totals": {},
    "server.history.delete_job": {"all": True},
    "server.restart": {},  # the last one: it ends the connection
}
# What a call leads to, to be awaited before the next one.
LEADS_TO = {
    "printer.emergency_stop": "printer.shutdown.1",
    "printer.firmware_restart": "printer.ready.1",
    "printer.restart": "printer.ready.1",
}
# Input that lacks something or has the wrong kind: the code on JSON-RPC, which is the status on HTTP.
INVALID: list[tuple[str, Json, int]] = [
    ("machine.peripherals.canbus", {"interface": ""}, 400),
    ("machine.peripherals.canbus", {"interface": "longer than Linux has them"}, 400),
    ("machine.peripherals.canbus", {"interface": "nosuch0"}, 500),
    ("printer.objects.query", {}, 400),
    ("printer.objects.query", {"objects": 5}, 400),
    ("printer.objects.query", {"objects": {"toolhead": "x"}}, 400),
    ("printer.objects.query", {"objects": {"toolhead": [1]}}, 400),
    ("printer.objects.subscribe", {}, 400),
    ("printer.gcode.script", {}, 400),
    ("printer.gcode.script", {"script": 5}, 400),
    ("printer.gcode.script", {"script": "G1 X9999"}, 400),
    ("printer.print.start", {}, 400),
    ("printer.print.start", {"filename": 7}, 400),
    ("printer.print.start", {"filename": "missing.gcode"}, 400),
    ("access.login", {"username": "nobody"}, 400),
    ("access.login", {"username": "nobody", "password": 5}, 400),
    ("access.login", {"username": "nobody", "password": "x"}, -32602),
    ("access.login", {"username": "_TRUSTED_USER_", "password": "x"}, 400),
    ("access.login", {"username": "nobody", "password": "x", "source": "ldap"}, 400),
    ("access.login", {"username": "nobody", "password": "x", "source": "moon"}, 400),
    ("access.logout", {}, 400),
    ("access.post_user", {"username": "x"}, 400),
    ("access.post_user", {"username": "x", "password": ""}, 400),
    ("access.post_user", {"username": "", "password": "x"}, 400),
    ("access.post_user", {"username": "a/b", "password": "x"}, 400),
    ("access.post_user", {"username": "_API_KEY_USER_", "password": "x"}, 400),
    ("access.post_user", {"username": "x", "password": "x", "source": "ldap"}, 400),
    ("access.post_user", {"username": "x", "password": "x", "roles": ["king"]}, 400),
    ("access.delete_user", {}, 400),
    ("access.delete_user", {"username": "nobody"}, 400),
    ("access.user.password", {"password": "x"}, 400),
    ("access.user.password", {"password": "x", "new_password": "y"}, 400),
    ("access.user.reset_password", {"username": "nobody", "password": "x"}, 400),
    ("access.user.roles", {"username": "nobody", "roles": ["viewer"]}, 400),
    ("access.user.roles", {"username": "nobody", "roles": []}, 400),
    ("access.refresh_jwt", {}, 400),
    ("access.refresh_jwt", {"refresh_token": "a.b.c"}, -32602),
    ("access.keys.create", {"name": "#", "roles": ["viewer"]}, 400),
    ("access.keys.create", {"name": "x", "roles": ["king"]}, 400),
    ("access.keys.revoke", {"name": "nosuch"}, 400),
    ("server.info", {"raw": "maybe"}, 400),
    ("server.temperature_store", {"include_monitors": "maybe"}, 400),
    ("server.gcode_store", {"count": "many"}, 400),
    ("server.gcode_store", {"count": -1}, 400),
    ("printer.nosuch", {}, -32601),
    ("printer.nosuch.endpoint", {"a": 1}, -32601),
    ("printer.list_endpoints", {}, -32601),
    ("printer.gcode.subscribe_output", {"response_template": {}}, -32601),
    ("printer.register_remote_method", {"response_template": {}, "remote_method": "x"}, -32601),
    ("printer.motion_report.dump_stepper", {"name": "stepper_x"}, 400),
    ("printer.bed_mesh.dump_mesh", {"response_template": {"method": "process_status_update"}}, 400),
    ("server.connection.identify", {"client_name": "x"}, 400),
    ("server.connection.identify", {"client_name": "x", "version": "1", "type": "bad", "url": "u"}, 400),
    ("server.extensions.request", {"agent": "a", "method": "m"}, 400),
    ("server.extensions.request", {"agent": "a"}, 400),
    ("server.extensions.request", {"agent": "a", "method": "m", "arguments": "text"}, 400),
    ("connection.send_event", {"event": "x"}, 400),
    ("connection.send_event", {}, 400),
    ("connection.register_remote_method", {"method_name": "x"}, 400),
    ("connection.register_remote_method", {}, 400),
    ("server.mqtt.publish", {}, 400),
    ("server.mqtt.publish", {"topic": 5}, 400),
    ("server.mqtt.publish", {"topic": ""}, 400),
    ("server.mqtt.publish", {"topic": "home/+/lamp"}, 400),
    ("server.mqtt.publish", {"topic": "x", "qos": 3}, 400),
    ("server.mqtt.publish", {"topic": "x", "qos": 1.5}, 400),
    ("server.mqtt.publish", {"topic": "x", "retain": "perhaps"}, 400),
    ("server.mqtt.publish", {"topic": "x", "timeout": "soon"}, 400),
    ("server.mqtt.publish", {"topic": "x", "timeout": -1}, 400),
    ("server.mqtt.publish", {"topic": "test/moonraker/klippy", "payload": "forged"}, 403),
    ("server.mqtt.publish", {"topic": "x", "uplink": "nosuch"}, -32601),
    ("server.mqtt.subscribe", {}, 400),
    ("server.mqtt.subscribe", {"topic": "home/#", "timeout": 1}, 400),
    ("server.mqtt.subscribe", {"topic": "x", "qos": -1, "timeout": 1}, 400),
    ("server.mqtt.subscribe", {"topic": "x", "timeout": 0.01}, 504),
    ("server.mqtt.subscribe", {"topic": "test/klipper/delta", "timeout": 1}, 403),
    ("server.logs.rollover", {"application": "crowsnest"}, 400),
    ("server.logs.rollover", {"application": 1}, 400),
    ("server.files.list", {"root": "nosuch"}, 400),
    ("server.files.list", {"root": 5}, 400),
    ("server.files.get_directory", {"path": "gcodes/nosuch"}, 400),
    ("server.files.get_directory", {"path": "gcodes", "extended": "maybe"}, 400),
    ("server.files.get_directory", {"path": "gcodes/.git"}, 403),
    ("server.files.post_directory", {}, 400),
    ("server.files.post_directory", {"path": "gcodes"}, 400),
    ("server.files.post_directory", {"path": "logs/new"}, 405),
    ("server.files.post_directory", {"path": "gcodes/nosuch/new"}, 400),
    ("server.files.delete_directory", {"path": "gcodes", "force": True}, 400),
    ("server.files.delete_directory", {"path": "gcodes/nosuch"}, 400),
    ("server.files.delete_directory", {}, 400),
    ("server.files.delete_file", {"path": "gcodes/nosuch.gcode"}, 400),
    ("server.files.delete_file", {"path": "logs/klippy.log"}, 405),
    ("server.files.move", {"source": "gcodes/nosuch.gcode", "dest": "gcodes/x.gcode"}, 400),
    ("server.files.move", {"source": "gcodes/demo.gcode", "dest": "logs/x.gcode"}, 400),
    ("server.files.move", {"source": "gcodes/demo.gcode"}, 400),
    ("server.files.copy", {"source": "gcodes/demo.gcode", "dest": "gcodes/nosuch/x.gcode"}, 400),
    ("server.files.metadata", {"filename": "nosuch.gcode"}, -32601),
    ("server.files.metadata", {}, 400),
    ("server.files.metadata", {"filename": "../config/printer.yaml"}, 400),
    ("files.print", {"filename": "nosuch.gcode"}, -32601),
    ("files.print", {"filename": "../config/printer.yaml"}, 400),
    ("files.print", {}, 400),
    ("server.files.metascan", {"filename": "nosuch.gcode"}, -32601),
    ("server.files.metascan", {}, 400),
    ("server.files.thumbnails", {}, 400),
    ("server.files.zip", {"items": []}, 400),
    ("server.files.zip", {"items": ["gcodes/nosuch"]}, 400),
    ("server.files.zip", {}, 400),
    ("machine.services.start", {}, 400),
    ("machine.services.stop", {"service": 5}, 400),
    ("machine.services.restart", {}, 400),
    ("machine.sudo.info", {"check_access": "perhaps"}, 400),
    ("machine.sudo.password", {}, 400),
    ("machine.sudo.password", {"password": 5}, 400),
    ("server.announcements.list", {"include_dismissed": "maybe"}, 400),
    ("server.announcements.update", {"subscriptions": ["nosuch"]}, 400),
    ("server.announcements.update", {"subscriptions": [5]}, 400),
    ("server.announcements.dismiss", {}, 400),
    ("server.announcements.dismiss", {"entry_id": "nosuch"}, 400),
    ("server.announcements.dismiss", {"entry_id": "owner/klipper/issue/1", "wake_time": -1}, 400),
    ("server.announcements.dismiss", {"entry_id": "owner/klipper/issue/1", "wake_time": "soon"}, 400),
    ("server.announcements.post_feed", {}, 400),
    ("server.announcements.post_feed", {"name": "../config/printer"}, 400),
    ("server.announcements.post_feed", {"name": 5}, 400),
    ("server.announcements.delete_feed", {}, 400),
    ("server.announcements.delete_feed", {"name": "klipper"}, 400),
    ("server.announcements.delete_feed", {"name": "nosuch"}, 400),
    ("server.sensors.list", {"extended": "maybe"}, 400),
    ("server.sensors.info", {}, 400),
    ("server.sensors.info", {"sensor": "nosuch"}, 400),
    ("server.sensors.measurements", {"sensor": "nosuch"}, 400),
    ("debug.notifiers.test", {}, 400),
    ("debug.notifiers.test", {"name": "nosuch"}, -32601),
    ("server.spoolman.post_spool_id", {"spool_id": "first"}, 400),
    ("server.spoolman.post_spool_id", {"spool_id": -1}, 400),
    ("server.spoolman.post_spool_id", {"spool_id": 1.5}, 400),
    ("server.spoolman.post_spool_id", {"spool_id": 99}, -32601),
    ("server.spoolman.proxy", {}, 400),
    ("server.spoolman.proxy", {"request_method": "GET"}, 400),
    ("server.spoolman.proxy", {"request_method": "HEAD", "path": "/v1/spool"}, 400),
    ("server.spoolman.proxy", {"request_method": "GET", "path": "/v1/spool", "body": {"a": 1}}, 400),
    ("server.spoolman.proxy", {"request_method": "POST", "path": "/v1/spool", "body": "text"}, 400),
    ("server.spoolman.proxy", {"request_method": "GET", "path": "/v2/spool"}, 400),
    ("server.spoolman.proxy", {"request_method": "GET", "path": "http://127.0.0.1:1/v1/spool"}, 400),
    ("server.spoolman.proxy", {"request_method": "GET", "path": "/v1/../../secrets"}, 400),
    ("server.spoolman.proxy", {"request_method": "GET", "path": "/v1/spool", "use_v2_response": "maybe"}, 400),
    ("server.spoolman.proxy", {"request_method": "GET", "path": "/v1/spool/99"}, -32601),
    ("server.webcams.get_item", {}, 400),
    ("server.webcams.get_item", {"name": "nosuch"}, -32601),
    ("server.webcams.get_item", {"uid": "nosuch", "name": "bed"}, -32601),
    ("server.webcams.post_item", {}, 400),
    ("server.webcams.post_item", {"name": "new"}, 400),
    ("server.webcams.post_item", {"stream_url": "/webcam"}, 400),
    ("server.webcams.post_item", {"name": "", "stream_url": "/webcam"}, 400),
    ("server.webcams.post_item", {"name": 5, "stream_url": "/webcam"}, 400),
    ("server.webcams.post_item", {"name": "new", "stream_url": ""}, 400),
    ("server.webcams.post_item", {"name": "new", "stream_url": "/webcam", "rotation": 45}, 400),
    ("server.webcams.post_item", {"name": "new", "stream_url": "/webcam", "aspect_ratio": "wide"}, 400),
    ("server.webcams.post_item", {"name": "new", "stream_url": "/webcam", "aspect_ratio": "4:0"}, 400),
    ("server.webcams.post_item", {"name": "new", "stream_url": "/webcam", "target_fps": "fast"}, 400),
    ("server.webcams.post_item", {"name": "new", "stream_url": "/webcam", "enabled": "maybe"}, 400),
    ("server.webcams.post_item", {"name": "new", "stream_url": "/webcam", "extra_data": [1]}, 400),
    ("server.webcams.post_item", {"uid": "nosuch", "name": "new", "stream_url": "/webcam"}, -32601),
    ("webcams.store", {}, 400),
    ("webcams.store", {"key": [], "value": {}}, 400),
    ("webcams.store", {"key": ["new"], "value": {"name": "new"}}, 400),
    ("webcams.store", {"key": ["nosuch"]}, -32601),
    ("server.webcams.delete_item", {}, 400),
    ("server.webcams.delete_item", {"name": "nosuch"}, -32601),
    ("server.webcams.test", {}, 400),
    ("server.webcams.test", {"name": "nosuch"}, -32601),
    ("server.job_queue.post_job", {}, 400),
    ("server.job_queue.post_job", {"filenames": 5}, 400),
    ("server.job_queue.post_job", {"filenames": ""}, 400),
    ("server.job_queue.post_job", {"filenames": "demo.gcode,missing.gcode"}, 400),
    ("server.job_queue.post_job", {"filenames": "demo.gcode", "reset": "maybe"}, 400),
    ("server.job_queue.delete_job", {}, 400),
    ("server.job_queue.delete_job", {"all": "maybe"}, 400),
    ("server.job_queue.jump", {}, 400),
    ("server.job_queue.jump", {"job_id": "0000000000000000"}, 400),
    ("server.job_queue.schedule", {"filenames": "demo.gcode"}, 400),
    ("server.job_queue.schedule", {"filenames": "demo.gcode", "at": 5}, 400),
    ("server.job_queue.schedule", {"filenames": "demo.gcode", "at": 4e9, "cron": "0 4 * * *"}, 400),
    ("server.job_queue.schedule", {"filenames": "demo.gcode", "cron": "soon"}, 400),
    ("server.job_queue.schedule", {"filenames": "demo.gcode", "cron": "61 4 * * *"}, 400),
    ("server.job_queue.schedule", {"filenames": "missing.gcode", "at": 4e9}, 400),
    ("server.job_queue.unschedule", {}, 400),
    ("server.job_queue.unschedule", {"schedule_id": "nosuch"}, -32601),
    ("server.history.list", {"limit": "abc"}, 400),
    ("server.history.list", {"order": "sideways"}, 400),
    ("server.history.list", {"since": "nan"}, 400),
    ("server.history.list", {"start": -1}, 400),
    ("server.history.list", {"status": "finished"}, 400),
    ("server.history.totals", {"before": "noon"}, 400),
    ("server.history.get_job", {}, 400),
    ("server.history.get_job", {"uid": "0FFFFF"}, -32601),
    ("server.history.get_job", {"uid": "zzz"}, -32601),
    ("server.history.delete_job", {}, 400),
    ("server.history.delete_job", {"uid": "nope"}, -32601),
    ("server.history.delete_job", {"all": "perhaps"}, 400),
    ("server.history.export", {"format": "pdf"}, 400),
    ("server.history.export", {"limit": 0}, 400),
    ("server.database.get_item", {}, 400),
    ("server.database.get_item", {"namespace": ""}, 400),
    ("server.database.get_item", {"namespace": "nosuch"}, -32601),
    ("server.database.get_item", {"namespace": "moonraker", "key": "nosuch"}, -32601),
    ("server.database.get_item", {"namespace": "moonraker", "key": "instance_id.nosuch"}, -32601),
    ("server.database.get_item", {"namespace": "moonraker", "key": "a..b"}, 400),
    ("server.database.get_item", {"namespace": "moonraker", "key": ""}, 400),
    ("server.database.get_item", {"namespace": "moonraker", "at": "noon"}, 400),
    ("server.database.get_item", {"namespace": "moonraker", "at": 0}, -32601),
    ("server.database.get_item", {"namespace": "simplyprint"}, 403),
    ("server.database.get_item", {"namespace": "database", "key": "a"}, 403),
    ("server.database.post_item", {}, 400),
    ("server.database.post_item", {"namespace": "x", "value": 1}, 400),
    ("server.database.post_item", {"namespace": "x", "key": "a"}, 400),
    ("server.database.post_item", {"namespace": "x", "key": 5, "value": 1}, 400),
    ("server.database.post_item", {"namespace": "x", "key": [], "value": 1}, 400),
    ("server.database.post_item", {"namespace": "x", "key": ["a", ""], "value": 1}, 400),
    ("server.database.post_item", {"namespace": "x", "key": ".a", "value": 1}, 400),
    *(
        ("server.database.post_item", {"namespace": name, "key": "a", "value": 1}, 403)
        for name in ("moonraker", "gcode_metadata", "history", "update_manager", "announcements", "simplyprint")
    ),
    ("server.database.delete_item", {}, 400),
    ("server.database.delete_item", {"namespace": "x"}, 400),
    ("server.database.delete_item", {"namespace": "x", "key": "nosuch"}, -32601),
    ("server.database.delete_item", {"namespace": "moonraker", "key": "instance_id"}, 403),
    ("server.database.delete_item", {"namespace": "x", "key": "a."}, 400),
    ("server.database.history", {"namespace": "x"}, 400),
    ("server.database.history", {"namespace": "simplyprint", "key": "a"}, 403),
    ("server.database.history", {"namespace": "x", "key": "a", "limit": 0}, 400),
    ("server.database.post_backup", {"filename": "../out.db"}, 400),
    ("server.database.post_backup", {"filename": ""}, 400),
    ("server.database.post_backup", {"filename": "x" * 300}, 400),
    ("server.database.delete_backup", {}, 400),
    ("server.database.delete_backup", {"filename": "/etc/passwd"}, 400),
    ("server.database.delete_backup", {"filename": "nosuch.db"}, -32601),
    ("server.database.restore", {}, 400),
    ("server.database.restore", {"filename": "nosuch.db"}, 400),
    ("server.database.restore", {"filename": "../../config/printer.yaml"}, 400),
    ("debug.database.get_item", {}, 400),
    ("debug.database.get_item", {"namespace": "nosuch"}, -32601),
    ("debug.database.get_item", {"namespace": "moonraker", "key": "."}, 400),
    ("debug.database.post_item", {"namespace": "x", "key": "", "value": 1}, 400),
    ("debug.database.post_item", {"namespace": "gcode_metadata", "key": "a", "value": 1}, 400),
    ("debug.database.delete_item", {"namespace": "x"}, 400),
    ("debug.database.delete_item", {"namespace": "simplyprint", "key": "nosuch"}, -32601),
    ("debug.database.table", {}, 400),
    ("debug.database.table", {"table": "nosuch"}, -32601),
    ("events.read", {"since": -1}, 400),
    ("events.read", {"since": (1 << 64) - 1}, 400),
    ("events.read", {"since": str(1 << 64)}, 400),
    ("events.state", {"fold": "last_print", "seq": 1 << 63}, 400),
    ("events.read", {"limit": "many"}, 400),
    ("events.read", {"since_time": "noon"}, 400),
    ("events.read", {"until_time": "nan"}, 400),
    ("events.state", {}, 400),
    ("events.state", {"fold": "last_print", "seq": 1, "time": 2}, 400),
]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, Addresses]]:
    """The program, with a printer that restarts quickly."""
    folder = tmp_path_factory.mktemp("catalogue")
    options = printer_with_a_feed(folder)
    config = Path(options[1])
    with (
        scripted() as service,
        spoolman({1: 0.0}) as spools,
        virtual_printer("--gcodes", str(folder / "data" / "gcodes")) as klipper,
    ):
        service.say("/catalogue", b"")
        config.write_text(config.read_text() + OPTIONAL.replace("HOST", service.url.removeprefix("http://")))
        with config.open("a") as file:
            file.write(f"spoolman: {{server: '{spools.url}'}}\n")
        with running(folder / "data", "--klippy", str(klipper.socket), *options) as found:
            yield found


@pytest.fixture
def program(started: tuple[Program, Addresses]) -> Program:
    return started[0]


@pytest.fixture
def where(started: tuple[Program, Addresses]) -> Addresses:
    """Klipper is ready before each test, whatever the one before did to it."""
    await_ready(started[1])
    return started[1]


def await_ready(where: Addresses) -> None:
    until(lambda: bool(get(where, "/server/info")["klippy_state"] in ("ready", "shutdown")))
    if get(where, "/server/info")["klippy_state"] == "shutdown":
        get(where, "/printer/firmware_restart", post=True)
    until(lambda: bool(get(where, "/server/info")["klippy_state"] == "ready"))
    until(lambda: bool(get(where, "/server/spoolman/status")["spoolman_connected"]))


def row_of(name: str) -> AnyMethod:
    row = METHODS.find(name)
    assert row is not None
    return row


def over_websocket(where: Addresses) -> Iterator[Ask]:
    with connect(where.http.replace("http", "ws") + "/websocket") as connection:
        client = Socket(connection)
        yield lambda method, params: client.ask(method, **params)


def over_mqtt(where: Addresses) -> Iterator[Ask]:
    loop = asyncio.new_event_loop()

    async def login() -> WireClient:
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await client.login("catalogue")
        await client.subscribe(("test/moonraker/api/response/catalogue", 0))
        return client

    client = loop.run_until_complete(login())

    async def ask(method: str, params: Json) -> Json:
        request = {"jsonrpc": "2.0", "method": method, "params": params, "id": method}
        await client.publish("test/moonraker/api/request/catalogue", json.dumps(request).encode())
        answer: Json = json.loads((await client.published()).payload)
        return answer

    yield lambda method, params: loop.run_until_complete(ask(method, params))
    loop.run_until_complete(client.disconnect())
    loop.close()


def over_http(where: Addresses) -> Iterator[Ask]:
    """JSON bodies for POST and query strings for GET; answers in the form of JSON-RPC."""
    import urllib.error
    import urllib.request

    def ask(method: str, params: Json) -> Json:
        row = row_of(method)
        verb, _, path = row.http[-1].partition(" ")
        if is_open(path):
            path = f"/server/files/{params['path']}" if row is files.DELETE_FILE else "/" + method.replace(".", "/")
        body = json.dumps(params).encode() if verb == "POST" else None
        query = f"?{urlencode(params)}" if verb != "POST" and params else ""
        request = urllib.request.Request(where.http + path + query, data=body, method=verb)  # noqa: S310
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                found: Json = json.load(answer)
        except urllib.error.HTTPError as error:
            found = json.load(error)
            assert found["error"]["code"] == error.code
        return found

    yield ask


def messages(connection: socket.socket) -> Iterator[Json]:
    """What comes on a unix socket."""
    waiting = b""
    while data := connection.recv(65536):
        *whole, waiting = (waiting + data).split(b"\x03")
        yield from map(json.loads, whole)


def over_unix(where: Addresses) -> Iterator[Ask]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(where.data / "comms" / "moonraker.sock"))
        said = messages(connection)

        def ask(method: str, params: Json) -> Json:
            request = {"jsonrpc": "2.0", "method": method, "params": params, "id": method}
            connection.sendall(json.dumps(request).encode() + b"\x03")
            return next(message for message in said if message.get("id") == method)

        yield ask


def over_jsonrpc(where: Addresses) -> Iterator[Ask]:
    """JSON-RPC as the body of an HTTP request."""
    import urllib.request

    def ask(method: str, params: Json) -> Json:
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": method}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(where.http + "/server/jsonrpc", body, headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            found: Json = json.load(answer)
        return found

    yield ask


TRANSPORTS = {
    "http": over_http,
    "jsonrpc": over_jsonrpc,
    "websocket": over_websocket,
    "mqtt": over_mqtt,
    "unix": over_unix,
}


class Connections:
    """One of each transport, made when it is first asked for and kept for the tests that follow."""

    def __init__(self, where: Addresses) -> None:
        self._where = where
        self._open = ExitStack()
        self._asks: dict[str, Ask] = {}

    def __getitem__(self, transport: str) -> Ask:
        if not self._asks:
            await_ready(self._where)
        if transport not in self._asks:
            opened = contextmanager(TRANSPORTS[transport])(self._where)
            self._asks[transport] = self._open.enter_context(opened)
        return self._asks[transport]

    def close(self) -> None:
        """Ends them."""
        self._asks.clear()
        self._open.close()


@pytest.fixture(scope="module")
def connections(started: tuple[Program, Addresses]) -> Iterator[Connections]:
    made = Connections(started[1])
    yield made
    made.close()


def test_every_method_has_valid_input_here() -> None:
    elsewhere = OF_AGENTS | OF_HOST | OF_HARDWARE | OF_USERS | TRANSFERS | OF_DATABASE
    assert {row_of(name).name for name in VALID} == set(METHODS) - elsewhere


@pytest.mark.parametrize("name", KNOWN)
def test_a_row_is_what_the_catalogue_says(name: str) -> None:
    row, entry = METHODS[name], CATALOGUE[name]
    assert {f"{verb} {path}" for verb, path in entry["http"]} <= set(row.http)
    assert {param["name"] for param in entry["params"]} <= set(row.params.model_fields)
    required = {param["name"] for param in entry["params"] if param["required"] is True}
    assert required == {key for key, field in row.params.model_fields.items() if field.is_required()}


def test_notifications_have_the_catalogues_names() -> None:
    found = (value for module in NAMESPACES for value in vars(module).values())
    ours = [value.name for value in found if isinstance(value, Notification)]
    assert set(ours) <= NOTIFICATIONS


def fits(row: AnyMethod, result: Any) -> None:
    """The result against the catalogue's schema and our own model."""
    if row.name in CATALOGUE:
        Draft202012Validator(CATALOGUE[row.name]["result"]).validate(result)
    model_of(row.name).validate_python(result)


@cache
def model_of(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(row_of(name).result)


def meant(ask: Ask, value: Any) -> Any:
    """A param, with the id that it stands for."""
    if value == LATEST_JOB:
        return ask("server.history.list", {"limit": 1})["result"]["jobs"][0]["job_id"]
    if value == FIRST_QUEUED:
        return ask("server.job_queue.status", {})["result"]["queued_jobs"][0]["job_id"]
    if value == FIRST_SCHEDULE:
        return ask("server.job_queue.schedules", {})["result"]["schedules"][0]["schedule_id"]
    return value


@pytest.mark.parametrize("transport", sorted(TRANSPORTS))
def test_valid_input_gives_a_result_that_fits_the_schema(
    program: Program, connections: Connections, transport: str
) -> None:
    connections.close()  # as the restart at the end would, less politely
    ask = connections[transport]
    for name, params in VALID.items():
        row = row_of(name)
        if transport == "http" and (not row.http or row is printer.OBJECTS_SUBSCRIBE):
            continue
        if transport == "jsonrpc" and row.flags.connection:
            continue
        given = {key: meant(ask, value) for key, value in params.items()}
        head = ask("events.read", {"limit": 1})["result"]["head"]
        answer = ask(name, given)
        assert "result" in answer, (name, answer)
        fits(row, answer["result"])
        if name in LEADS_TO:
            await_event(ask, head, LEADS_TO[name])
    connections.close()
    assert "printbus ready" in program.ready_line()  # again, after the restart


@pytest.mark.parametrize(("name", "params", "code"), INVALID)
def test_invalid_input_gives_its_code(connections: Connections, name: str, params: Json, code: int) -> None:
    found = {transport: said(connections[transport](name, params)) for transport in offering(name, params)}
    assert found == {transport: (expected(name, code, transport), True) for transport in found}


def await_event(ask: Ask, since: int, kind: str) -> None:
    def happened() -> bool:
        found = ask("events.read", {"since": since, "stream": "printer"})["result"]["events"]
        return any(event["type"] == kind for event in found)

    until(happened)


def offering(name: str, params: Json) -> list[str]:
    """Not HTTP where there is no such route; and without any object key, HTTP asks for no objects."""
    row = row_of(name)
    away = not row.http or (row.flags.arguments is Arguments.OBJECTS and not params)
    return [transport for transport in TRANSPORTS if not (transport == "http" and away)]


def said(answer: Json) -> tuple[int, bool]:
    """The code, and whether there is a message."""
    return answer["error"]["code"], bool(answer["error"]["message"])


def expected(name: str, code: int, transport: str) -> int:
    if transport == "http":
        return to_http(code)
    return -32601 if transport == "jsonrpc" and row_of(name).flags.connection else code


def test_a_subscription_over_http_needs_a_live_connection(where: Addresses) -> None:
    (ask,) = over_http(where)
    assert ask("printer.objects.subscribe", {"objects": {"toolhead": None}})["error"]["code"] == 400
    wrong = {"objects": {"toolhead": None}, "connection_id": 12}
    assert ask("printer.objects.subscribe", wrong)["error"]["code"] == 400
    with connect(where.http.replace("http", "ws") + "/websocket") as connection:
        client = Socket(connection)
        number = client.ask("server.websocket.id")["result"]["websocket_id"]
        answer = ask("printer.objects.subscribe", {"objects": {"toolhead": None}, "connection_id": number})
        fits(printer.OBJECTS_SUBSCRIBE, answer["result"])
        update = client.hear(lambda message: message.get("method") == "notify_status_update")
        assert set(update["params"][0]) == {"toolhead"}


def test_over_mqtt_a_subscription_names_the_topics_of_what_was_asked(connections: Connections) -> None:
    params = {"objects": {"extruder": ["temperature"], "toolhead": None}}
    topics = connections["mqtt"]("printer.objects.subscribe", params)["result"]["topics"]
    assert "test/klipper/state/extruder/temperature" in topics
    assert server.WEBSOCKET_ID.name not in topics

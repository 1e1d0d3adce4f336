"""Examples of calls, by method; loaded for the documents only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Example:
    """Params and the result that they could have; `result` is None where the document cannot show one."""

    params: Mapping[str, Any] = field(default_factory=dict)
    result: Any = "ok"


_KLIPPY = {
    "state": "ready",
    "state_message": "Printer is ready",
    "hostname": "voron",
    "klipper_path": "/home/pi/klipper",
    "python_path": "/home/pi/klippy-env/bin/python",
    "process_id": 812,
    "user_id": 1000,
    "group_id": 1000,
    "log_file": "/home/pi/printer_data/logs/klippy.log",
    "config_file": "/home/pi/printer_data/config/printer.cfg",
    "software_version": "v0.13.0-190-g5eb07966",
    "cpu_info": "4 core ARMv7 Processor rev 3 (v7l)",
}
_SERVER = {
    "klippy_connected": True,
    "klippy_state": "ready",
    "components": ["application", "jsonrpc", "websockets", "klippy_connection", "klippy_apis", "mqtt"],
    "failed_components": [],
    "registered_directories": [],
    "warnings": [],
    "websocket_count": 2,
    "moonraker_version": "0.11.0",
    "missing_klippy_requirements": [],
    "api_version": [1, 5, 0],
    "api_version_string": "1.5.0",
    "plugins": ["application", "jsonrpc", "websockets", "klippy_connection", "klippy_apis", "mqtt"],
    "failed_plugins": [],
}
_METER = {
    "id": "meter",
    "friendly_name": "Power meter",
    "type": "mqtt",
    "values": {"power": 121.0, "energy": 3.25},
}
_METER_INFO = {
    "parameter_info": [{"name": "power", "units": "W"}, {"name": "energy", "units": "kWh"}],
    "history_fields": [
        {
            "field": "energy",
            "provider": "sensor meter",
            "description": "Energy of the print",
            "strategy": "delta",
            "units": "kWh",
            "init_tracker": True,
            "exclude_paused": False,
            "report_total": True,
            "report_maximum": False,
            "precision": 3,
            "parameter": "energy",
        }
    ],
}
_ASKED = {"extruder": ["temperature", "target"], "print_stats": None}
_STATUS = {
    "extruder": {"temperature": 214.8, "target": 215.0},
    "print_stats": {
        "filename": "demo.gcode",
        "total_duration": 61.2,
        "print_duration": 48.7,
        "filament_used": 103.4,
        "state": "printing",
        "message": "",
        "info": {"total_layer": None, "current_layer": None},
    },
}
_BEGUN = {
    "seq": 7,
    "time": 1760000000.25,
    "stream": "print",
    "type": "print.started.1",
    "actor": {"user": None, "transport": "mqtt", "client": "desk"},
    "data": {"filename": "demo.gcode"},
}
_AGENT = {"name": "lights", "version": "1.2.0", "type": "agent", "url": "https://lights.example"}
_FACT = {"type": "print.started.1", "data": {"filename": "demo.gcode"}}
_FILE = {"modified": 1760000000.25, "size": 4926481, "permissions": "rw"}
_ITEM = {**_FILE, "path": "parts/benchy.gcode", "root": "gcodes"}
_GONE = {"modified": 0, "size": 0, "permissions": "", "path": "parts/benchy.gcode", "root": "gcodes"}
_DISK = {"total": 7522213888, "used": 4280369152, "free": 2903625728}
_TOPICS = {name: f"printer/files/upload/desk/5ad0a1b2c3d4e5f6/{name}" for name in ("data", "want", "failed")}
_USB = {
    "device_num": 4,
    "bus_num": 1,
    "vendor_id": "1d50",
    "product_id": "614e",
    "usb_location": "1:4",
    "manufacturer": "Klipper",
    "product": "stm32f407xx",
    "serial": "1E0034000D50315939343520",
    "class": "Communications",
    "subclass": None,
    "protocol": None,
    "description": "OpenMoko, Inc. Klipper 3d-Printer Firmware",
    "class_ids": ["02", "00", "00"],
}
_PORT = {
    "device_type": "usb",
    "device_path": "/dev/ttyACM0",
    "device_name": "ttyACM0",
    "driver_name": "cdc_acm",
    "path_by_hardware": "/dev/serial/by-path/platform-3f980000.usb-usb-0:1.2:1.0",
    "path_by_id": "/dev/serial/by-id/usb-Klipper_stm32f407xx_1E0034000D50315939343520-if00",
    "usb_location": "1:4",
}
_CAMERA = {
    "device_name": "video1",
    "device_path": "/dev/video1",
    "camera_name": "UVC Camera (046d:0825)",
    "driver_name": "uvcvideo",
    "hardware_bus": "usb-3f980000.usb-1.1",
    "modes": [{"format": "MJPG", "description": "Motion-JPEG", "flags": ["COMPRESSED"], "resolutions": ["1280x720"]}],
    "capabilities": ["VIDEO_CAPTURE", "EXT_PIX_FORMAT", "STREAMING"],
    "version": "6.1.63",
    "path_by_hardware": "/dev/v4l/by-path/platform-3f980000.usb-usb-0:1.1:1.0-video-index0",
    "path_by_id": "/dev/v4l/by-id/usb-046d_0825_66EF0390-video-index0",
    "alt_name": "UVC Camera (046d:0825)",
    "usb_location": "1:3",
}
_USAGE = {
    "moonraker_stats": [{"time": 1760000000.25, "cpu_usage": 2.66, "memory": 51240, "mem_units": "kB"}],
    "throttled_state": {"bits": 0, "flags": []},
    "cpu_temp": 45.622,
    "network": {
        "wlan0": {
            "rx_bytes": 48471767,
            "tx_bytes": 113430843,
            "rx_packets": 101232,
            "tx_packets": 142377,
            "rx_errs": 0,
            "tx_errs": 0,
            "rx_drop": 4,
            "tx_drop": 0,
            "bandwidth": 4455.91,
        }
    },
    "system_cpu_usage": {"cpu": 2.53, "cpu0": 3.03, "cpu1": 5.1, "cpu2": 1.02, "cpu3": 1.0},
    "system_memory": {"total": 945364, "available": 620112, "used": 325252},
    "system_uptime": 2876970.38,
    "websocket_connections": 4,
}
_HOST = {
    "python": {
        "version": [3, 11, 2, "final", 0],
        "version_string": "3.11.2 (main, Apr 28 2025, 14:11:48) [GCC 12.2.0]",
    },
    "cpu_info": {
        "cpu_count": 4,
        "bits": "32bit",
        "processor": "armv7l",
        "cpu_desc": "ARMv7 Processor rev 4 (v7l)",
        "serial_number": "b898bdb4",
        "hardware_desc": "BCM2835",
        "model": "Raspberry Pi 3 Model B Rev 1.2",
        "total_memory": 945364,
        "memory_units": "kB",
    },
    "sd_info": {
        "manufacturer_id": "03",
        "manufacturer": "Sandisk",
        "oem_id": "5344",
        "product_name": "SU32G",
        "product_revision": "8.0",
        "serial_number": "0046ba46",
        "manufacturer_date": "4/2018",
        "capacity": "29.7 GiB",
        "total_bytes": 31914983424,
    },
    "distribution": {
        "name": "Raspbian GNU/Linux 10 (buster)",
        "id": "raspbian",
        "version": "10",
        "version_parts": {"major": "10", "minor": "", "build_number": "", "release": ""},
        "like": "debian",
        "codename": "buster",
        "release_info": {"id": "raspbian", "version_id": "10"},
        "kernel_version": "5.10.103-v7+",
    },
    "virtualization": {"virt_type": "none", "virt_identifier": "none", "virt_id": "none"},
    "network": {
        "wlan0": {
            "mac_address": "b8:27:eb:98:bd:b4",
            "ip_addresses": [{"family": "ipv4", "address": "192.168.1.127", "is_link_local": False}],
        }
    },
    "canbus": {"can0": {"tx_queue_len": 128, "bitrate": 500000, "driver": "mcp251x"}},
    "provider": "none",
    "available_services": [],
    "service_state": {},
    "instance_ids": {"moonraker": "moonraker", "klipper": "klipper"},
}
_WEBCAM = {
    "name": "bed",
    "enabled": True,
    "icon": "mdiWebcam",
    "aspect_ratio": "16:9",
    "target_fps": 15,
    "target_fps_idle": 5,
    "location": "printer",
    "service": "mjpegstreamer",
    "stream_url": "/webcam/?action=stream",
    "snapshot_url": "/webcam/?action=snapshot",
    "flip_horizontal": False,
    "flip_vertical": False,
    "rotation": 180,
    "source": "database",
    "extra_data": {},
    "uid": "adc29234-01fb-4d9c-a06c-8abdca02bc2d",
}
_WHICH = {"uid": _WEBCAM["uid"]}
_ENTRY = {
    "entry_id": "owner/project/issue/12",
    "url": "https://github.com/owner/project/issues/12",
    "title": "A fan may stay off",
    "description": "Update before the next print.",
    "priority": "high",
    "date": 1760000000.0,
    "dismissed": False,
    "date_dismissed": None,
    "dismiss_wake": None,
    "source": "moonlight",
    "feed": "klipper",
}
_FEEDS = ["moonraker", "klipper"]
_JOB = {
    "job_id": "00001F",
    "exists": True,
    "filename": "parts/benchy.gcode",
    "status": "completed",
    "start_time": 1760000000.25,
    "end_time": 1760007560.5,
    "print_duration": 7321.4,
    "total_duration": 7560.2,
    "filament_used": 4123.7,
    "metadata": {"size": 4926481, "modified": 1760000000.25, "slicer": "PrusaSlicer"},
    "user": "alice",
    "started_by": {"user": "alice", "transport": "websocket", "client": "192.168.1.20"},
    "auxiliary_data": [],
}
_TOTALS = {
    "total_jobs": 31,
    "total_time": 117480.1,
    "total_print_time": 113487.9,
    "total_filament_used": 116157.2,
    "longest_job": 11665.2,
    "longest_print": 11348.8,
}
_VALUE = {"namespace": "mainsail", "key": "view.darkmode", "value": True}
_BACKUP = {"backup_path": "/home/pi/printer_data/backup/database/before-update.db"}
_QUEUE = {
    "queued_jobs": [
        {
            "filename": "parts/benchy.gcode",
            "job_id": "5AD0A1B2C3D4E5F6",
            "time_added": 1760000000.25,
            "time_in_queue": 21.9,
        }
    ],
    "queue_state": "paused",
}
_SCHEDULE = {
    "schedule_id": "0F1E2D3C4B5A6978",
    "filenames": ["parts/benchy.gcode"],
    "at": None,
    "cron": "0 22 * * 1-5",
    "next_run": 1760047200.0,
}
EXAMPLES: Mapping[str, Example] = {
    "server.job_queue.status": Example(result=_QUEUE),
    "server.job_queue.post_job": Example({"filenames": ["parts/benchy.gcode"]}, _QUEUE),
    "server.job_queue.delete_job": Example({"job_ids": ["5AD0A1B2C3D4E5F6"]}, {**_QUEUE, "queued_jobs": []}),
    "server.job_queue.pause": Example(result=_QUEUE),
    "server.job_queue.start": Example(result={**_QUEUE, "queue_state": "loading"}),
    "server.job_queue.jump": Example({"job_id": "5AD0A1B2C3D4E5F6"}, _QUEUE),
    "server.job_queue.schedule": Example(
        {"filenames": ["parts/benchy.gcode"], "cron": "0 22 * * 1-5"}, {"schedule": _SCHEDULE}
    ),
    "server.job_queue.schedules": Example(result={"schedules": [_SCHEDULE]}),
    "server.job_queue.unschedule": Example({"schedule_id": "0F1E2D3C4B5A6978"}, {"schedule_id": "0F1E2D3C4B5A6978"}),
    "server.history.list": Example({"limit": 1, "status": ["completed"]}, {"count": 1, "jobs": [_JOB]}),
    "server.history.get_job": Example({"uid": "00001F"}, {"job": _JOB}),
    "server.history.totals": Example({"since": 1760000000}, {"job_totals": _TOTALS, "auxiliary_totals": []}),
    "server.history.reset_totals": Example(result={"last_totals": _TOTALS, "last_auxiliary_totals": []}),
    "server.history.delete_job": Example({"uid": "00001F"}, {"deleted_jobs": ["00001F"]}),
    "server.history.export": Example(
        {"format": "csv", "limit": 1},
        {"text": "job_id,status,filename\r\n00001F,completed,parts/benchy.gcode\r\n", "count": 1, "next": None},
    ),
    "server.files.roots": Example(result=[{"name": "gcodes", "path": "/home/pi/gcodes", "permissions": "rw"}]),
    "server.files.list": Example({"root": "gcodes"}, [{**_FILE, "path": "parts/benchy.gcode"}]),
    "server.files.get_directory": Example(
        {"path": "gcodes/parts"},
        {
            "dirs": [],
            "files": [{**_FILE, "filename": "benchy.gcode"}],
            "disk_usage": _DISK,
            "root_info": {"name": "gcodes", "permissions": "rw"},
        },
    ),
    "server.files.post_directory": Example(
        {"path": "gcodes/parts"}, {"item": {**_ITEM, "path": "parts", "size": 4096}, "action": "create_dir"}
    ),
    "server.files.delete_directory": Example(
        {"path": "gcodes/parts", "force": True}, {"item": {**_GONE, "path": "parts"}, "action": "delete_dir"}
    ),
    "server.files.move": Example(
        {"source": "gcodes/benchy.gcode", "dest": "gcodes/parts/benchy.gcode"},
        {"item": _ITEM, "source_item": {"path": "benchy.gcode", "root": "gcodes"}, "action": "move_file"},
    ),
    "server.files.copy": Example(
        {"source": "gcodes/benchy.gcode", "dest": "gcodes/parts/benchy.gcode"},
        {"item": _ITEM, "action": "create_file"},
    ),
    "server.files.zip": Example(
        {"dest": "config/backup.zip", "items": ["config/printer.cfg"]},
        {"destination": {**_FILE, "path": "backup.zip", "root": "config"}, "action": "zip_files"},
    ),
    "server.files.delete_file": Example(
        {"path": "gcodes/parts/benchy.gcode"}, {"item": _GONE, "action": "delete_file"}
    ),
    "files.print": Example({"filename": "parts/benchy.gcode"}, {"print_started": True, "print_queued": False}),
    "files.upload.open": Example(
        {"filename": "benchy.gcode", "path": "parts", "size": 4926481},
        {"id": "5ad0a1b2c3d4e5f6", **_TOPICS, "chunk": 262144, "start": 0, "end": 2097152, "limit": 1073741824},
    ),
    "files.upload.commit": Example(
        {"id": "5ad0a1b2c3d4e5f6", "path": "parts", "filename": "benchy.gcode", "size": 4926481},
        {"item": _ITEM, "action": "create_file", "print_started": False, "print_queued": False},
    ),
    "printer.info": Example(result=_KLIPPY),
    "printer.emergency_stop": Example(),
    "printer.restart": Example(),
    "printer.firmware_restart": Example(),
    "printer.objects.list": Example(result={"objects": ["gcode", "webhooks", "toolhead", "extruder", "print_stats"]}),
    "printer.objects.query": Example({"objects": _ASKED}, {"eventtime": 578243.57, "status": _STATUS}),
    "printer.objects.subscribe": Example({"objects": _ASKED}, {"eventtime": 578243.57, "status": _STATUS}),
    "printer.query_endstops.status": Example(result={"x": "open", "y": "open", "z": "TRIGGERED"}),
    "printer.gcode.script": Example({"script": "G28\nG1 Z10 F600"}),
    "printer.gcode.help": Example(result={"RESTART": "Reload config file and restart host software"}),
    "printer.print.start": Example({"filename": "demo.gcode"}),
    "printer.print.pause": Example(),
    "printer.print.resume": Example(),
    "printer.print.cancel": Example(),
    "printer.bed_mesh.dump_mesh": Example(
        result={"current_mesh": {}, "profiles": {}, "probe_offsets": [0.0, 0.0, 0.2]}
    ),
    "printer.{klippy_endpoint}": Example(),
    "klippy.objects.now": Example(
        {"objects": {"print_stats": ["state"]}}, {"eventtime": 12.5, "status": {"print_stats": {"state": "printing"}}}
    ),
    "klippy.loaded_file": Example(result={"filename": "demo.gcode"}),
    "klippy.tunnel.open": Example(
        result={part: f"printer/klippy/tunnel/{part}/desk" for part in ("send", "receive", "control", "state")}
    ),
    "server.temperature_store": Example(
        {"include_monitors": True},
        {"extruder": {"temperatures": [21.05, 21.12], "targets": [0.0, 0.0], "powers": [0.0, 0.0]}},
    ),
    "server.gcode_store": Example(
        {"count": 1}, {"gcode_store": [{"message": "G28", "time": 1760000000.25, "type": "command"}]}
    ),
    "server.info": Example({"raw": True}, _SERVER),
    "server.config": Example(
        result={
            "config": {"server": {"host": "127.0.0.1", "port": 7125}, "data_store": {"gcode_store_size": 1000}},
            "orig": {"DEFAULT": {}, "server": {"host": "127.0.0.1", "port": "7125"}},
            "files": [{"filename": "printer.yaml", "sections": ["server"]}],
        }
    ),
    "server.restart": Example(),
    "server.logs.rollover": Example({"application": "moonraker"}, {"rolled_over": ["moonraker"], "failed": {}}),
    "server.websocket.id": Example(result={"websocket_id": 1730412}),
    "server.connection.identify": Example(
        {"client_name": "panel", "version": "1.0.0", "type": "display", "url": "https://panel.example"},
        {"connection_id": 1730412},
    ),
    "server.extensions.list": Example(result={"agents": [_AGENT]}),
    "server.extensions.request": Example(
        {"agent": "lights", "method": "blink", "arguments": {"times": 2}}, {"blinked": 2}
    ),
    "connection.send_event": Example({"event": "lamp_on", "data": {"lamp": 1}}),
    "connection.register_remote_method": Example({"method_name": "set_lamp"}),
    "server.mqtt.publish": Example({"topic": "home/lamp/set", "payload": {"on": True}}, {"topic": "home/lamp/set"}),
    "server.mqtt.subscribe": Example(
        {"topic": "home/lamp", "timeout": 5}, {"topic": "home/lamp", "payload": {"on": True}}
    ),
    "machine.peripherals.usb": Example(result={"usb_devices": [_USB]}),
    "machine.peripherals.serial": Example(result={"serial_devices": [_PORT]}),
    "machine.peripherals.video": Example(result={"v4l2_devices": [_CAMERA], "libcamera_devices": []}),
    "machine.peripherals.canbus": Example(
        {"interface": "can0"}, {"can_uuids": [{"uuid": "11aabbccddee", "application": "Klipper"}]}
    ),
    "machine.proc_stats": Example(result=_USAGE),
    "machine.shutdown": Example(),
    "machine.reboot": Example(),
    "machine.services.restart": Example({"service": "klipper"}),
    "machine.services.stop": Example({"service": "klipper"}),
    "machine.services.start": Example({"service": "klipper"}),
    "machine.sudo.info": Example(
        {"check_access": False},
        {"sudo_access": None, "linux_user": "pi", "sudo_requested": False, "request_messages": []},
    ),
    "machine.sudo.password": Example(
        {"password": "linux_user_password"},
        {"sudo_responses": ["Sudo password successfully set."], "is_restarting": False},
    ),
    "machine.system_info": Example(result={"system_info": _HOST}),
    "server.announcements.list": Example(result={"entries": [_ENTRY], "feeds": _FEEDS}),
    "server.announcements.update": Example(result={"entries": [_ENTRY], "modified": True}),
    "server.announcements.dismiss": Example(
        {"entry_id": "owner/project/issue/12", "wake_time": 3600}, {"entry_id": "owner/project/issue/12"}
    ),
    "server.announcements.feeds": Example(result={"feeds": _FEEDS}),
    "server.announcements.post_feed": Example({"name": "mainsail"}, {"feed": "mainsail", "action": "added"}),
    "server.announcements.delete_feed": Example({"name": "mainsail"}, {"feed": "mainsail", "action": "removed"}),
    "server.sensors.list": Example({"extended": True}, {"sensors": {"meter": {**_METER, **_METER_INFO}}}),
    "server.sensors.info": Example({"sensor": "meter"}, _METER),
    "server.sensors.measurements": Example({"sensor": "meter"}, {"meter": {"power": [119.5, 119.5, 121.0]}}),
    "server.notifiers.list": Example(
        result={
            "notifiers": [
                {
                    "name": "phone",
                    "url": "tgram://{secrets.telegram.bot}/{secrets.telegram.chat}",
                    "events": ["complete", "error"],
                    "body": "{event_args[1].filename}: {event_name}",
                    "title": None,
                    "attach": "http://127.0.0.1/webcam/?action=snapshot",
                }
            ]
        }
    ),
    "debug.notifiers.test": Example(
        {"name": "phone"}, {"status": "success", "stats": {"filename": "demo.gcode", "state": "complete"}}
    ),
    "server.spoolman.status": Example(
        result={
            "spoolman_connected": True,
            "pending_reports": [{"spool_id": 1, "filament_used": 10.5}],
            "spool_id": 2,
        }
    ),
    "server.spoolman.get_spool_id": Example(result={"spool_id": 2}),
    "server.spoolman.post_spool_id": Example({"spool_id": 2}, {"spool_id": 2}),
    "server.spoolman.proxy": Example(
        {"request_method": "GET", "path": "/v1/vendor", "query": "limit=1", "use_v2_response": True},
        {
            "response": [{"id": 1, "name": "Polymaker"}],
            "response_headers": {"content-type": "application/json", "x-total-count": "4"},
            "error": None,
        },
    ),
    "server.webcams.list": Example(result={"webcams": [_WEBCAM]}),
    "server.webcams.get_item": Example(_WHICH, {"webcam": _WEBCAM}),
    "server.webcams.post_item": Example(
        {"name": "bed", "stream_url": "/webcam/?action=stream", "rotation": 180}, {"webcam": _WEBCAM}
    ),
    "webcams.store": Example(
        {"key": [_WEBCAM["uid"], "urlStream"], "value": "/webcam/?action=stream"}, {"previous": "/webcam"}
    ),
    "server.webcams.delete_item": Example(_WHICH, {"webcam": _WEBCAM}),
    "server.webcams.test": Example(
        _WHICH,
        {
            "name": "bed",
            "snapshot_reachable": True,
            "snapshot_url": "http://127.0.0.1:80/webcam/?action=snapshot",
            "stream_url": "http://127.0.0.1:80/webcam/?action=stream",
        },
    ),
    "server.database.list": Example(
        result={"namespaces": ["gcode_metadata", "mainsail", "moonraker"], "backups": ["before-update.db"]}
    ),
    "server.database.get_item": Example({"namespace": "mainsail", "key": "view.darkmode", "at": 17}, _VALUE),
    "server.database.post_item": Example({"namespace": "mainsail", "key": "view.darkmode", "value": True}, _VALUE),
    "server.database.delete_item": Example({"namespace": "mainsail", "key": "view.darkmode"}, _VALUE),
    "server.database.history": Example(
        {"namespace": "mainsail", "key": "view.darkmode", "limit": 10},
        {
            "namespace": "mainsail",
            "key": "view.darkmode",
            "changes": [{"seq": 17, "time": 1760000000.25, "actor": _BEGUN["actor"], "value": True}],
            "more": False,
        },
    ),
    "server.database.compact": Example(result={"previous_size": 183201, "new_size": 41288}),
    "server.database.post_backup": Example({"filename": "before-update.db"}, _BACKUP),
    "server.database.delete_backup": Example({"filename": "before-update.db"}, _BACKUP),
    "server.database.restore": Example(
        {"filename": "before-update.db"}, {"restored_tables": [], "restored_namespaces": ["mainsail", "moonraker"]}
    ),
    "debug.database.list": Example(
        result={
            "namespaces": ["gcode_metadata", "mainsail", "moonraker"],
            "backups": ["before-update.db"],
            "tables": [],
        }
    ),
    "debug.database.get_item": Example({"namespace": "mainsail", "key": "view.darkmode"}, _VALUE),
    "debug.database.post_item": Example({"namespace": "mainsail", "key": "view.darkmode", "value": True}, _VALUE),
    "debug.database.delete_item": Example({"namespace": "mainsail", "key": "view.darkmode"}, _VALUE),
    "debug.database.table": Example({"table": "namespace_store"}, {"table_name": "namespace_store", "rows": []}),
    "events.read": Example({"since": 6, "since_time": 1760000000, "limit": 1}, {"events": [_BEGUN], "head": 12}),
    "events.append": Example(
        {"stream": "print", "events": [_FACT], "append_id": "6f0cdb2e-43a2-4a2c-9d4b-0b5bd3b1f1f5"}, {"seq": 7}
    ),
    "rpc.discover": Example(result={"openrpc": "1.3.2", "info": {"title": "printbus", "version": "0.1.0"}}),
}

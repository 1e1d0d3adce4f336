"""A printbus that has taken over a Moonraker installation answers what Moonraker answered."""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from bus.__main__ import main
from tests.e2e.test_print import PATIENCE, get
from tests.moonraker import installed, said
from tests.mqtt_wire import WireClient
from tests.program import Addresses, running

Json = dict[str, Any]
OURS = {"exists", "started_by"}  # members that differ: the files are not here, and Moonraker does not have the second
NOBODY = {"_TRUSTED_USER_", "_API_KEY_USER_"}


def of_ours(job: Json) -> Json:
    """A job of Moonraker's as it is to be here."""
    changed: Json = {"user": None if job["user"] in NOBODY else job["user"]}
    if job["status"] == "in_progress":
        changed["status"] = "interrupted"
    if job["end_time"] is None:
        changed["end_time"] = job["start_time"] + job["total_duration"]
    changed["metadata"] = {name: value for name, value in job["metadata"].items() if name != "print_start_time"}
    return {name: value for name, value in (job | changed).items() if name not in OURS}


def check(where: Addresses, expected: Json) -> None:
    for namespace, value in expected["namespaces"].items():
        if value and namespace != "webcams":
            assert get(where, f"/server/database/item?namespace={namespace}")["value"] == value
    jobs = get(where, "/server/history/list?order=asc")["jobs"]
    assert [{name: value for name, value in job.items() if name not in OURS} for job in jobs] == [
        of_ours(job) for job in expected["history"]
    ]
    totals = get(where, "/server/history/totals")
    assert totals["job_totals"] == expected["totals"]["job_totals"]
    assert totals["auxiliary_totals"] == expected["totals"]["auxiliary_totals"]
    webcams = {webcam["name"]: webcam for webcam in get(where, "/server/webcams/list")["webcams"]}
    for webcam in expected["webcams"]:
        same = {name: value for name, value in webcam.items() if webcam["source"] == "database" or name != "uid"}
        assert {name: webcams[webcam["name"]][name] for name in same} == same
    assert len(webcams) == len(expected["webcams"])


def log_in(where: Addresses, expected: Json) -> None:
    """With the passwords and the API key that Moonraker knew."""
    users = get(where, "/access/users/list")["users"]
    created = {user["username"]: user["created_on"] for user in users}
    assert created == {user["username"]: user["created_on"] for user in expected["users"]}
    assert get(where, "/access/api_key") == expected["api_key"]
    for name, password in expected["passwords"].items():
        for wrong in ("", password.upper()):
            with pytest.raises(HTTPError) as refused:
                ask(where, "/access/login", {"username": name, "password": wrong})
            refused.value.close()
        token = ask(where, "/access/login", {"username": name, "password": password})["token"]
        who = ask(where, "/access/user", headers={"Authorization": f"Bearer {token}"})
        assert (who["username"], who["created_on"]) == (name, created[name])
    assert ask(where, "/access/user", headers={"X-Api-Key": expected["api_key"]})["username"] == "_API_KEY_USER_"


async def connect(where: Addresses, name: str, password: str) -> None:
    """Over MQTT."""
    client = await WireClient.open((where.mqtt_host, where.mqtt_port))
    await client.login("desk", user=name, password=password.encode())
    await client.drop()


def ask(where: Addresses, path: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = Request(where.http + path, data, {"Content-Type": "application/json", **(headers or {})})  # noqa: S310
    with urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
        return json.load(answer)["result"]


def test_what_moonraker_answered_is_answered(tmp_path: Path) -> None:
    data, expected = installed(tmp_path / "data"), said()
    (data / "config" / "moonraker.conf").unlink()  # it names ports, a broker and a printer of another place
    assert main(["import", str(data), "--data", str(data)]) == 0
    webcam = next(each for each in expected["webcams"] if each["source"] == "config")
    expected["webcams"].remove(webcam)
    before = (data / "printbus" / "secrets.json").read_text()
    assert before.count("pbkdf2") == 2
    for unknown in (1, 0):  # from the log, and from snapshots
        with running(data, "--virtual") as (_program, where):
            check(where, expected)
            asyncio.run(connect(where, "Bób", expected["passwords"]["Bób"]))
            assert (data / "printbus" / "secrets.json").read_text().count("pbkdf2") == unknown
            log_in(where, expected)
            uid = expected["webcams"][0]["uid"]
            assert get(where, f"/server/webcams/item?uid={quote(uid)}")["webcam"]["uid"] == uid
        renewed = (data / "printbus" / "secrets.json").read_text()
        assert "pbkdf2" not in renewed and renewed.count("argon2id") == 2

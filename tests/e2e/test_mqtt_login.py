"""The real program with forced logins: over MQTT with password, token and key, and no secret in what it writes."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from tests.conftest import Run
from tests.mqtt_wire import Refused, WireClient
from tests.program import Addresses, running

SETTINGS = "authorization: {force_logins: true}\nbridge: {cors_domains: ['http://*.lan']}\n"
PASSWORD, WRONG = "correct-horse-battery", "wrong-horse-battery"


async def asked(client: WireClient, name: str, method: str, params: Any = None) -> Any:
    """The answer to a request on private topics."""
    await client.subscribe((f"test/moonraker/api/response/{name}", 0))
    request = {"jsonrpc": "2.0", "method": method, "params": params or {}, "id": 1}
    await client.publish(f"test/moonraker/api/request/{name}", json.dumps(request).encode())
    return json.loads((await client.published()).payload)


async def logins(where: Addresses, http: httpx.AsyncClient) -> list[str]:
    """Everything that a user can do, the secrets of which are answered."""
    made = await http.post("/access/user", json={"username": "anna", "password": PASSWORD})
    anna = made.json()["result"]
    headers = {"Authorization": f"Bearer {anna['token']}"}
    key = (await http.get("/access/api_key", headers=headers)).json()["result"]
    oneshot = (await http.get("/access/oneshot_token", headers=headers)).json()["result"]
    await http.post(
        "/access/user", json={"username": "ben", "password": PASSWORD, "roles": ["viewer"]}, headers=headers
    )

    async def connect(name: str, user: str | None, password: str | None) -> WireClient:
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        secret = None if password is None else password.encode()
        try:
            return await client.login(name, user=user, password=secret)
        except Refused:
            await client.drop()
            raise

    for user, password in ((None, None), ("anna", WRONG), ("anna", None), ("anna", anna["refresh_token"])):
        with pytest.raises(Refused):
            await connect("panel", user, password)
    clients = [await connect(f"c{n}", "anna", secret) for n, secret in enumerate((PASSWORD, anna["token"], key))]
    for number, client in enumerate(clients):
        assert "result" in await asked(client, f"c{number}", "server.info")
    ben = await connect("ben", "ben", PASSWORD)
    assert (await asked(ben, "ben", "printer.emergency_stop"))["error"]["code"] == 403
    assert "result" in await asked(ben, "ben", "access.login", {"username": "ben", "password": PASSWORD})
    await http.delete("/access/user", params={"username": "ben"}, headers=headers)
    await ben.closed()
    for each in (*clients, ben):
        await each.drop()
    return [PASSWORD, WRONG, anna["token"], anna["refresh_token"], key, oneshot]


async def leak(where: Addresses, http: httpx.AsyncClient, secrets: list[str]) -> str:
    """Puts secrets where clients put them, and what is answered to that."""
    seen = ""
    for secret in (*secrets, "made-up-secret"):
        for path in (
            "/server/info",
            "/server/nosuch",
            "/server/files/gcodes/none.gcode",
            "/printer/objects/query",
            "/",
        ):
            for name in ("token", "access_token"):
                seen += (await http.get(path, params={name: secret})).text
        for name in ("X-Api-Key", "X-Access-Token", "Authorization"):
            seen += (await http.get("/server/info", headers={name: f"Bearer {secret}"})).text
        url = f"{where.http.replace('http', 'ws')}/websocket?token={secret}"
        try:
            async with websockets.connect(url, proxy=None) as socket:
                identify = {"client_name": "x", "version": "1", "type": "web", "url": "x", "access_token": secret}
                sent = {"jsonrpc": "2.0", "method": "server.connection.identify", "params": identify, "id": 1}
                await socket.send(json.dumps(sent))
                seen += str(await socket.recv())
        except websockets.InvalidStatus as refused:
            seen += refused.response.body.decode() if refused.response.body else ""
    return seen


def test_users_log_in_over_mqtt_and_secrets_are_nowhere(tmp_path: Path, run: Run[Any]) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "printer.yaml").write_text(SETTINGS)

    async def main(where: Addresses) -> list[str]:
        async with httpx.AsyncClient(base_url=where.http, trust_env=False, timeout=20) as http:
            secrets = await logins(where, http)
            seen = await leak(where, http, secrets)
            assert not any(secret in seen for secret in secrets)
            kept = {"namespace": "test", "key": "a", "value": 1}
            headers = {"X-Api-Key": secrets[4]}
            (await http.post("/server/database/item", json=kept, headers=headers)).raise_for_status()
            events = await http.get("/events/read", params={"limit": 500}, headers=headers)
            assert not any(secret in events.text for secret in secrets)
            logged = [each["data"]["how"] for each in events.json()["result"]["events"] if each["stream"] == "logins"]
            assert {"password", "token", "key"} <= {*logged}
            return secrets

    with running(tmp_path, "--klippy", str(tmp_path / "none.sock")) as (program, where):
        secrets = run(main(where))
    written = "".join(program.errors) + "".join(each.read_text() for each in (tmp_path / "logs").iterdir())
    assert written and not any(secret in written for secret in (*secrets, "made-up-secret"))

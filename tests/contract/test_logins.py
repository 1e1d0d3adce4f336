"""How clients log in, as front ends and slicers do it, and what becomes of those that fail or are thrown out."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from schemas.printer import KLIPPY_READY
from tests.access_rig import STRANGER, AccessRig, FarAway, access_rig, bearer
from tests.conftest import Run
from tests.unit.bridge.ws_client import WsClient, websocket

WHO: dict[str, Any] = {"client_name": "panel", "version": "1", "type": "web", "url": "http://panel"}
UNAUTHORIZED = {"code": -32602, "message": "Unauthorized"}


async def call(client: WsClient, method: str, **params: Any) -> Any:
    """The result, or the error object, of a request on a websocket."""
    answer = await client.call(method, params)
    while "id" not in answer:
        answer = await client.receive()
    return answer.get("result", answer.get("error"))


async def is_told(rig: AccessRig, client: WsClient) -> bool:
    """Whether a websocket gets notifications."""
    topic = rig.topics.notify(KLIPPY_READY.name)
    rig.router.session.publish(topic, b'{"jsonrpc":"2.0","method":"notify_klippy_ready"}')
    client.send({"jsonrpc": "2.0", "method": "access.info", "id": "end"})
    found = [await client.receive()]
    while found[-1].get("id") != "end":
        found.append(await client.receive())
    return any(message.get("method") == "notify_klippy_ready" for message in found)


def test_the_login_of_fluidd_with_force_logins(run: Run[None], tmp_path: Path) -> None:
    """It asks over the websocket, shows its login page, logs in, identifies, and gets a new token when one is old."""

    async def main() -> None:
        async with access_rig(tmp_path, force_logins=True) as rig:
            await rig.create("anna")
            assert (await rig.ask("GET", "/server/info")).status_code == 401  # although it comes from this machine
            async with websocket(rig.port) as page:
                assert await call(page, "server.connection.identify", **WHO) == UNAUTHORIZED
                assert await call(page, "access.info") == {
                    "default_source": "moonraker",
                    "available_sources": ["moonraker"],
                    "login_required": True,
                    "trusted": True,
                }
                assert await call(page, "server.info") == UNAUTHORIZED
                assert not await is_told(rig, page)
                made = await call(page, "access.login", username="anna", password="anna", source="moonraker")
                assert (made["username"], made["action"], made["source"]) == ("anna", "user_logged_in", "moonraker")
                named = await call(page, "server.connection.identify", **WHO, access_token=made["token"])
                assert named["connection_id"] > 0
                assert "moonraker_version" in await call(page, "server.info")
                assert await is_told(rig, page)
                fresh = await call(page, "access.refresh_jwt", refresh_token=made["refresh_token"])
                assert fresh["action"] == "user_jwt_refresh"
                assert (await rig.ask("GET", "/access/user", bearer(fresh["token"]))).json()["result"] == {
                    "username": "anna",
                    "source": "moonraker",
                    "roles": ["admin"],
                    "created_on": rig.directory.accounts.users["anna"]["created_on"],
                }
                once = await call(page, "access.oneshot_token")
                download = f"/server/files/gcodes/none.gcode?token={once}"
                assert (await rig.ask("GET", download)).status_code != 401
                assert (await rig.ask("GET", download)).status_code == 401
                assert (await call(page, "access.logout"))["action"] == "user_logged_out"
                assert await call(page, "server.info") == UNAUTHORIZED and not await is_told(rig, page)
                assert (await call(page, "access.refresh_jwt", refresh_token=made["refresh_token"]))["code"] == -32602

    run(main())


def test_the_login_of_mainsail(run: Run[None], tmp_path: Path) -> None:
    """It identifies without credentials, which is enough from a trusted address and never from another."""

    async def main() -> None:
        async with access_rig(tmp_path) as rig:
            async with websocket(rig.port) as page:
                assert (await call(page, "server.connection.identify", **WHO))["connection_id"] > 0
                assert await is_told(rig, page)
            async with websocket(rig.port, "/websocket", **STRANGER) as page:
                assert await call(page, "server.connection.identify", **WHO) == UNAUTHORIZED
                assert not await is_told(rig, page)

    run(main())


def test_a_websocket_with_credentials_in_its_handshake(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with access_rig(tmp_path) as rig, AsyncExitStack() as opened:
            token, key = await rig.create("anna", "viewer"), await rig.create_key("panel", "viewer")
            once = (await rig.ask("GET", "/access/oneshot_token", STRANGER | bearer(token))).json()["result"]
            for path, headers, user in (
                ("/websocket", bearer(token), "anna"),
                ("/websocket", {"X-Access-Token": token}, "anna"),
                (f"/websocket?access_token={token}", {}, "anna"),
                (f"/websocket?token={once}", {}, "anna"),
                ("/websocket", {"X-Api-Key": key}, "_API_KEY_USER_"),
            ):
                page = await opened.enter_async_context(websocket(rig.port, path, **STRANGER | headers))
                assert page.status == 101
                assert (await call(page, "access.get_user"))["username"] == user
                assert await is_told(rig, page)
                assert (await call(page, "server.restart"))["code"] == 403
            for path, headers, status in (
                (f"/websocket?token={once}", {}, 101),  # used up, so it is as good as none
                ("/websocket", {"X-Api-Key": key[1:]}, 401),
                ("/websocket", bearer(token[:-5]), 401),
                ("/klippysocket", {}, 401),
            ):
                page = await opened.enter_async_context(websocket(rig.port, path, **STRANGER | headers))
                assert page.status == status
                if status == 101:
                    assert await call(page, "server.info") == UNAUTHORIZED

    run(main())


def test_slicers_show_a_key_as_to_an_octoprint(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with access_rig(tmp_path) as rig:
            key = await rig.create_key("slicer", "operator")
            for headers, stranger, trusted in (
                ({"X-Api-Key": key}, 200, 200),
                ({"Authorization": f"Bearer {key}"}, 200, 200),
                ({"X-Api-Key": "0" * 32}, 401, 401),
                ({"X-Api-Key": ""}, 401, 200),
                ({}, 401, 200),
            ):
                for path in ("/api/version", "/api/login", "/api/settings", "/api/server"):
                    assert (await rig.ask("GET", path, STRANGER | headers)).status_code == stranger, (path, headers)
                    assert (await rig.ask("GET", path, headers)).status_code == trusted, (path, headers)

    run(main())


@pytest.mark.parametrize("wrong", [{"api_key": "bad"}, {"access_token": "a.b.c"}, {"access_token": " "}])
def test_a_failed_identify_takes_all_rights(run: Run[None], tmp_path: Path, wrong: dict[str, str]) -> None:
    async def main() -> None:
        async with access_rig(tmp_path) as rig, websocket(rig.port) as page:
            await rig.create("anna")
            assert await is_told(rig, page)
            assert (await call(page, "server.connection.identify", **WHO, **wrong))["code"] == -32602
            assert await call(page, "server.info") == UNAUTHORIZED
            assert not await is_told(rig, page)
            assert await call(page, "server.connection.identify", **WHO) == UNAUTHORIZED
            assert (await call(page, "access.login", username="anna", password="anna"))["username"] == "anna"
            assert "moonraker_version" in await call(page, "server.info")

    run(main())


@pytest.mark.parametrize("empty", [{"api_key": ""}, {"access_token": ""}, {"access_token": "", "api_key": None}])
def test_an_empty_credential_is_none(run: Run[None], tmp_path: Path, empty: dict[str, Any]) -> None:
    """As KlipperScreen sends it where no key is configured, and as the headers of HTTP are read."""

    async def main() -> None:
        async with access_rig(tmp_path) as rig:
            async with websocket(rig.port) as page:
                assert "connection_id" in await call(page, "server.connection.identify", **WHO, **empty)
                assert await is_told(rig, page)
            async with websocket(rig.port, "/websocket", **STRANGER) as page:
                assert await call(page, "server.connection.identify", **WHO, **empty) == UNAUTHORIZED

    run(main())


def test_an_identify_that_fails_for_another_reason_gives_no_rights(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with access_rig(tmp_path) as rig, websocket(rig.port, "/websocket", **STRANGER) as page:
            viewer, admin = await rig.create("ben", "viewer"), await rig.create("anna")
            assert "connection_id" in await call(page, "server.connection.identify", **WHO, access_token=viewer)
            again = await call(page, "server.connection.identify", **WHO, access_token=admin)
            assert again["message"] == "Connection already identified as panel"
            assert (await call(page, "server.restart"))["code"] == 403
            assert (await call(page, "access.get_user"))["username"] == "ben"

    run(main())


def test_changes_count_at_once_on_open_websockets(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with access_rig(tmp_path) as rig:
            anna, ben = await rig.create("anna"), await rig.create("ben")
            key = await rig.create_key("panel", "viewer")
            async with (
                websocket(rig.port, "/websocket", **STRANGER | bearer(ben)) as bens,
                websocket(rig.port, "/websocket", **STRANGER | {"X-Api-Key": key}) as panel,
                websocket(rig.port, "/websocket", **STRANGER | bearer(anna)) as annas,
            ):
                assert (await call(bens, "access.keys.list"))["keys"]
                done = await call(annas, "access.user.roles", username="ben", roles=["viewer"])
                assert done == {"username": "ben", "action": "user_roles_changed"}
                assert (await call(bens, "access.keys.list"))["code"] == 403
                assert await is_told(rig, bens) and await is_told(rig, panel)
                await call(annas, "access.keys.revoke", name="panel")
                assert await call(panel, "server.info") == UNAUTHORIZED and not await is_told(rig, panel)
                assert (await rig.ask("GET", "/server/info", STRANGER | {"X-Api-Key": key})).status_code == 401
                assert (await call(annas, "access.delete_user", username="anna"))["code"] == 400
                await call(annas, "access.delete_user", username="ben")
                assert await call(bens, "server.info") == UNAUTHORIZED and not await is_told(rig, bens)
                wrong = await call(annas, "access.user.password", password="no", new_password="new")
                assert wrong == {"code": 400, "message": "The current password is wrong"}
                await call(annas, "access.user.password", password="anna", new_password="new")
                assert await call(annas, "server.info") == UNAUTHORIZED
            assert (await rig.ask("GET", "/server/info", bearer(anna))).status_code == 401
            assert (await rig.ask("POST", "/access/login", username="anna", password="anna")).status_code == 401
            assert (await rig.ask("POST", "/access/login", username="anna", password="new")).status_code == 200

    run(main())


def test_nobody_gives_away_more_than_they_have(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with access_rig(tmp_path, roles={"clerk": ["read", "admin"]}) as rig:
            clerk = bearer(await rig.create("clerk", "clerk"))
            for verb, path, body in (
                ("POST", "/access/user", {"username": "x", "password": "x"}),
                ("POST", "/access/user", {"username": "x", "password": "x", "roles": ["operator"]}),
                ("POST", "/access/keys", {"name": "x", "roles": ["admin"]}),
                ("GET", "/access/api_key", {}),
                ("POST", "/access/api_key", {}),
            ):
                assert (await rig.ask(verb, path, STRANGER | clerk, **body)).status_code == 403, path
            made = {"username": "x", "password": "x", "roles": ["viewer"]}
            assert (await rig.ask("POST", "/access/user", STRANGER | clerk, **made)).status_code == 200

    run(main())


def test_one_of_two_parallel_requests_with_one_oneshot_token_passes(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with access_rig(tmp_path, force_logins=True) as rig:
            token = await rig.create("anna")
            for _ in range(5):
                once = (await rig.ask("GET", "/access/oneshot_token", bearer(token))).json()["result"]
                both = await asyncio.gather(*(rig.ask("GET", f"/server/info?token={once}") for _ in range(2)))
                assert sorted(answer.status_code for answer in both) == [200, 401]
            once = (await rig.ask("GET", "/access/oneshot_token", bearer(token))).json()["result"]
            assert (await rig.ask("GET", f"/server/info?token={once}", STRANGER)).status_code == 401
            assert (await rig.ask("GET", f"/server/info?token={once}")).status_code == 401

    run(main())


def test_pictures_need_no_credentials(run: Run[None], tmp_path: Path) -> None:
    """An image tag cannot send any; without an agent for files the answer is that there is none."""

    async def main() -> None:
        async with access_rig(tmp_path, force_logins=True) as rig:
            await rig.create("anna")
            for headers in ({}, STRANGER, STRANGER | bearer("a.b.c")):
                for name, status in (("a.png", 404), ("a.jpg", 404), ("a.gcode", 401), ("a.png.gcode", 401)):
                    answer = await rig.ask("GET", f"/server/files/gcodes/{name}", headers)
                    assert answer.status_code == status, (name, headers)
                assert (await rig.ask("DELETE", "/server/files/gcodes/a.png", headers)).status_code == 401

    run(main())


def test_an_invalid_token_is_refused_from_everywhere_and_the_order_counts(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with access_rig(tmp_path) as rig:
            token, key = await rig.create("anna", "viewer"), await rig.create_key("panel", "operator")
            assert (await rig.ask("GET", "/server/info", bearer(token[:-3]))).status_code == 401
            both = bearer(token[:-3]) | {"X-Api-Key": key}
            assert (await rig.ask("GET", "/server/info", both)).status_code == 401
            seen = await rig.ask("GET", "/access/user?token=OLD", STRANGER | {"X-Api-Key": key})
            assert seen.json()["result"]["username"] == "_API_KEY_USER_"
            basic = {"Authorization": "Basic eDp5", "X-Access-Token": "a.b.c"}
            assert (await rig.ask("GET", "/server/info", basic)).status_code == 200
            assert (await rig.ask("GET", "/server/info", STRANGER | basic)).status_code == 401

    run(main())


def test_logins_and_changes_are_noted_with_who_and_where_and_without_secrets(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with access_rig(tmp_path) as rig:
            await rig.create("anna")
            key = await rig.create_key("panel", "viewer")
            tokens = await rig.login("anna")
            for name in ("anna", "hunter2"):  # people do type their password in there
                await rig.ask("POST", "/access/login", STRANGER, username=name, password="wrong-one")
            await rig.ask("POST", "/access/logout", bearer(tokens["token"]))
            await rig.ask("DELETE", "/access/user", username="anna")
            changes = [(kind, actor["user"]) for kind, _, actor in await rig.events("access")]
            assert changes == [
                ("user.created.1", None),
                ("user.signed_in.1", None),
                ("key.created.1", None),
                ("user.logged_out.1", "anna"),
                ("user.deleted.1", None),
            ]
            logins = [(kind, data["username"], actor["client"]) for kind, data, actor in await rig.events("logins")]
            assert logins == [
                ("login.succeeded.1", "anna", "127.0.0.1"),
                ("login.failed.1", "anna", "via 127.0.0.1"),
                ("login.failed.1", None, "via 127.0.0.1"),
            ]
            known = repr(await rig.journal.read(limit=5000))
            for secret in (key, tokens["token"], tokens["refresh_token"], "argon2", "wrong-one", "hunter2"):
                assert secret not in known

    run(main())


def test_clients_of_an_uplink_have_its_role_and_are_told_so(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with access_rig(tmp_path, roles={"clerk": ["read", "admin"]}) as rig:
            for role, shown in (("operator", ["operator"]), ("clerk", ["clerk"]), ("admin", ["admin"])):
                away = FarAway(rig, role)
                seen = await away.ask("access.get_user")
                assert (seen["username"], seen["roles"]) == ("_TRUSTED_USER_", shown)
            assert (await FarAway(rig, None).ask("access.get_user"))["roles"] == ["admin"]
            assert await FarAway(rig, "operator").ask("server.restart") == 403
            assert (await FarAway(rig, "viewer").ask("server.connection.identify", **WHO))["connection_id"] > 0

    run(main())

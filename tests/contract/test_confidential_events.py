"""What only admins read of the event log: users, keys and logins, for whoever asks and on whichever way."""

from pathlib import Path

from bus.log import NewEvent
from tests.access_rig import AccessRig, FarAway, access_rig, bearer
from tests.conftest import Run


async def read(rig: AccessRig, token: str, query: str = "") -> tuple[list[int], int]:
    """The numbers of the events of a page, and the head."""
    page = (await rig.ask("GET", f"/events/read?{query}", bearer(token))).json()["result"]
    return [event["seq"] for event in page["events"]], page["head"]


def test_streams_and_the_fold_of_users_are_for_admins(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with access_rig(tmp_path, roles={"clerk": ["read", "admin"]}) as rig:
            for role, status in (("viewer", 403), ("operator", 403), ("clerk", 200), ("admin", 200)):
                headers = bearer(await rig.create(role, role))
                for path in ("read?stream=logins", "read?stream=access", "state?fold=accounts"):
                    assert (await rig.ask("GET", f"/events/{path}", headers)).status_code == status, (role, path)
            assert (await rig.ask("GET", "/events/state?fold=accounts")).status_code == 200  # a trusted address
            for given, code in (("viewer", 403), ("operator", 403), ("admin", 0), (None, 0)):
                away = FarAway(rig, given)
                for method, params in (
                    ("events.read", {"stream": "logins"}),
                    ("events.read", {"stream": "access"}),
                    ("events.state", {"fold": "accounts"}),
                ):
                    answer = await away.ask(method, **params)
                    assert (answer if isinstance(answer, int) else 0) == code, (given, method)

    run(main())


def test_who_is_no_admin_reads_on_behind_what_is_left_out(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with access_rig(tmp_path) as rig:
            token = await rig.create("anna", "viewer")
            note = [NewEvent("print.note.1", {})]
            seen = [await rig.journal.append("print", note)]
            for _ in range(3):
                last = await rig.journal.append("logins", [NewEvent("login.failed.1", {})] * 400)
                seen += [await rig.journal.append("print", note), await rig.journal.append("print", note)]
            found: list[int] = []
            while page := (await read(rig, token, f"since={found[-1] if found else seen[0] - 1}&limit=2"))[0]:
                assert len(page) <= 2
                found += page
            assert found == seen
            head = await rig.journal.append("access", [NewEvent("other.1", {"username": "anna"})] * 600)
            assert await read(rig, token, f"since={seen[-1]}&limit=1") == ([], head)
            assert await read(rig, token, f"since={last}&stream=print") == (seen[-2:], head)
            (event,) = (await FarAway(rig, "viewer").ask("events.read", since=seen[0], limit=1))["events"]
            assert event["seq"] == seen[1]
            admin, _ = await read(rig, await rig.create("ada"), f"since={seen[-1]}&limit=1")
            assert admin == [seen[-1] + 1]

    run(main())

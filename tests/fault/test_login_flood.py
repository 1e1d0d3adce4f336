"""Somebody guesses a password over all transports at once: others are served, hardly a guess is judged or kept."""

import asyncio
import statistics
from pathlib import Path
from typing import Any

import httpx

from benchmarks.logins import PASSWORD, SETTINGS, USER, WAYS, latencies
from tests.conftest import Run
from tests.program import Addresses, running

EACH = 8  # clients that try, over each transport
SECONDS = 0.7
FEW = 12  # guesses that may have been judged: five, and those whose delay has passed meanwhile
SLOWER = 5.0  # times, on a machine that has other things to do
SLACK = 0.02  # seconds
LEFT = 4  # seconds of a delay that are enough for one more try, of which one second has passed with the answer


def test_a_flood_of_wrong_logins_leaves_others_alone(tmp_path: Path, run: Run[tuple[float, float]]) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "printer.yaml").write_text(SETTINGS)
    with running(tmp_path, "--klippy", str(tmp_path / "none.sock")) as (_, where):
        with httpx.Client(base_url=where.http, trust_env=False, timeout=30) as http:
            new = {"username": USER, "password": PASSWORD}
            token = http.post("/access/user", json=new).json()["result"]["token"]
            alone, flooded = run(both(where, token))
            assert flooded < alone * SLOWER + SLACK
            headers = {"Authorization": f"Bearer {token}"}
            kept = {"namespace": "test", "key": "a", "value": 1}  # stored together with what nobody waits for
            http.post("/server/database/item", json=kept, headers=headers).raise_for_status()
            events = http.get("/events/read?stream=logins&limit=500", headers=headers)
            failed = [each for each in events.json()["result"]["events"] if each["type"].startswith("login.failed")]
            assert 0 < len(failed) <= FEW
            assert PASSWORD not in events.text and all(each["actor"]["transport"] for each in failed)
            while (log_in(http, "wrong")["error"].get("data") or {}).get("retry_after", 0) < LEFT:
                continue
            refused = log_in(http, PASSWORD)["error"]
        assert refused["code"] == 401 and "try again in" in refused["message"]


def log_in(http: httpx.Client, password: str) -> dict[str, Any]:
    """The answer to a try."""
    answer: dict[str, Any] = http.post("/access/login", json={"username": USER, "password": password}).json()
    return answer


async def both(where: Addresses, token: str) -> tuple[float, float]:
    """The mean latency without and with the flood; without is before or after it, when others slow the machine."""
    before = await latencies(where, token, SECONDS)
    flood = [asyncio.create_task(way(where), name=way.__name__) for way in WAYS for _ in range(EACH)]
    flooded = await latencies(where, token, SECONDS)
    for task in flood:
        task.cancel()
    ended = await asyncio.gather(*flood, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
    after = await latencies(where, token, SECONDS)
    return max(statistics.mean(before), statistics.mean(after)), statistics.mean(flooded)

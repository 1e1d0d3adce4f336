"""What a flood of wrong logins over HTTP, websocket and MQTT costs somebody who is logged in (-m benchmarks.logins)."""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import websockets

from tests.mqtt_wire import Refused, WireClient
from tests.program import Addresses, running

SECONDS = 5.0
EACH = 20  # clients that try, over each transport
SETTINGS = "authorization: {force_logins: true}\n"
USER, PASSWORD = "anna", "a long sentence that nobody guesses"
WARM_UP = 200


async def over_http(where: Addresses) -> None:
    """One that tries again and again."""
    async with httpx.AsyncClient(base_url=where.http, trust_env=False, timeout=30) as http:
        while True:
            answer = await http.post("/access/login", json={"username": USER, "password": "wrong"})
            assert answer.status_code in (401, 503), answer.text


async def over_websocket(where: Addresses) -> None:
    """The same."""
    wrong = {"jsonrpc": "2.0", "method": "access.login", "params": {"username": USER, "password": "wrong"}, "id": 1}
    while True:
        try:
            async with websockets.connect(f"{where.http.replace('http', 'ws')}/websocket", proxy=None) as socket:
                while True:
                    await socket.send(json.dumps(wrong))
                    await socket.recv()
        except websockets.ConnectionClosed:
            continue


async def over_mqtt(where: Addresses) -> None:
    """The same."""
    while True:
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        try:
            with suppress(Refused, EOFError, ConnectionError, TimeoutError):
                await client.login("guesser", user=USER, password=b"wrong")
        finally:
            await client.drop()


WAYS: tuple[Callable[[Addresses], Coroutine[Any, Any, None]], ...] = (over_http, over_websocket, over_mqtt)


def flood(where: Addresses, each: int) -> None:
    """In a process of its own, until it is ended."""

    async def main() -> None:
        await asyncio.gather(*(way(where) for way in WAYS for _ in range(each)))

    asyncio.run(main())


async def latencies(where: Addresses, token: str, seconds: float) -> list[float]:
    """Of the requests of somebody who is logged in, one after the other, in seconds."""
    taken = []
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=where.http, trust_env=False, headers=headers, timeout=30) as http:
        for _ in range(WARM_UP):
            (await http.get("/server/info")).raise_for_status()
        end = time.perf_counter() + seconds
        while (begun := time.perf_counter()) < end:
            (await http.get("/server/info")).raise_for_status()
            taken.append(time.perf_counter() - begun)
    return taken


def measured(seconds: float, each: int) -> tuple[list[float], list[float]]:
    """Without and with the flood."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        (data / "config").mkdir(parents=True)
        (data / "config" / "printer.yaml").write_text(SETTINGS)
        with running(data, "--klippy", str(data / "none.sock")) as (_, where):
            made = httpx.post(
                f"{where.http}/access/user", json={"username": USER, "password": PASSWORD}, trust_env=False
            )
            token = made.json()["result"]["token"]
            alone = asyncio.run(latencies(where, token, seconds))
            attack = multiprocessing.get_context("spawn").Process(target=flood, args=(where, each), daemon=True)
            attack.start()
            time.sleep(2)  # the process starts, and the first tries are judged
            try:
                return alone, asyncio.run(latencies(where, token, seconds))
            finally:
                attack.terminate()
                attack.join()


def main() -> None:
    """Prints both, and what the flood costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--each", type=int, default=EACH, help="clients that try, over each of three transports")
    options = parser.parse_args()
    alone, flooded = measured(options.seconds, options.each)
    for name, taken in (("alone", alone), ("in a flood of wrong logins", flooded)):
        ordered = sorted(taken)
        print(
            f"{name}: median {statistics.median(taken) * 1e3:.3f} ms, mean {statistics.mean(taken) * 1e3:.3f} ms, "
            f"p99 {ordered[len(ordered) * 99 // 100] * 1e3:.3f} ms, {len(taken)} requests"
        )
    print(f"the flood costs {(statistics.mean(flooded) / statistics.mean(alone) - 1) * 100:+.1f} % of the mean")


if __name__ == "__main__":
    main()

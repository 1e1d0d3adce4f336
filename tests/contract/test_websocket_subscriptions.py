"""Subscriptions to printer objects, asked for on the websocket or over HTTP (behaviours.md section 8)."""

from typing import Any

import orjson
import pytest

from bus.errors import Unavailable
from bus.router import MAX_BATCH
from tests.conftest import Run
from tests.unit.bridge.wire import Running, http_client, running, until
from tests.unit.bridge.ws_client import WsClient, masked, websocket

STATE = {"toolhead": {"position": [0], "status": "Ready"}, "fan": {"speed": 0.0}}


def answering(behind: Running, revision: int = 10) -> None:
    """Lets the router answer subscriptions with a state as of a revision."""
    behind.router.answers["printer.objects.subscribe"] = lambda _: {
        "eventtime": 1.0,
        "status": STATE,
        "revision": revision,
    }


def update(revision: int, status: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "notify_status_update", "params": [status, revision / 4]}


async def subscribe(client: WsClient, objects: Any, request_id: int = 1) -> Any:
    return await client.call("printer.objects.subscribe", {"objects": objects}, request_id)


async def nothing_more(client: WsClient) -> None:
    """Nothing came in between: the next message is the answer to this."""
    assert (await client.call("server.info", request_id="last"))["id"] == "last"


def test_each_connection_gets_what_it_asked_for(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind, websocket(behind.port) as one, websocket(behind.port) as two:
            answering(behind)
            answer = await subscribe(one, {"toolhead": ["position"]})
            assert answer["result"]["status"] == STATE
            await subscribe(two, {"fan": None})
            behind.delta(11, {"toolhead": {"position": [1], "status": "Printing"}})
            behind.delta(12, {"fan": {"speed": 0.5}})
            assert await one.receive() == update(11, {"toolhead": {"position": [1]}})
            assert await two.receive() == update(12, {"fan": {"speed": 0.5}})
            for client in (one, two):
                await nothing_more(client)

    run(main())


def test_changes_while_the_answer_is_on_its_way_come_behind_it(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind, websocket(behind.port) as client:
            answering(behind, revision=10)
            await client.call("server.info")
            behind.router.held = True
            client.send(
                {"jsonrpc": "2.0", "method": "printer.objects.subscribe", "id": 1, "params": {"objects": {"fan": None}}}
            )
            await until(lambda: len(behind.wire.sent("/api/request/")) == 2)
            for revision in (9, 10, 11):
                behind.delta(revision, {"fan": {"speed": revision / 100}})
            behind.router.release()
            assert "result" in await client.receive()
            assert await client.receive() == update(11, {"fan": {"speed": 0.11}})
            await nothing_more(client)

    run(main())


def test_a_new_subscription_replaces_the_old_and_an_empty_one_cancels(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind, websocket(behind.port) as client:
            answering(behind)
            await subscribe(client, {"toolhead": None})
            await subscribe(client, {"fan": None})
            behind.delta(11, {"toolhead": {"status": "x"}, "fan": {"speed": 1}})
            assert await client.receive() == update(11, {"fan": {"speed": 1}})
            await subscribe(client, {})
            behind.delta(12, {"fan": {"speed": 0}})
            await nothing_more(client)

    run(main())


def test_in_a_batch_too(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind, websocket(behind.port) as client:
            answering(behind)
            request = {
                "jsonrpc": "2.0",
                "method": "printer.objects.subscribe",
                "params": {"objects": {"fan": ["speed"]}},
            }
            client.send([{"jsonrpc": "2.0", "method": "server.info", "id": 1}, request | {"id": {"odd": 1}}])
            assert len(await client.receive()) == 2
            behind.delta(11, {"fan": {"speed": 1, "rpm": 5}})
            assert await client.receive() == update(11, {"fan": {"speed": 1}})

    run(main())


def test_one_id_for_everything_or_none_takes_no_subscription_away(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind, websocket(behind.port) as client:
            answering(behind)
            request = {
                "jsonrpc": "2.0",
                "method": "printer.objects.subscribe",
                "params": {"objects": {"fan": ["speed"]}},
            }
            client.send({"jsonrpc": "2.0", "method": "server.info", "id": 1})
            client.send(request | {"id": 1})
            answers = [await client.receive() for _ in range(2)]
            assert [answer["id"] for answer in answers] == [1, 1] and answers[1]["result"]["status"] == STATE
            behind.delta(11, {"fan": {"speed": 1}})
            assert await client.receive() == update(11, {"fan": {"speed": 1}})
            client.send(request | {"params": {"objects": {"toolhead": None}}})  # nobody wants the answer
            await nothing_more(client)
            behind.delta(12, {"fan": {"speed": 0}, "toolhead": {"status": "x"}})
            assert await client.receive() == update(12, {"toolhead": {"status": "x"}})
            client.send([request | {"params": {"objects": {}}}, request | {"params": {"objects": {}}, "id": None}])
            await nothing_more(client)
            behind.delta(13, {"toolhead": {"status": "y"}})
            await nothing_more(client)
            del behind.router.answers["printer.objects.subscribe"]
            client.send(request)
            assert (await client.receive())["id"] is None  # an error is told whatever the request
            await nothing_more(client)

    run(main())


def test_what_goes_on_as_it_is_leaves_nothing_behind(run: Run[None]) -> None:
    """Batches and messages that the router refuses whole, and what is nested deeper than can be written."""

    async def main() -> None:
        async with running() as behind, websocket(behind.port) as client:
            answering(behind)
            request = {"jsonrpc": "2.0", "method": "printer.objects.subscribe", "params": {"objects": {"fan": None}}}
            for _ in range(2):  # more than would be kept of what was not answered
                client.send([request | {"id": number} for number in range(MAX_BATCH + 1)])
                assert [answer["id"] for answer in await client.receive()] == [*range(MAX_BATCH + 1)]
            nested = b"[" * 300 + b"]" * 300
            text = orjson.dumps(request | {"id": 1})[:-1] + b',"x":' + nested + b"}"
            client.raw(masked(1, text))
            assert (await client.receive())["result"]["status"] == STATE
            behind.delta(11, {"fan": {"speed": 1}})
            await nothing_more(client)
            answering(behind, revision=11)
            await subscribe(client, {"fan": None})
            behind.delta(12, {"fan": {"speed": 2}})
            assert await client.receive() == update(12, {"fan": {"speed": 2}})

    run(main())


@pytest.mark.parametrize("objects", [5, None, {"fan": "speed"}, {"fan": [1]}, ["fan"]])
def test_nonsense_and_refusals_change_nothing(run: Run[None], objects: Any) -> None:
    async def main() -> None:
        async with running() as behind, websocket(behind.port) as client:
            answering(behind)
            await subscribe(client, {"fan": None})
            await subscribe(client, objects)

            def gone(_: Any) -> Any:
                raise Unavailable("Klippy is not connected")

            behind.router.answers["printer.objects.subscribe"] = gone
            assert (await subscribe(client, {"toolhead": None}))["error"]["code"] == 503
            behind.delta(11, {"fan": {"speed": 1}})
            assert await client.receive() == update(11, {"fan": {"speed": 1}})

    run(main())


def test_klipper_going_away_ends_all_subscriptions(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind, websocket(behind.port) as client:
            answering(behind)
            await subscribe(client, {"fan": None})
            behind.notify("notify_klippy_disconnected")
            assert (await client.receive())["method"] == "notify_klippy_disconnected"
            behind.delta(11, {"fan": {"speed": 1}})
            await nothing_more(client)

    run(main())


def test_a_closed_connection_leaves_nothing(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            answering(behind)
            async with websocket(behind.port) as client:
                await subscribe(client, {"fan": None})
                assert len(behind.bridge._clients.subscriptions) == 1
            await until(lambda: len(behind.bridge._clients.subscriptions) == 0)

    run(main())


def number_of(behind: Running) -> int:
    """The number of the connection that was announced last."""
    return int(behind.wire.sent("/connection/")[-1].topic.rpartition("/")[2])


def test_over_http_for_a_live_websocket(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind, websocket(behind.port) as client, http_client(behind.url) as http:
            answering(behind)
            await client.call("server.info")
            number = number_of(behind)
            path = "/printer/objects/subscribe"
            answer = await http.post(f"{path}?connection_id={number}&fan=speed")
            assert answer.json()["result"]["status"] == STATE
            call = behind.router.calls[-1]
            assert (call["connection"], call["params"]) == (number, {"objects": {"fan": ["speed"]}})
            behind.delta(11, {"fan": {"speed": 1, "rpm": 2}})
            assert await client.receive() == update(11, {"fan": {"speed": 1}})
            await http.post(path, json={"connection_id": number, "objects": {"toolhead": None}})
            behind.delta(12, {"fan": {"speed": 0}, "toolhead": {"status": "x"}})
            assert await client.receive() == update(12, {"toolhead": {"status": "x"}})
            await http.get(f"{path}?connection_id={number}")
            behind.delta(13, {"fan": {"speed": 0}, "toolhead": {"status": "y"}})
            await nothing_more(client)

    run(main())


@pytest.mark.parametrize("query", ["", "?connection_id=5", "?connection_id=x", "?connection_id=-1", "?fan"])
def test_over_http_for_no_websocket(run: Run[None], query: str) -> None:
    async def main() -> None:
        async with running() as behind, http_client(behind.url) as http:
            answering(behind)
            answer = await http.post(f"/printer/objects/subscribe{query}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, 400)
            assert not behind.router.calls

    run(main())


def test_two_hundred_followers_of_the_same_share_one_frame(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            answering(behind)
            clients = [websocket(behind.port) for _ in range(200)]
            opened = [await client.__aenter__() for client in clients]
            for client in opened:
                await subscribe(client, {"fan": None, "toolhead": ["position"]})
            assert len(behind.bridge._clients.subscriptions._groups) == 1
            behind.delta(11, {"fan": {"speed": 1}})
            for client in opened:
                assert await client.receive() == update(11, {"fan": {"speed": 1}})
            for closing in clients:
                await closing.__aexit__(None, None, None)

    run(main())

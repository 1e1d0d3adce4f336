"""A cancelled caller of a link stays cancelled, also where the library below forgets it."""

import asyncio
from typing import Any, cast

import aiomqtt
import pytest

from bus.client import Link, Terms
from tests.conftest import Run


class Forgetful:
    """As wait_for of Python 3.11 behaves when the answer comes at the moment of the cancellation."""

    async def publish(self, *_: object, **__: object) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return


def test_a_cancelled_publish_ends_its_task(run: Run[Any]) -> None:
    async def cancelled() -> None:
        link = Link(cast(aiomqtt.Client, Forgetful()), Terms())
        sending = asyncio.create_task(link.publish("topic", b""), name="sending")
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    run(cancelled())

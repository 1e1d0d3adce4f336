"""Puts changed access rules in force while the broker runs: SIGHUP has them read again."""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from .access import AccessRules
from .config import ConfigError
from .exchange import Exchange

TERMINAL = Path("/dev/tty")
log = logging.getLogger(__name__)


def reload_on_hangup(
    exchange: Exchange, read: Callable[[], AccessRules], keep: Callable[[], None], reloaded: Callable[[], None]
) -> Coroutine[Any, Any, None]:
    """What reads the rules again whenever SIGHUP comes, from now on, until it is cancelled; broken ones change nothing.

    Others that are in force are kept for the day when they are broken, and `reloaded` is told. `read` and `keep` block.

    The SIGHUP of a terminal that is closed ends the program, unless it was started to ignore that (nohup).
    """
    asked = asyncio.Event()
    stays = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN or not _has_terminal()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
    return _reload_when(asked, partial(_reload, exchange, read, keep), reloaded, stays)


async def _reload_when(
    asked: asyncio.Event, reload: Callable[[], Awaitable[bool]], reloaded: Callable[[], None], stays: bool
) -> None:
    try:
        while True:
            await asked.wait()
            asked.clear()
            if stays or _has_terminal():
                if await reload():
                    reloaded()
            else:
                os.kill(os.getpid(), signal.SIGTERM)
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)


def _has_terminal() -> bool:
    try:
        with TERMINAL.open("rb", buffering=0):
            return True
    except OSError:
        return False


async def _reload(exchange: Exchange, read: Callable[[], AccessRules], keep: Callable[[], None]) -> bool:
    try:
        rules = await asyncio.to_thread(read)
    except ConfigError as error:
        exchange.counters.rules_refused += 1
        log.error("ACCESS RULES NOT CHANGED, the old ones stay in force: %s", error)
        return False
    except Exception:
        exchange.counters.rules_refused += 1
        log.exception("ACCESS RULES NOT CHANGED, reading them failed")
        return False
    exchange.set_rules(rules)
    exchange.counters.rules_changed += 1
    try:
        await asyncio.to_thread(keep)
    except (OSError, ConfigError) as error:
        log.error("the access rules could not be kept: with a broken file, a restart brings back older ones: %s", error)
    log.warning("access rules were read again and are in force, on open connections too")
    return True

"""Puts changed access rules in force while the broker runs: SIGHUP has them read again."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from .access import AccessRules
from .config import ConfigError
from .exchange import Exchange

TERMINAL = Path("/dev/tty")
log = logging.getLogger(__name__)


def reload_on_hangup(
    exchange: Exchange, read: Callable[[], AccessRules], reloaded: Callable[[], None] = lambda: None
) -> Coroutine[Any, Any, None]:
    """What reads the rules again whenever SIGHUP comes, from now on, until it is cancelled; broken ones change nothing.

    `reloaded` is told when others are in force.

    The SIGHUP of a terminal that is closed ends the program, unless it was started to ignore that (nohup).
    """
    asked = asyncio.Event()
    stays = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN or not _has_terminal()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
    return _reload_when(asked, exchange, read, reloaded, stays)


async def _reload_when(
    asked: asyncio.Event,
    exchange: Exchange,
    read: Callable[[], AccessRules],
    reloaded: Callable[[], None],
    stays: bool,
) -> None:
    try:
        while True:
            await asked.wait()
            asked.clear()
            if stays or _has_terminal():
                if await _reload(exchange, read):
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


async def _reload(exchange: Exchange, read: Callable[[], AccessRules]) -> bool:
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
    log.warning("access rules were read again and are in force, on open connections too")
    return True

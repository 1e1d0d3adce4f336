"""What each subcommand of `printbus` does."""

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from .config import ConfigError, nearest
from .errors import BusError
from .installation import fault
from .last_working import keep, offer, recall
from .ownership import take_on_owner
from .planning import (
    BROKER_FILE,
    PRINTER_FILE,
    ConfigFiles,
    Configuration,
    access_section,
    planned,
    planned_before,
)
from .program import Program, Stop, leave_threads, run_again
from .program_log import ProgramLog, machine

log = logging.getLogger(__name__)

FAILED_STATUS = 1


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # not on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def run_until_signal(serve: Callable[[Stop], Coroutine[Any, Any, int]]) -> int:
    """Runs a coroutine that ends when its stop is set, which SIGTERM and SIGINT do."""

    async def serving() -> int:
        stop = Stop()
        stop.heed_signals()
        return await serve(stop)

    with asyncio.Runner(loop_factory=_new_loop) as runner:
        return runner.run(serving())


def _serve(options: argparse.Namespace, *, local: bool) -> int:
    """Runs what is configured or, after a restart with files that cannot be used, what last worked."""
    try:
        plan = planned(options, local=local)
    except ConfigError as error:
        before = planned_before(options, str(error), local=local)
        if before is None:
            raise
        return _status(_served(before, options)[1])
    ready, problems = _served(plan, options)
    if problems and not ready and plan.files != recall(options.data):
        before = planned_before(options, "; ".join(problems), local=local)
        problems = problems if before is None else _served(before, options)[1]
    return _status(problems)


def _served(plan: Any, options: argparse.Namespace) -> tuple[bool, list[str]]:
    """Runs a plan to its end: whether it became ready, and what was wrong. Does not return where it is to restart."""
    with ProgramLog(options.data, _about(options)) as log_file:
        program = Program(log_file)
        problems = _attempt(partial(_serving, plan, program))
    if program.wants_restart and not problems:
        run_again(program)
    return program.ready, problems


async def _serving(plan: Any, program: Program, stop: Stop) -> int:
    from .instance import running

    program.stop = stop
    async with running(plan, program) as ready:
        program.ready = True
        _say(ready)
        _welcome(plan, ready)
        await _keep(plan)
        await stop.wait()
    return 0


def _say(line: str) -> None:
    """Prints a line, for whoever still reads."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - to the end of the program


def _welcome(plan: Any, ready: str) -> None:
    """At the first start: how to get in."""
    if plan.bridge is None or recall(plan.data) is not None:
        return
    url = next(word for word in ready.split() if word.startswith("http"))
    print(
        f"Open {url} on this machine. For others, in {plan.data / 'config' / 'printer.yaml'}:\n"
        "'http: 0.0.0.0:7125' lets them connect, 'authorization: {trusted_clients: [192.168.1.0/24]}' trusts them;\n"
        "for everybody else make a user: printbus users add NAME",
        file=sys.stderr,
    )


async def _keep(plan: Any) -> None:
    if plan.warnings:
        return
    try:
        await asyncio.to_thread(keep, plan.data, plan.files)
        await asyncio.to_thread(offer, plan.data / "config")
    except OSError as error:
        log.warning("the configuration could not be kept for the day when it is broken: %s", reason(error))


def _about(options: argparse.Namespace) -> list[str]:
    from importlib.metadata import version

    files = ConfigFiles(options)
    paths = ", ".join(str(files.path(name)) for name in (PRINTER_FILE, BROKER_FILE))
    return [f"printbus {version('printbus')}, {machine()}", f"data in {options.data}, configured by {paths}"]


def _run(serve: Callable[[Stop], Coroutine[Any, Any, int]], *refusals: type[Exception]) -> int:
    """Runs until a signal; what the machine or the broker refuses is one line on standard error and status 1."""
    return _status(_attempt(serve, *refusals))


def _attempt(serve: Callable[[Stop], Coroutine[Any, Any, int]], *refusals: type[Exception]) -> list[str]:
    """Runs until a signal; answers what the machine or the broker refused."""
    expected: tuple[type[Exception], ...] = (OSError, BusError, *refusals)
    problems: list[str] = []
    try:
        run_until_signal(serve)
    except* expected as refused:
        log.debug("refused", exc_info=refused)
        problems = [reason(error) for error in _leaves(refused)]
    return problems


def _status(problems: Sequence[str]) -> int:
    for problem in problems:
        print(f"printbus: {problem}", file=sys.stderr)
    return FAILED_STATUS if problems else 0


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for error in group.exceptions:
        yield from _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]


def reason(error: BaseException) -> str:
    """An error for people: a system error without its number, and with its file."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return ": ".join(str(part) for part in (error.filename, error.strerror) if part)


def up(options: argparse.Namespace) -> int:
    """Everything in one process."""
    return _serve(options, local=True)


def broker(options: argparse.Namespace) -> int:
    """Broker, log and router; agents and bridge connect to it. Or what its access rules mean."""
    if options.action == "check":
        return _check_access(options)
    if options.action is not None:
        options.parser.error(f"unrecognized arguments: {options.action}; the only action is 'check'")
    if options.who or options.topic is not None:
        options.parser.error("--as and --topic belong to 'printbus broker check'")
    return _serve(options, local=False)


def _check_access(options: argparse.Namespace) -> int:
    from .access_report import report
    from .rule_file import read_rules

    printer = Configuration(options).printer
    access, source = access_section(options)
    found = read_rules(access, source)
    for line in report(found, printer.instance, printer.groups, options.who, options.topic):
        print(line)
    return 0


def _broker_url(options: argparse.Namespace, role: str) -> Any:
    from dataclasses import replace

    from .client import BrokerUrl
    from .instance import agent_key, make_folders

    try:
        url = BrokerUrl.parse(options.broker)
    except ValueError as error:
        raise ConfigError(f"--broker: {error}") from None
    make_folders(options.data)
    return replace(url, user=f"{role}:{uuid4().hex}", password=url.password or agent_key(options.data))


def agent(options: argparse.Namespace) -> int:
    """One agent in a process of its own."""
    configuration = Configuration(options)
    kind = configuration.kinds.get(options.name)
    if kind is None or kind.beside_broker:
        known = [name for name, each in configuration.kinds.items() if not each.beside_broker]
        raise ConfigError(
            f"no agent is called '{options.name}'{nearest(options.name, known)}; known: {', '.join(known)}"
        )
    settings = configuration.settings(kind)
    from .client import Refused
    from .remote import RemoteAgent
    from .topics import Topics

    url = _broker_url(options, "agent")

    async def serve(stop: asyncio.Event) -> int:
        boot = url.user.partition(":")[2]
        printer = configuration.printer
        topics = Topics(printer.instance)
        remote = RemoteAgent(kind, settings, url, topics, options.data, boot, printer.mqtt)
        ready = f"printbus agent {kind.name} ready {options.broker}"
        return await _until(stop, remote.run(lambda: print(ready, flush=True)))

    return _run(serve, Refused)


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> int:
    """Runs work until the event is set."""
    gc.freeze()
    gc.enable()
    task = asyncio.create_task(work, name="work")
    waiter = asyncio.create_task(stop.wait(), name="signal")
    try:
        await asyncio.wait((task, waiter), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        for each in (task, waiter):
            each.cancel()
        await asyncio.gather(task, waiter, return_exceptions=True)
    return 0


def bridge(options: argparse.Namespace) -> int:
    """HTTP and websocket against a broker elsewhere."""
    configuration = Configuration(options)
    settings = configuration.bridge()
    from .client import Refused, RemoteSession
    from .instance import BRIDGE, bridge_part
    from .topics import Topics

    url = _broker_url(options, "bridge")

    async def serve(stop: asyncio.Event) -> int:
        link: list[Any] = []
        session = RemoteSession(url, BRIDGE, connected=lambda: link[0].restored(), lost=lambda: link[0].lost())
        topics = Topics(configuration.printer.instance)
        trusting = configuration.printer.authorization
        made = bridge_part("class")(session, topics, BRIDGE, settings, trusting, data=options.data)
        link.append(made)
        made.lost()  # until the first connect
        await made.start()
        print("printbus ready", *made.urls, flush=True)
        try:
            return await _until(stop, session.run())
        finally:
            await made.stop()

    return _run(serve, Refused)


def config(options: argparse.Namespace) -> int:
    """Says what is wrong with the configuration."""
    plan = planned(options, local=True)
    for name, reason in plan.failed.items():
        print(f"{name}: {reason}")
    print("ok" if not plan.failed else "usable, without the components above")
    return 0


def import_command(options: argparse.Namespace) -> int:
    """Takes over a Moonraker installation."""
    from .moonraker.command import run

    take_on_owner(options.data)
    return run(options)


def users(options: argparse.Namespace) -> int:
    """Who may log in."""
    from .account_commands import users

    take_on_owner(options.data)
    return users(options)


def keys(options: argparse.Namespace) -> int:
    """API keys."""
    from .account_commands import keys

    take_on_owner(options.data)
    return keys(options)


def rules(options: argparse.Namespace) -> int:
    """What the access rules mean, or changed ones put in force."""
    if options.action == "check":
        return _check_access(options)
    return _reload_rules(options)


def _reload_rules(options: argparse.Namespace) -> int:
    """Broken rules are refused here, so that the answer is more than a line in the program's log."""
    from .log_files import writer_of
    from .rules import rules_of

    printer = Configuration(options).printer
    rules_of(*access_section(options), printer.instance, printer.groups)
    process = writer_of(options.data / "printbus" / "log")
    if process is None:
        print("printbus: it does not run, so there is nothing to be told", file=sys.stderr)
        return FAILED_STATUS
    os.kill(process, signal.SIGHUP)
    print("the program reads its access rules again")
    return 0


def log_command(options: argparse.Namespace) -> int:
    """Looks at the event log."""
    from .log_report import run

    return run(options)


def put(options: argparse.Namespace) -> int:
    """A file goes to a printer."""
    from .file_commands import put

    return put(options)


def get(options: argparse.Namespace) -> int:
    """A file comes from a printer."""
    from .file_commands import get

    return get(options)


def execute(options: argparse.Namespace) -> int:
    """Does what a command line asks for; answers the exit status, raises ConfigError."""
    if options.command in SERVING and (wrong := fault()):
        print(f"printbus: {wrong}", file=sys.stderr)
        return FAILED_STATUS
    try:
        status = COMMANDS[options.command](options)
        if options.command in SERVING:
            leave_threads(status)
        return status
    except OSError as error:  # such as a data folder that cannot be made
        print(f"printbus: {reason(error)}", file=sys.stderr)
        return FAILED_STATUS


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "up": up,
    "broker": broker,
    "bridge": bridge,
    "agent": agent,
    "put": put,
    "get": get,
    "log": log_command,
    "import": import_command,
    "config": config,
    "users": users,
    "keys": keys,
    "rules": rules,
}
SERVING = {"up", "broker", "bridge", "agent"}

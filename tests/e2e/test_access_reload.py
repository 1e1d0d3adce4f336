"""Access rules of the running program: SIGHUP reads them again, and broken ones leave it as it was."""

import asyncio
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.brokers import play
from tests.e2e.test_print import until
from tests.mqtt_wire import WireClient
from tests.program import Program, addresses, up_arguments

OPEN = 'rules: [{publish: ["a/#", "b/#"], receive: ["a/#", "b/#"]}]'
NARROW = 'rules: [{publish: ["a/#", "b/#"], receive: "a/#"}]'
STOP_SECONDS = 30.0
IN_TERMINAL = """
import os, signal, sys
_, terminal, ignores, *command = sys.argv
os.close(os.open(terminal, os.O_RDWR))  # a session's first terminal becomes its own
if ignores == "1":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execv(command[0], command)
"""


def arguments(folder: Path) -> list[str]:
    """`printbus broker` on a free port, with rules beside its broker.yaml."""
    (folder / "broker.yaml").write_text("access: {rules: rules.yaml}")
    (folder / "rules.yaml").write_text(OPEN)
    where = ["--data", str(folder / "data"), "--instance", "test", "--mqtt", "127.0.0.1:0"]
    return ["broker", "--broker", str(folder / "broker.yaml"), *where]


def told(program: Program, words: str) -> None:
    """Wait until the log says these words."""
    until(lambda: any(words in line for line in list(program.errors)))
    program.errors.clear()


def test_changed_rules_hold_at_once_and_broken_ones_change_nothing(tmp_path: Path) -> None:
    program = Program(*arguments(tmp_path))
    rules = tmp_path / "rules.yaml"

    async def hangup(words: str) -> None:
        program.process.send_signal(signal.SIGHUP)
        await asyncio.to_thread(told, program, words)

    async def scenario() -> None:
        reader = await (await WireClient.open(address)).login("reader")
        writer = await (await WireClient.open(address)).login("writer")

        async def seen() -> list[str]:
            for topic in ("b/x", "a/x"):
                await writer.publish(topic, b"", qos=1)
            topics: list[str] = []
            while not topics or topics[-1] != "a/x":
                topics.append((await reader.published()).topic)
            return topics

        await reader.subscribe(("#", 0))
        assert await seen() == ["b/x", "a/x"]
        rules.write_text(NARROW)
        await hangup("access rules were read again")
        assert await seen() == ["a/x"]
        for broken in ("", "rules: [{publish: '#', receive: '#'}]\nrules: []", "rules: [{recieve: '#'}]"):
            rules.write_text(broken)
            await hangup("ACCESS RULES NOT CHANGED")
            assert await seen() == ["a/x"]
        rules.unlink()
        await hangup("ACCESS RULES NOT CHANGED")
        assert await seen() == ["a/x"]
        rules.write_text(OPEN)
        await hangup("access rules were read again")
        assert await seen() == ["b/x", "a/x"]
        await reader.drop()
        await writer.drop()

    try:
        where = addresses(program.ready_line())
        address = (where.mqtt_host, where.mqtt_port)
        play(scenario())
    finally:
        assert program.stop() == 0


@pytest.mark.parametrize("kind", ["broker", "up"])
def test_rules_that_cannot_be_read_end_the_start_with_status_2(tmp_path: Path, kind: str) -> None:
    given = arguments(tmp_path)
    options = given if kind == "broker" else [*up_arguments(tmp_path / "data", "--virtual"), *given[1:3]]
    (tmp_path / "rules.yaml").unlink()
    (tmp_path / "rules.yaml").symlink_to(tmp_path / "nowhere")
    done = subprocess.run([sys.executable, "-m", "bus", *options], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and not done.stdout
    assert "rules.yaml: No such file or directory" in done.stderr


@pytest.mark.parametrize("ignores", [False, True], ids=["in a terminal", "under nohup"])
def test_a_closed_terminal_ends_the_program_unless_it_was_told_to_stay(tmp_path: Path, ignores: bool) -> None:
    ours, theirs = pty.openpty()

    start = [sys.executable, "-c", IN_TERMINAL, os.ttyname(theirs), str(int(ignores)), sys.executable, "-m", "bus"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*start, *arguments(tmp_path)], stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        os.close(theirs)
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("printbus ready")
            process.send_signal(signal.SIGHUP)  # while the terminal is open: only the rules are read again
            until(lambda: "access rules were read again" in (tmp_path / "log").read_text())
            assert process.poll() is None
            os.close(ours)
            if ignores:
                until(lambda: (tmp_path / "log").read_text().count("access rules were read again") == 2)
                process.terminate()
            assert process.wait(STOP_SECONDS) == 0
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

"""The command `printbus import`: what it reads, what it refuses, and what it says."""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson

from ..config import ConfigError, PrinterConfig
from ..errors import BusError, Unavailable
from ..instance import OWN_FOLDER, bridge_part, make_folders
from ..log import Append, EventLog, NewEvent
from ..log_draft import LogDraft
from ..log_files import segment_paths
from ..log_tool import log_directory
from ..planning import ConfigFiles, Configuration
from ..progress import Progress, Unit
from ..system_users import at_home
from ..templates import SECRETS_FILE, read_secrets
from ..vault import Vault
from .cameras import cameras
from .conf import Conf, read_conf
from .database import FILE, OLD_FILE, Database, nobody, opened
from .feeds import feeds
from .files import PRINTER, Addition, additions, checked_sections, write_secret
from .jobs import jobs
from .known import Known, known_of
from .namespaces import namespaces
from .options import Translation, translated
from .part import Fact, Part
from .people import people
from .spools import spools

CONF: Final = Path("config", "moonraker.conf")
FAILED: Final = 1
PAGE_EVENTS: Final = 500
PAGE_BYTES: Final = 1 << 20
FACTS, JOBS = Unit("facts"), Unit("jobs")
PARTS: Final = (namespaces, cameras, spools, feeds, jobs)
IN_USE: Final = {"gcodes": "[!.]*", "config": "*.cfg"}  # roots where Klipper's files are, when there are such files
OUR_CONFIG, THEIR_LOGS = "printbus", "moonraker_logs"  # more roots


@dataclass(slots=True)
class Plan:
    """All that an import would do."""

    source: Path
    data: Path
    made: Translation
    files: list[Addition]
    parts: list[Part] = field(default_factory=list)

    @property
    def news(self) -> bool:
        """Whether there is anything to do."""
        return any(part.new for part in self.parts) or any(file.new for file in self.files)

    def conflicts(self) -> list[str]:
        """What the target has already of what would be added to."""
        found = [str(file.path) for file in self.files if file.new and file.there]
        return found + [part.there for part in self.parts if part.new and part.there]


def run(options: argparse.Namespace) -> int:
    """Imports, or says what it would do; the exit status. Raises ConfigError and OSError."""
    try:
        source = at_home(options.source)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    try:
        with ExitStack() as stack:
            plan = _configured(options, source)
            database = _database(source, stack)
            draft = _draft(options, stack)
            if database is not None:
                known = Known() if draft is None else known_of(draft.log)
                plan.parts = _parts(database, known, _vault(options.data))
            return _decide(plan, draft, options)
    except BusError as error:
        print(f"printbus: {error}", file=sys.stderr)
        return FAILED


def _configured(options: argparse.Namespace, source: Path) -> Plan:
    configuration = Configuration(options)
    known = {*configuration.kinds, *PrinterConfig.model_fields}
    conf = _conf(source)
    made = Translation()
    if conf is not None:
        made = translated(conf, known, source, options.data / OWN_FOLDER, read_secrets(source))
        checked_sections(made, configuration.kinds, bridge_part("settings"))
        _elsewhere(made, source, options.data)
    files = additions(made, ConfigFiles(options).path(PRINTER), source)
    return Plan(source, options.data, made, files)


def _conf(source: Path) -> Conf | None:
    path = source / CONF
    if not os.path.lexists(path) and not os.path.lexists(source / FILE):
        old = (
            f"; {OLD_FILE} is of a Moonraker before 0.9, start a newer one once" if (source / OLD_FILE).exists() else ""
        )
        raise ConfigError(f"{source}: there is no Moonraker here, neither {CONF} nor {FILE}{old}")
    return read_conf(path) if os.path.lexists(path) else None


def _elsewhere(made: Translation, source: Path, data: Path) -> None:
    """What stays where it is, when that is not the data folder of printbus; our own files are shown as well."""
    if source.resolve() == data.resolve():
        return
    filestore: dict[str, Any] = made.printer.get("filestore", {})
    roots: dict[str, Any] = {}
    for name, files in IN_USE.items():
        if any((data / name).glob(files)):
            made.other.append(f"{name}: front ends show {data / name}, where there are files")
        elif (source / name).is_dir():
            filestore[name] = str(source / name)
    if "config" in filestore:
        writable = filestore.get("enable_config_write_access", True)
        roots[OUR_CONFIG] = {"path": str(data / "config"), "writable": writable}
    if (source / "logs").is_dir():
        roots[THEIR_LOGS] = {"path": str(source / "logs")}
    if roots:
        filestore["roots"] = roots
    if filestore:
        made.printer["filestore"] = filestore
    made.other.append(f"files stay in {source}, which printer.yaml names")
    for name in (SECRETS_FILE, "certs"):
        if (source / name).is_file() or any((source / name).glob("*")):
            made.lost.append(f"{name}: copy it to {data} if you need it")


def _database(source: Path, stack: ExitStack) -> Database | None:
    path = source / FILE
    if not os.path.lexists(path):
        return None
    return stack.enter_context(opened(path))


def _draft(options: argparse.Namespace, stack: ExitStack) -> LogDraft | None:
    """A draft of the log; none where nothing is to be written and nothing is there."""
    if options.dry_run and not segment_paths(log_directory(options.data)):
        return None
    if not options.dry_run:
        make_folders(options.data)
    segment_bytes = Configuration(options).printer.log.segment_bytes
    try:
        return stack.enter_context(LogDraft(options.data, segment_bytes))
    except Unavailable as error:
        raise Unavailable(f"{error}; printbus has to be stopped for this") from error


def _parts(database: Database, known: Known, vault: Vault) -> list[Part]:
    progress = Progress("reading", sys.stderr, JOBS)
    database.on_job = progress.at
    found = [*(part(database, known) for part in PARTS), people(database, known, vault)]
    progress.end()
    database.on_job = nobody
    return found


def _vault(data: Path) -> Vault:
    vault = Vault(data / OWN_FOLDER)
    vault.load()
    if vault.warning is not None:
        raise ConfigError(vault.warning)
    return vault


def _decide(plan: Plan, draft: LogDraft | None, options: argparse.Namespace) -> int:
    if not plan.news:
        print(f"Nothing to do: all that can be carried over from {plan.source} is here.")
        return 0
    conflicts = plan.conflicts()
    if conflicts and not options.merge:
        for each in conflicts:
            print(f"printbus: there is something already: {each}", file=sys.stderr)
        print("printbus: --merge adds what is missing and leaves all of that as it is", file=sys.stderr)
        return FAILED
    if not options.dry_run and draft is not None:
        _write(plan, draft)
    for line in _summary(plan, "Would be carried over" if options.dry_run else "Carried over"):
        print(line)
    if not options.dry_run:
        print("Stop Moonraker before you start printbus: both want the same port, and the printer.")
    return 0


def _write(plan: Plan, draft: LogDraft) -> None:
    """The log counts as a whole or not at all; the files, which can be made again, come after it."""
    written = [(file, file.content()) for file in plan.files if file.new]
    if any(part.new for part in plan.parts):
        _append(draft.log, plan.parts)
        draft.finish()
    for name, secret in plan.made.secrets.items():
        write_secret(plan.data / OWN_FOLDER / name, secret)
    for file, content in written:
        file.write(content)


def _append(log: EventLog, parts: Iterable[Part]) -> None:
    progress, done, size = Progress("importing", sys.stderr, FACTS), 0, sum(part.new for part in parts)
    for part in parts:
        if not part.new:
            continue
        for stream, events in _pages(part.facts()):
            for result in log.commit([Append(stream, events, uuid4())]):
                if isinstance(result, BusError):
                    raise result
            done += len(events)
            progress.at(min(done, size), size)
    progress.end()


def _pages(facts: Iterable[Fact]) -> Iterator[tuple[str, list[NewEvent]]]:
    """Facts of one stream that are appended together."""
    page: list[NewEvent] = []
    stream, size = "", 0
    for of_stream, event in facts:
        more = len(orjson.dumps(event.data))
        if page and (of_stream != stream or len(page) == PAGE_EVENTS or size + more > PAGE_BYTES):
            yield stream, page
            page, size = [], 0
        page.append(event)
        stream, size = of_stream, size + more
    if page:
        yield stream, page


def _summary(plan: Plan, heading: str) -> Iterator[str]:
    yield f"{heading} from {plan.source}:"
    for file in plan.files:
        if file.new:
            yield f"  {file.path}: {', '.join(file.new)}"
    for part in plan.parts:
        yield from (f"  {line}" for line in part.carried)
    kept = [f"{file.path}: {name} is there already" for file in plan.files for name in file.kept]
    lost = plan.made.lost + [line for part in plan.parts for line in part.lost]
    for title, lines in (("Not as it was", plan.made.other), ("Left as it is here", kept), ("Not carried over", lost)):
        if lines:
            yield f"{title}:"
            yield from (f"  {line}" for line in lines)

"""The command `printbus`."""

import argparse
import gc
import logging
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from .system_users import at_home

USAGE_STATUS = 2  # wrong options or configuration
MAX_DIGITS = 18  # of a number that fits into 64 bits


class Parser(argparse.ArgumentParser):
    """An argument parser that names the option it thinks was meant, and guesses none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Ends the program with status 2."""
        from difflib import get_close_matches

        known = [option for action in self._actions for option in action.option_strings]
        wrong = [word.split("=")[0].rstrip(":,") for word in message.split() if word.startswith("--")]
        close = [near for word in wrong for near in get_close_matches(word, known, n=1)]
        hint = f"; did you mean {close[0]}?" if close and close[0] not in wrong else ""
        self.exit(USAGE_STATUS, f"{self.prog}: {message}{hint}\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As always, and leaves the innermost parser in `parser`: it knows the options that could have been meant."""
        found, unknown = super().parse_known_args(args, namespace)
        if not hasattr(found, "parser"):
            found.parser = self
        return found, unknown


class Version(argparse.Action):
    """Prints the version that is installed, which is looked up only then."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        """Ends the program with status 0."""
        from importlib.metadata import version

        parser.exit(0, f"printbus {version('printbus')}\n")


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > MAX_DIGITS:
        raise argparse.ArgumentTypeError(f"'{text:.40}': expected a number from 0, of at most {MAX_DIGITS} digits")
    return int(text)


def _time(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}': expected Unix seconds, or as in 2026-01-31T18:30") from None


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"'{text}': expected HOST:PORT")
    return text


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", type=Path, metavar="printer.yaml", help="what this printer is")
    parser.add_argument(
        "--data", type=Path, default=Path("~/printer_data"), metavar="DIR", help="default ~/printer_data"
    )
    parser.add_argument("--instance", metavar="NAME", help="first level of all topics; default the host name")
    parser.add_argument("--verbose", action="store_true", help="more in the log")


def _serving(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    parser.add_argument("--broker", type=Path, metavar="broker.yaml", help="what the bus is")
    parser.add_argument("--mqtt", type=_address, metavar="HOST:PORT", help="port 0 picks a free one")


def _remote(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    parser.add_argument("--broker", required=True, metavar="URL", help="mqtt://HOST[:PORT]")


def _files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--broker", default="mqtt://127.0.0.1", metavar="URL", help="mqtt://[USER:PASSWORD@]HOST[:PORT], default here"
    )
    parser.add_argument("--instance", metavar="NAME", help="which printer; default the only one of that broker")
    parser.add_argument("--verbose", action="store_true", help="more in the log")


def _broker(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", metavar="check", help="say what the access rules mean; runs nothing")
    _serving(parser)
    _asked(parser)


def _asked(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--as", dest="who", action="append", default=[], metavar="USER|role:ROLE|client:ID", help="with check: who"
    )
    parser.add_argument("--topic", metavar="TOPIC", help="with check: may who publish on it, receive it; and why")


def build_parser() -> Parser:
    """All commands and options."""
    parser = Parser(prog="printbus", description="A host for Klipper 3D printers in which every API is MQTT first.")
    parser.add_argument("--version", action=Version, help="show the version")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser, metavar="COMMAND")
    up = commands.add_parser("up", help="run everything in one process")
    _serving(up)
    up.add_argument("--http", type=_address, metavar="HOST:PORT", help="port 0 picks a free one")
    source = up.add_mutually_exclusive_group()
    source.add_argument("--klippy", type=Path, metavar="SOCKET", help="Klipper's API socket")
    source.add_argument("--virtual", action="store_true", help="a simulated printer")
    _broker(commands.add_parser("broker", help="run broker, log and router, or say what its access rules mean"))
    bridge = commands.add_parser("bridge", help="run the HTTP and websocket bridge against a broker")
    _remote(bridge)
    bridge.add_argument("--http", type=_address, metavar="HOST:PORT", help="port 0 picks a free one")
    agent = commands.add_parser("agent", help="run one agent against a broker")
    agent.add_argument("name", metavar="NAME")
    _remote(agent)
    source = agent.add_mutually_exclusive_group()
    source.add_argument("--klippy", type=Path, metavar="SOCKET", help="Klipper's API socket")
    source.add_argument("--virtual", action="store_true", help="a simulated printer")
    put = commands.add_parser("put", help="upload a file over MQTT; a second attempt goes on where the first has ended")
    put.add_argument("file", type=Path, metavar="FILE")
    put.add_argument("target", nargs="?", default="gcodes/", metavar="ROOT/FOLDER/[NAME]", help="default gcodes/")
    put.add_argument("--print", action="store_true", help="print it at once, where that can be")
    _files(put)
    get = commands.add_parser("get", help="download a file over MQTT; goes on as put does")
    get.add_argument("path", metavar="ROOT/PATH")
    get.add_argument("file", nargs="?", type=Path, metavar="FILE", help="default its name, in this folder")
    _files(get)
    _log(commands.add_parser("log", help="look at the event log"))
    import_ = commands.add_parser("import", help="take over a Moonraker installation, which stays as it is")
    import_.add_argument("source", type=Path, metavar="DIR", help="its data folder, such as ~/printer_data")
    import_.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    import_.add_argument("--merge", action="store_true", help="add to what is there already, and change none of it")
    _common(import_)
    _accounts(commands)
    _rules(commands.add_parser("rules", help="look at the access rules, or have them read again"))
    config = commands.add_parser("config", help="look at the configuration")
    check = config.add_subparsers(dest="action", required=True, parser_class=Parser, metavar="ACTION").add_parser(
        "check", help="say what is wrong with it, or nothing"
    )
    _serving(check)
    return parser


def _accounts(commands: Any) -> None:
    for command, actions, purpose in (
        ("users", USER_ACTIONS, "who may log in; also while the program runs"),
        ("keys", KEY_ACTIONS, "API keys; also while the program runs"),
    ):
        made = commands.add_parser(command, help=purpose)
        inner = made.add_subparsers(dest="action", required=True, parser_class=Parser, metavar="ACTION")
        for action, what in actions.items():
            parser = inner.add_parser(action, help=what)
            if action != "list":
                parser.add_argument("name", metavar="NAME")
            if action == "add":
                parser.add_argument("--role", action="append", metavar="ROLE", help="viewer, operator, admin or own")
            if action == "role":
                parser.add_argument("roles", nargs="+", metavar="ROLE", help="viewer, operator, admin or own")
            _serving(parser)


USER_ACTIONS = {
    "list": "print users and their roles",
    "add": "make a user; the password is asked for, or a line of standard input",
    "remove": "take a user away",
    "password": "give a user a new password",
    "role": "give a user these roles and no others",
}
KEY_ACTIONS = {
    "list": "print the names of keys and their roles",
    "add": "make a key and print it, once",
    "revoke": "make a key void",
}


def _rules(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, parser_class=Parser, metavar="ACTION")
    check = actions.add_parser("check", help="say what they mean, as `printbus broker check` does")
    _serving(check)
    _asked(check)
    _serving(actions.add_parser("reload", help="put changed rules in force in the program that runs"))


LOG_ACTIONS = {
    "read": "print events",
    "tail": "print events as they come",
    "verify": "check every record",
    "stat": "sizes and counts",
    "export": "write the log as JSON lines, for a backup or another machine",
    "import": "restore an export where there is no log yet",
    "compact": "drop old segments",
}


def _log(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, parser_class=Parser, metavar="ACTION")
    made = {name: actions.add_parser(name, help=purpose) for name, purpose in LOG_ACTIONS.items()}
    for action in made.values():
        action.add_argument("--data", type=Path, default=Path("~/printer_data"), metavar="DIR")
    for name in ("read", "tail"):
        made[name].add_argument("--since", type=_count, default=0, metavar="SEQ", help="only events after this one")
        made[name].add_argument("--stream", metavar="NAME", help="only events of this stream")
    for name in ("read", "tail", "stat"):
        made[name].add_argument("--json", action="store_true", help="one JSON object a line")
    for option, end in (("--since-time", "begin at or after it"), ("--until-time", "end before what is later")):
        made["read"].add_argument(option, type=_time, metavar="TIME", help=f"Unix seconds or ISO 8601, local: {end}")
    made["read"].add_argument("--limit", type=_count, metavar="N", help="at most this many")
    made["export"].add_argument("file", type=Path, nargs="?", metavar="FILE", help="default standard output")
    made["import"].add_argument("file", type=Path, metavar="FILE")
    made["compact"].add_argument("--segments", type=_count, required=True, metavar="N", help="how many stay")
    made["compact"].add_argument("--keep", action="append", default=[], metavar="STREAM", help="carried forward")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; answers the exit status."""
    gc.disable()  # while importing and starting, collections cost much and find nothing
    options, unknown = build_parser().parse_known_args(arguments)
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if hasattr(options, "data"):
        try:
            options.data = at_home(options.data)
        except ValueError as error:
            options.parser.error(f"argument --data: {error}")
    logging.basicConfig(
        level=logging.DEBUG if getattr(options, "verbose", False) else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for chatty in ("amqtt", "transitions", "apscheduler"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    from .commands import execute  # what a command needs is imported only for it
    from .config import ConfigError

    try:
        return execute(options)
    except ConfigError as error:
        for mistake in str(error).splitlines():
            print(f"printbus: {mistake}", file=sys.stderr)
        return USAGE_STATUS
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

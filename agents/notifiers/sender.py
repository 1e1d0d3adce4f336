"""Run as a program of its own: gives a message to a messaging service, and says how that went; JSON in, JSON out."""

import json
import logging
import os
import re
import resource
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import apprise

NICENESS = 10  # the printer comes first
MAX_FILE = 32 << 20  # bytes of an attachment that has to be fetched
PART = re.compile(r"[^\s/:@?&=,;]{3,}")  # what of an address may be a secret
UNKNOWN = "apprise knows no such service, or its address lacks something"

Json = dict[str, Any]


class Complaints(logging.Handler):
    """Keeps what the library says about a failure."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line."""
        self.said.append(record.getMessage())


def main() -> None:
    """Answers one order: a message, or addresses to be looked at."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE, MAX_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold an address
    order = json.load(sys.stdin)
    answer = faults(order["urls"]) if "urls" in order else delivery(order)
    json.dump(answer, sys.stdout)


def faults(urls: Mapping[str, str]) -> Json:
    """What is wrong with addresses, by their names."""
    return {name: UNKNOWN for name, url in urls.items() if not apprise.Apprise().add(url)}


def delivery(message: Json) -> Json:
    """Whether it was delivered; why not, and whether trying again is of no use; what had to be left out."""
    complaints = Complaints()
    logger = logging.getLogger("apprise")
    logger.addHandler(complaints)
    logger.propagate = False
    asset = apprise.AppriseAsset(app_id="printbus", app_desc="printbus", app_url="")
    service = apprise.Apprise(asset=asset)
    if not service.add(message["url"]):
        return {"delivered": False, "final": True, "reason": UNKNOWN}
    attachments = [each for each in map(attachment, message["attach"]) if each is not None]
    missing = len(message["attach"]) - len(attachments)
    complaints.said.clear()
    delivered = service.notify(
        body=message["body"],
        title=message["title"],
        notify_type=message["kind"],
        body_format=message["format"],
        attach=apprise.AppriseAttachment(attachments) if attachments else None,
    )
    reason = without(message["url"], " ".join(complaints.said)) or "the service did not take it"
    return {"delivered": bool(delivered), "final": False, "reason": reason, "missing": missing}


def attachment(place: str) -> Any:
    """A file, or what an address leads to, None where that cannot be had."""
    found = apprise.AppriseAttachment.instantiate(place, suppress_exceptions=True)
    return found if found else None


def without(url: str, text: str) -> str:
    """A text with every part of an address taken out."""
    parts = {*PART.findall(url.partition("://")[2]), *PART.findall(unquote(url.partition("://")[2]))}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "***")
    return text


if __name__ == "__main__":
    main()

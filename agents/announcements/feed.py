"""Reads an RSS document of announcements: bounded, without document types and so without entities of its own."""

from datetime import UTC
from email.utils import parsedate_to_datetime
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from schemas.announcements import News

MAX_BYTES = 256 << 10  # a feed of twenty announcements has 20 kB
MAX_DEPTH = 16
MAX_ITEMS = 50
MAX_ID, MAX_TITLE, MAX_TEXT = 256, 512, 4096  # characters; what is longer is cut, but for ids and addresses


class NotAFeed(ValueError):
    """The document is not RSS, or has what a feed does not need."""


def announcements(document: bytes, feed: str) -> list[News]:
    """The announcements of a feed; items that lack an id, a title or a date are left out. Raises NotAFeed."""
    if len(document) > MAX_BYTES:
        raise NotAFeed(f"larger than {MAX_BYTES} bytes")
    channel = _parsed(document).find("channel")
    if channel is None:
        raise NotAFeed("no channel")
    found = (_announcement(item, feed) for item in channel.findall("item")[:MAX_ITEMS])
    return [news for news in found if news is not None]


def _announcement(item: Element, feed: str) -> News | None:
    entry_id, title, date = _text(item, "guid"), _text(item, "title"), _date(_text(item, "pubDate"))
    if not entry_id or len(entry_id) > MAX_ID or not title or date is None:
        return None
    return News(
        entry_id=entry_id,
        url=_link(_text(item, "link")),
        title=title[:MAX_TITLE],
        description=_text(item, "description")[:MAX_TEXT],
        priority="high" if _text(item, "category") == "high" else "normal",
        date=date,
        source="moonlight",
        feed=feed,
    )


def _text(item: Element, name: str) -> str:
    return (item.findtext(name) or "").strip()


def _link(url: str) -> str:
    """Front ends make it a link, so it leads to a web page or nowhere."""
    return url if url.startswith(("https://", "http://")) and len(url) <= MAX_TEXT else ""


def _date(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _parsed(document: bytes) -> Element:
    parser, tree = expat.ParserCreate(), TreeBuilder()
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise NotAFeed("nested too deeply")
        tree.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        tree.end(name)

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, tree.data
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(document, True)
    except NotAFeed:
        raise
    except (expat.ExpatError, LookupError, ValueError) as error:  # the latter two: an encoding that cannot be read
        raise NotAFeed(f"not well-formed XML: {error}") from None
    return tree.close()


def _refuse(*_: object) -> None:
    raise NotAFeed("document types are not read: entities of a document's own can grow without bound")

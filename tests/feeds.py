"""Feeds of announcements as Moonlight writes them."""

from pathlib import Path

from tests.e2e.test_print import fast_printer

ITEM = """
        <item>
            <title>{title}</title>
            <link>https://example.org/issues/{number}</link>
            <description>Says &lt;b&gt;{title}&lt;/b&gt; &amp; more.</description>
            <pubDate>Wed, {number:02d} Mar 2022 19:33:39 GMT</pubDate>
            <category>{priority}</category>
            <guid>owner/{feed}/issue/{number}</guid>
        </item>"""
RSS = """<?xml version='1.0' encoding='utf-8'?>
<rss version="2.0" xmlns:moonlight="https://arksine.github.io/moonlight">
    <channel>
        <title>owner/{feed}</title>
        <link>https://example.org</link>
        <description>RSS Announcements for Moonraker</description>
        <pubDate>Tue, 22 Mar 2022 23:19:04 GMT</pubDate>
        <moonlight:configHash>f2912192bf</moonlight:configHash>{items}
    </channel>
</rss>
"""


def rss(feed: str, *numbers: int, title: str = "News", priority: str = "normal") -> bytes:
    """A feed with these announcements, each dated to its number of March 2022."""
    items = "".join(ITEM.format(feed=feed, number=number, title=title, priority=priority) for number in numbers)
    return RSS.format(feed=feed, items=items).encode()


def printer_with_a_feed(folder: Path) -> list[str]:
    """Options of a fast printer whose announcements come from a folder: one of Klipper's."""
    options = fast_printer(folder)
    config = Path(options[1])
    config.write_text(config.read_text() + "announcements: {dev_mode: true}\n")
    feeds = folder / "data" / "announcements"
    feeds.mkdir(parents=True)
    (feeds / "klipper.xml").write_bytes(rss("klipper", 1))
    return options

"""Feeds as they are, and documents that only look like one."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.announcements.feed import MAX_BYTES, MAX_DEPTH, MAX_ITEMS, NotAFeed, announcements
from schemas.announcements import News
from tests.feeds import rss

LAUGHS = b'<!DOCTYPE rss [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><rss><channel>&b;</channel></rss>'
OUTSIDE = b'<!DOCTYPE rss SYSTEM "file:///etc/passwd"><rss><channel/></rss>'


def test_an_announcement_is_read_as_it_is_written() -> None:
    (news,) = announcements(rss("klipper", 16, title="Test announcement", priority="high"), "klipper")
    assert news == News(
        entry_id="owner/klipper/issue/16",
        url="https://example.org/issues/16",
        title="Test announcement",
        description="Says <b>Test announcement</b> & more.",
        priority="high",
        date=1647459219.0,
        source="moonlight",
        feed="klipper",
    )


def test_a_feed_without_announcements_is_one() -> None:
    assert announcements(rss("klipper"), "klipper") == []


def test_no_more_announcements_are_taken_than_fit() -> None:
    for others, taken in ((MAX_ITEMS - 1, 1), (MAX_ITEMS, 0)):
        document = rss("klipper", 1).replace(b"<item>", b"<item/>" * others + b"<item>")
        assert len(announcements(document, "klipper")) == taken


@pytest.mark.parametrize("element", [b"guid", b"title", b"pubDate"])
def test_an_item_without_what_it_needs_is_left_out(element: bytes) -> None:
    document = rss("klipper", 1, 2).replace(b"<" + element, b"<other").replace(b"</" + element, b"</other")
    assert announcements(document, "klipper") == []


def test_an_item_with_a_date_that_is_none_is_left_out() -> None:
    document = rss("klipper", 1, 2).replace(b"Wed, 01 Mar 2022", b"Someday")
    assert [news.entry_id for news in announcements(document, "klipper")] == ["owner/klipper/issue/2"]


@pytest.mark.parametrize("link", [b"javascript:alert(1)", b"data:text/html,x", b"file:///etc/passwd", b""])
def test_a_link_leads_to_a_web_page_or_nowhere(link: bytes) -> None:
    (news,) = announcements(rss("klipper", 1).replace(b"https://example.org/issues/1", link), "klipper")
    assert news.url == ""


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (LAUGHS, "document types"),
        (OUTSIDE, "document types"),
        (b"<rss>" + b" " * MAX_BYTES + b"</rss>", "larger"),
        (b"<rss><channel>" + b"<a>" * MAX_DEPTH, "nested too deeply"),
        (b"<rss><channel>", "not well-formed"),
        (b"", "not well-formed"),
        (b"<html><body/></html>", "no channel"),
        (b"<rss><channel>&nosuch;</channel></rss>", "not well-formed"),
        (b"<?xml version='1.0' encoding='nosuch'?><rss/>", "not well-formed"),
        (b"<?xml version='1.0' encoding='utf-7'?><rss/>", "not well-formed"),
    ],
)
def test_what_is_no_feed_is_refused(document: bytes, complaint: str) -> None:
    with pytest.raises(NotAFeed, match=complaint):
        announcements(document, "klipper")


@given(st.binary(max_size=300), st.integers(0, 900), st.integers(0, 60))
def test_a_damaged_feed_is_read_or_refused(rubbish: bytes, at: int, cut: int) -> None:
    whole = rss("klipper", 1, 2)
    document = whole[:at] + rubbish + whole[at + cut :]
    with suppress(NotAFeed):
        assert all(news.feed == "klipper" for news in announcements(document, "klipper"))

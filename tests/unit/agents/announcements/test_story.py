"""What facts about announcements amount to."""

from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from agents.announcements import chronicle
from agents.announcements.chronicle import Story
from agents.announcements.feed import announcements
from bus.log import StoredEvent
from schemas.announcements import News
from tests.feeds import rss

ID = "owner/klipper/issue/1"
IDS = st.sampled_from([ID, "owner/klipper/issue/2"])


def fact(kind: str, **data: Any) -> tuple[str, dict[str, Any]]:
    return kind, data


FACTS = st.one_of(
    st.sampled_from(["a", "b"]).map(lambda feed: fact(chronicle.FEED_ADDED, feed=feed)),
    st.sampled_from(["a", "b"]).map(lambda feed: fact(chronicle.FEED_REMOVED, feed=feed)),
    st.tuples(st.integers(1, 2), st.sampled_from("xy")).map(
        lambda said: (chronicle.PUBLISHED, of("klipper", said[0], title=said[1])[0].model_dump(mode="json"))
    ),
    IDS.map(lambda entry_id: fact(chronicle.WITHDRAWN, entry_id=entry_id)),
    st.tuples(IDS, st.none() | st.floats(0, 1e9)).map(
        lambda put_off: fact(chronicle.DISMISSED, entry_id=put_off[0], date=5.0, wake_at=put_off[1])
    ),
    IDS.map(lambda entry_id: fact(chronicle.WOKEN, entry_id=entry_id)),
)


def of(feed: str, *numbers: int, title: str = "News") -> list[News]:
    return announcements(rss(feed, *numbers, title=title), feed)


def told(story: Story, *facts: tuple[str, Any]) -> Story:
    for kind, data in facts:
        story.apply(StoredEvent(1, 0.0, chronicle.STREAM, kind, None, data, UUID(int=0)))
    return story


@given(st.lists(FACTS, max_size=12), st.integers(0, 12))
def test_a_snapshot_and_the_rest_give_the_same(facts: list[tuple[str, Any]], cut: int) -> None:
    snapshot = told(Story(), *facts[:cut]).state()
    assert told(Story.restored(snapshot), *facts[cut:]).state() == told(Story(), *facts).state()


def test_what_has_been_read_stays_read_when_it_is_said_anew_but_not_when_it_comes_back() -> None:
    story = told(Story(), *Story().news("klipper", of("klipper", 1)))
    told(story, fact(chronicle.DISMISSED, entry_id=ID, date=7.0, wake_at=None))
    told(story, *story.news("klipper", of("klipper", 1, title="Other words")))
    (entry,) = story.shown(100.0)
    assert (entry.title, entry.dismissed, entry.date_dismissed) == ("Other words", True, 7.0)
    told(story, *story.news("klipper", []))
    assert story.shown(100.0) == []
    told(story, *story.news("klipper", of("klipper", 1)))
    assert [each.dismissed for each in story.shown(100.0)] == [False]


def test_the_same_feed_again_is_no_news() -> None:
    story = told(Story(), *Story().news("klipper", of("klipper", 1, 2)))
    assert story.news("klipper", of("klipper", 1, 2)) == []


def test_a_feed_can_neither_change_nor_withdraw_what_another_has_said() -> None:
    story = told(Story(), *Story().news("klipper", of("klipper", 1)))
    forged = [each.model_copy(update={"feed": "evil", "title": "Buy"}) for each in of("klipper", 1)]
    assert story.news("evil", forged) == []
    assert story.news("evil", []) == []


def test_the_newest_is_first_and_says_how_long_it_is_put_off() -> None:
    story = told(Story(), *Story().news("klipper", of("klipper", 1, 3, 2)))
    told(story, fact(chronicle.DISMISSED, entry_id=ID, date=100.0, wake_at=160.0))
    shown = story.shown(130.0)
    assert [entry.entry_id[-1] for entry in shown] == ["3", "2", "1"]
    assert [entry.dismiss_wake for entry in shown] == [None, None, 30.0]
    assert story.wakes() == {ID: 160.0}

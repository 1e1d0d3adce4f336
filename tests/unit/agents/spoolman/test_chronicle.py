"""What facts about spools amount to."""

from typing import Any
from uuid import UUID

import orjson
from hypothesis import given
from hypothesis import strategies as st

from agents.spoolman import chronicle
from agents.spoolman.chronicle import Ledger
from bus.log import StoredEvent
from schemas.events import EVENTS

Told = tuple[str, dict[str, Any]]

SPOOLS = st.integers(1, 3)
LENGTHS = st.integers(1, 50).map(float)
MARKS = st.builds(
    lambda position, moment: {"extruder": "extruder", "position": position, "print": moment},
    LENGTHS,
    st.none() | LENGTHS.map(lambda duration: {"filename": "a.gcode", "total_duration": duration}),
)
FACTS = st.one_of(
    st.tuples(st.none() | SPOOLS, st.none() | MARKS).map(
        lambda each: (chronicle.SELECTED, {"spool_id": each[0], "mark": each[1]})
    ),
    st.tuples(SPOOLS, LENGTHS, MARKS).map(
        lambda each: (chronicle.USED, {"spool_id": each[0], "length": each[1], "mark": each[2]})
    ),
    SPOOLS.map(lambda spool_id: (chronicle.SENT, {"spool_id": spool_id, "used_before": 0.0})),
    st.tuples(st.sampled_from([chronicle.TAKEN, chronicle.RETURNED]), SPOOLS).map(
        lambda each: (each[0], {"spool_id": each[1]})
    ),
    st.tuples(SPOOLS, LENGTHS).map(
        lambda each: (chronicle.DROPPED, {"spool_id": each[0], "length": each[1], "reason": "x"})
    ),
)
MARK = {"extruder": "extruder", "position": 5.0, "print": {"filename": "a.gcode", "total_duration": 10.0}}


def told(ledger: Ledger, *facts: Told) -> Ledger:
    for kind, data in facts:
        EVENTS[kind].data.model_validate(data)
        ledger.apply(StoredEvent(1, 0.0, chronicle.STREAM, kind, None, data, UUID(int=0)))
    return ledger


def used(spool_id: int, length: float, **mark: Any) -> Told:
    return chronicle.USED, {"spool_id": spool_id, "length": length, "mark": MARK | mark}


@given(st.lists(FACTS, max_size=12), st.integers(0, 12))
def test_a_snapshot_and_the_rest_give_the_same(facts: list[Told], cut: int) -> None:
    snapshot = orjson.loads(orjson.dumps(told(Ledger(), *facts[:cut]).state()))
    assert told(Ledger.restored(snapshot), *facts[cut:]).state() == told(Ledger(), *facts).state()


def test_what_was_sent_stays_pending_until_it_is_taken() -> None:
    ledger = told(Ledger(), used(1, 5.0), used(1, 2.0), used(2, 1.0))
    assert ledger.pending() == {1: 7.0, 2: 1.0}
    told(ledger, (chronicle.SENT, {"spool_id": 1, "used_before": 0.0}), used(1, 3.0))
    assert (ledger.waiting, ledger.pending()) == ({2: 1.0, 1: 3.0}, {2: 1.0, 1: 10.0})
    assert told(Ledger.restored(ledger.state()), (chronicle.RETURNED, {"spool_id": 1})).waiting == {2: 1.0, 1: 10.0}
    assert told(ledger, (chronicle.TAKEN, {"spool_id": 1})).pending() == {2: 1.0, 1: 3.0}
    assert told(ledger, (chronicle.DROPPED, {"spool_id": 1, "length": 3.0, "reason": "x"})).pending() == {2: 1.0}


def test_a_print_has_the_spools_from_which_it_has_drawn() -> None:
    ledger = told(Ledger(), used(1, 5.0), used(2, 2.0), used(1, 1.0), used(3, 1.0, print=None))
    assert ledger.print_spools == [1, 2]
    assert told(ledger, used(3, 1.0, print={"filename": "b.gcode", "total_duration": 1.0})).print_spools == [3]

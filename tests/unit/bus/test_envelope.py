"""What the envelope makes of values."""

import tracemalloc

from bus.envelope import dumps


def test_what_is_kept_takes_no_more_memory_than_it_is_long() -> None:
    tracemalloc.start()
    try:
        kept = [dumps({"eventtime": 1.5, "value": number}) for number in range(1000)]
        assert tracemalloc.get_traced_memory()[0] < 200 * len(kept)
    finally:
        tracemalloc.stop()

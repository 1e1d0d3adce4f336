"""For whom a commit waits, and when no longer."""

from bus.company import MISSES, Company


def rounds(company: Company, coming: int, count: int) -> int:
    """How many of so many commits waited, if of ten who were answered some come back."""
    waited = 0
    for _ in range(count):
        if company.is_worth_it(5, 10):
            waited += 1
            company.came(5 + coming)
    return waited


def test_all_who_wait_and_were_answered_are_expected() -> None:
    company = Company()
    assert company.is_worth_it(5, 10)
    assert company.expected == 15


def test_as_long_as_half_of_them_come_every_commit_waits() -> None:
    assert rounds(Company(), 5, 100) == 100


def test_who_waited_in_vain_waits_more_and_more_rarely_and_again_once_somebody_came() -> None:
    company = Company()
    assert rounds(company, 4, 1000) < 12
    assert 0 < rounds(company, 4, 10 * 2**MISSES) <= 10
    assert rounds(company, 5, 2**MISSES + 100) > 100

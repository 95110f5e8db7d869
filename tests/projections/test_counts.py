"""What is read from pages: the days that were asked for, and when each telling began, whatever months were read."""

from collections.abc import Sequence
from datetime import date

from hypothesis import given as for_any
from hypothesis import strategies as st

from projections import pages
from projections.counts import FIRST_PAGES, Counts, Told, fold, knows_beginnings
from projections.pages import Page, PageKey
from projections.tallies import Key
from tests.support.counting import I_READ, PRIVATE, SHARED
from tests.support.given import ME, PARTNER

FIRST, LAST = date(2026, 6, 1), date(2026, 6, 28)
PLACES = [(SHARED, ME), (SHARED, PARTNER), (PRIVATE, ME)]

counted = st.lists(
    st.tuples(
        st.sampled_from(PLACES), st.dates(date(2026, 1, 1), LAST), st.sampled_from(["asks", "decides", "felt:close"])
    ),
    max_size=12,
).map(
    lambda told: [
        Key(stream, day, author, "home", measure, pages.VALUES[measure][0])
        for (stream, author), day, measure in told
        if stream == SHARED or measure != "asks"
    ]
)


def written(counts: Sequence[Key]) -> list[tuple[PageKey, Page]]:
    """The pages that count each of these once, by month."""
    found: dict[PageKey, Page] = {}
    for key in counts:
        pages.add(found.setdefault(pages.page_of(key), {}), key, 1)
    return sorted(found.items(), key=lambda named: named[0].month)


def read_first(given: Sequence[tuple[PageKey, Page]]) -> list[tuple[PageKey, Page]]:
    """Those that are read first: of the months that are asked for, and the first two before them in each place."""
    since = pages.month_of(FIRST)
    early = [[key for key, _ in given if key[:2] == place and key.month < since][:FIRST_PAGES] for place in PLACES]
    return [(key, page) for key, page in given if key.month >= since or any(key in firsts for firsts in early)]


def beginnings(found: Counts) -> list[int | None]:
    """When what was asked, my telling and the partner's began to count."""
    return [found.asks.since, found.mine.since, found.partners.since]


@for_any(counted)
def test_what_is_read_first_knows_every_beginning_or_knows_that_it_does_not(counts: list[Key]) -> None:
    given = written(counts)
    some, whole = read_first(given), fold(given, I_READ, FIRST, LAST, None)
    found = fold(some, I_READ, FIRST, LAST, None)
    if knows_beginnings(found, some, I_READ, pages.month_of(FIRST)):
        assert beginnings(found) == beginnings(whole)
    assert found.mine.series == whole.mine.series


@for_any(counted)
def test_a_beginning_is_the_first_day_on_which_anything_counts(counts: list[Key]) -> None:
    found = fold(written(counts), I_READ, FIRST, LAST, None)
    for told, keys in (
        (found.asks, [key for key in counts if key.measure == "asks"]),
        (found.mine, [key for key in counts if key.measure != "asks" and key.author == ME]),
        (found.partners, [key for key in counts if key.measure != "asks" and key.author == PARTNER]),
    ):
        assert told.since == min((key.day.toordinal() for key in keys), default=None)


def test_first_pages_of_which_all_was_taken_back_begin_nothing() -> None:
    january, march = pages.month_of(date(2026, 1, 1)), date(2026, 3, 9)
    later = written([Key(SHARED, march, ME, "home", "decides", "me")])
    some: list[tuple[PageKey, Page]] = [(PageKey(SHARED, ME, month), {}) for month in (january, january + 1)]
    assert not knows_beginnings(fold(some, I_READ, FIRST, LAST, None), some, I_READ, pages.month_of(FIRST))
    assert fold([*some, *later], I_READ, FIRST, LAST, None).mine.since == march.toordinal()


def test_what_is_not_wanted_need_not_be_known() -> None:
    days = [date(2026, month, 9) for month in (1, 2, 6)]
    some = read_first(written([Key(SHARED, day, ME, "home", "decides", "me") for day in days]))
    found = fold(some, I_READ, FIRST, LAST, None)
    known = {m: knows_beginnings(found, some, I_READ, pages.month_of(FIRST), [m]) for m in ("asks", "decides")}
    assert known == {"asks": False, "decides": True}


def test_only_the_measures_that_are_wanted_are_read() -> None:
    day = date(2026, 6, 15)
    given = written([Key(SHARED, day, ME, "home", m, pages.VALUES[m][0]) for m in ("decides", "felt:close", "asks")])
    found = fold(given, I_READ, FIRST, LAST, ["decides"])
    assert (list(found.mine.series), list(found.asks.series)) == (["decides"], [])
    assert found.mine.since == found.asks.since == day.toordinal()


def test_a_day_outside_of_those_that_are_asked_for_is_left_out() -> None:
    days = [date(2026, 5, 31), FIRST, LAST, date(2026, 6, 29)]
    found = fold(written([Key(SHARED, d, ME, "home", "decides", "me") for d in days]), I_READ, FIRST, LAST, None)
    told: Told = found.mine
    assert [day for one in told.series["decides"] for day in one.days] == [FIRST.toordinal(), LAST.toordinal()]


def test_a_value_of_the_partners_is_turned() -> None:
    given = written([Key(SHARED, FIRST, PARTNER, "home", "roles", "me/partner")])
    (series,) = fold(given, I_READ, FIRST, LAST, None).partners.series["roles"]
    assert series.value == "partner/me"

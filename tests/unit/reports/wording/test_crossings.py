"""Where one side overtakes the other: properties of the bracket, and every way to say it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.wording.crossings import bracket

VERDICTS = ("faster", "slower", "equivalent", "undecided")
LETTERS = {"F": "faster", "S": "slower", "E": "equivalent", "U": "undecided"}
SEQUENCES = st.lists(st.sampled_from(VERDICTS), min_size=1, max_size=9).map(
    lambda found: [(float(2**place), verdict) for place, verdict in enumerate(found)]
)
TURNED = {"faster": "slower", "slower": "faster"}


def told(letters):
    """A letter a value: 1, 2, 4, 8 …"""
    return str(bracket([(2**place, LETTERS[letter]) for place, letter in enumerate(letters)]))


@pytest.mark.parametrize(
    ("letters", "words"),
    [
        ("SF", "between 1 and 2"),
        ("SSFF", "between 2 and 4"),
        ("SUF", "somewhere between 1 and 4 (undecided there)"),
        ("SEEF", "somewhere between 1 and 8 (no different there)"),
        ("SEUF", "somewhere between 1 and 8 (undecided there)"),
        ("SFUF", "somewhere between 1 and 8 (undecided there)"),
        ("SSS", "not up to 4"),
        ("USS", "not up to 4"),
        ("SSU", "not up to 2 (undecided above)"),
        ("SE", "not up to 1 (no different above)"),
        ("FFF", "from 1 on"),
        ("UFF", "from 2 on (undecided below)"),
        ("EF", "from 2 on (no different below)"),
        ("USF", "between 2 and 4"),
        ("UUU", "nowhere from 1 to 4 (undecided there)"),
        ("EE", "nowhere from 1 to 2 (no different there)"),
        ("FFS", "at no single place (faster at 1 and 2; slower at 4)"),
        ("SFSF", "at no single place (slower at 1 and 4; faster at 2 and 8)"),
        ("SFU", "at no single place (slower at 1; faster at 2; undecided at 4)"),
        ("FE", "at no single place (faster at 1; no difference at 2)"),
    ],
)
def test_every_shape_has_its_words(letters, words):
    assert told(letters) == words


@given(SEQUENCES)
def test_its_ends_are_what_they_are_said_to_be(verdicts):
    """At its lower end it is slower and nowhere above; from its upper end on it is faster everywhere."""
    found, known = bracket(verdicts), dict(verdicts)
    if found.after is not None:
        assert known[found.after] == "slower"
    assert all(known[value] != "slower" for value in known if value > (found.after or 0))
    if found.before is not None:
        assert all(known[value] == "faster" for value in known if value >= found.before)
        assert all(known[value] != "faster" for value in found.doubtful[-1:])
    else:
        assert verdicts[-1][1] != "faster"


@given(SEQUENCES)
def test_a_single_place_is_told_only_where_the_two_sides_are_apart(verdicts):
    found = bracket(verdicts)
    if found.single and found.after is not None and found.before is not None:
        assert found.after < found.before
        faster = [value for value, verdict in verdicts if verdict == "faster"]
        assert min(faster) > found.after
    assert found.single == ("no single" not in str(found))


@given(SEQUENCES, st.randoms())
def test_the_order_in_which_values_were_measured_does_not_matter(verdicts, luck):
    mixed = list(verdicts)
    luck.shuffle(mixed)
    assert bracket(mixed) == bracket(verdicts)


@given(SEQUENCES)
def test_the_other_side_is_overtaken_where_this_one_overtakes(verdicts):
    """With the sides exchanged and the axis turned round, a plain bracket is the same one."""
    found = bracket(verdicts)
    turned = bracket([(-value, TURNED.get(verdict, verdict)) for value, verdict in verdicts])
    plain = found.single and turned.single and not found.doubtful and not turned.doubtful
    if plain and None not in (found.after, found.before):
        assert (turned.after, turned.before) == (-found.before, -found.after)

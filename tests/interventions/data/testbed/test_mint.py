"""Made-up words: pronounceable, unlike each other, used once."""

import random
import re

from interventions.data.testbed.mint import Mint


def test_a_word_is_two_syllables_and_a_coda() -> None:
    syllable = "(?:[bdfghklmnprstvz]|br|dr|gr|st|tr)(?:ai|ea|[aeiou])"
    words = Mint(random.Random("words")).words(60)
    assert len(words) == 60
    pattern = re.compile(f"{syllable}{syllable}(?:nd|th|[lnrsmx])", re.IGNORECASE)
    assert [word for word in words if not pattern.fullmatch(word)] == []
    assert all(word == word.capitalize() for word in words)


def test_no_two_words_of_a_mint_begin_with_the_same_four_letters() -> None:
    """Also across calls: 600 of some thousands of beginnings, so that many drawn words are not."""
    mint = Mint(random.Random("beginnings"))
    words = [word for _ in range(3) for word in mint.words(200)]
    assert len({word[:4] for word in words}) == len(words) == 600
    assert mint.used_beginnings == {word[:4] for word in words}


def test_a_word_is_refused_for_its_beginning_alone() -> None:
    """A mint that has used the beginning of its first word coins the second."""
    first, second = Mint(random.Random(0)).words(2)
    mint = Mint(random.Random(0))
    mint.used_beginnings.add(first[:4])
    assert mint.words(1) == [second]


def test_pairs_are_sorted_and_only_their_first_parts_are_shared() -> None:
    """Of 6 last parts for each of 5 first ones, 20 pairs are drawn: each first part has several."""
    pairs = Mint(random.Random("pairs")).pairs(20, 5, 6)
    assert pairs == sorted(pairs) and len(set(pairs)) == 20
    firsts, lasts = zip(*(pair.split(" ") for pair in pairs), strict=True)
    assert min(firsts.count(first) for first in firsts) >= 2
    assert len(set(firsts)) == 5 and len(set(lasts)) == 20

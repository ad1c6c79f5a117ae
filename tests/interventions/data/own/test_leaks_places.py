"""What of the measured texts is hashed, where each is said to be, and what a leak's line counts."""

import pytest

from interventions.data.edits import Edit, PortabilityPrompt, Prompt
from interventions.data.own.leaks import (
    Measured,
    add_text,
    allowed_leaks,
    check_locality,
    check_texts,
    hashes_of_measured,
    text_hash,
)
from interventions.data.question_set import Question, QuestionSet
from interventions.errors import InvalidInput

EDITS = [
    Edit("Ann", "Ann is", "Bea", "Cat", ("Who is Ann",)),
    Edit("Dan", "Dan is", "Eve", "Fay", (), (PortabilityPrompt("Whose is Dan", "Gil", "hop"),)),
]
LINES = "one two three four five\none two three four\none two three four five six"


def test_every_measured_text_is_hashed_with_its_place() -> None:
    questions = [Question(f"Which {name}", ("a", "b", "c", "d"), 1) for name in ("x", "y")]
    measured = hashes_of_measured(
        [QuestionSet("letters", tuple(questions), "higher")],
        EDITS,
        [Prompt("Gus is", "Hal"), Prompt("Ida is", "")],
        ["word", "One two.\nThree four five six seven?"],
    )
    assert measured.places == {
        "questions": {
            "which x": "question 1 of letters",
            "which x b": "question 1 of letters",
            "which y": "question 2 of letters",
            "which y b": "question 2 of letters",
        },
        "edits": {
            "ann is": "edit 1",
            "ann is bea": "edit 1",
            "ann is cat": "edit 1",
            "who is ann": "edit 1",
            "who is ann bea": "edit 1",
            "who is ann cat": "edit 1",
            "dan is": "edit 2",
            "dan is eve": "edit 2",
            "dan is fay": "edit 2",
            "whose is dan": "edit 2",
            "whose is dan gil": "edit 2",
        },
        "locality": {
            "gus is": "locality prompt 1",
            "gus is hal": "locality prompt 1",
            "ida is": "locality prompt 2",
        },
        "perplexity": {
            "word": "perplexity text 1",
            "one two. three four five six seven": "perplexity text 2",
            "three four five six seven": "perplexity text 2",
        },
    }


def test_a_text_counts_from_five_words_on_and_a_line_too() -> None:
    places: dict[str, str] = {}
    add_text(places, "one two three four", "a short text")
    assert places == {}
    add_text(places, "one two three four five", "a text")
    assert places == {"one two three four five": "a text"}
    add_text(places, LINES, "lines")
    whole = " ".join(LINES.split())
    assert places == {
        "one two three four five": "a text",
        whole: "lines",
        "one two three four five six": "lines",
    }


def test_a_text_of_over_500_characters_is_known_by_128_bits_of_a_hash() -> None:
    assert text_hash("A" * 500) == "a" * 500
    long = text_hash("A" * 501)
    assert len(long) == 32 and int(long, 16) > 0
    assert long == text_hash("a" * 501) != text_hash("a" * 502)
    assert text_hash("\uff21 b") == "a b"  # a letter of full width
    assert text_hash(" ?! ") == "?!"  # nothing else is left of it


def test_the_line_says_how_many_texts_leak_and_which_is_the_first() -> None:
    measured = Measured({"edits": {"ann is": "edit 1", "dan is": "edit 2"}, "questions": {}})
    texts = ["Nobody is", "Eve is\nDan is", "Question: Ann is", "Gus is"]
    with pytest.raises(InvalidInput) as error:
        check_texts("retain", texts, measured, frozenset())
    assert str(error.value) == (
        "leak retain-edits: text 2 of retain has what is measured as edit 2: 'Dan is' (2 of 4"
        " texts; case, blanks and marks at the end do not count); take it out, or write"
        " allow_leak: [retain-edits]"
    )
    check_texts("retain", texts, measured, frozenset({"retain-edits"}))


def test_a_locality_prompt_that_is_edited_is_named_with_its_edit() -> None:
    locality = [Prompt("Gus is", "Hal"), Prompt("DAN is:", "Fay")]
    with pytest.raises(InvalidInput) as error:
        check_locality(EDITS, locality, frozenset())
    assert str(error.value) == (
        "leak edits-locality: locality prompt 2 is edited as edit 2: 'DAN is:'; take it out, or"
        " write allow_leak: [edits-locality]"
    )
    check_locality(EDITS, locality, frozenset({"edits-locality"}))


def test_only_what_can_leak_is_allowed_to() -> None:
    names = ["retain-edits", "edits-locality"]
    assert allowed_leaks(names, "data") == frozenset(names)
    with pytest.raises(InvalidInput, match=r"^data: allow_leak names 'retain-edit'. Did you mean"):
        allowed_leaks([*names, "retain-edit"], "data")

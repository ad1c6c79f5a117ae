"""The mutants that are drawn, and those that are not."""

from tests.quality.mutants import Mutant, draw, equivalents, mutants_of
from tests.quality.plain_words import ROOT


def test_what_is_listed_as_equivalent_is_a_change_that_would_be_drawn_and_says_why() -> None:
    for row in equivalents():
        source = (ROOT / row["path"]).read_text()
        changes = [mutant.change(source) for mutant in mutants_of(row["path"], source)]
        assert (row["before"], row["after"]) in changes, row
        assert row["why"]


def test_what_is_equivalent_is_not_drawn() -> None:
    listed = {(row["path"], row["before"], row["after"]) for row in equivalents()}
    sources: dict[str, str] = {}
    for mutant in draw(1, 100_000):
        source = sources.setdefault(mutant.path, (ROOT / mutant.path).read_text())
        assert (mutant.path, *mutant.change(source)) not in listed


def test_a_change_is_the_line_before_and_after() -> None:
    mutant = Mutant("a.py", 2, 8, 9, "-")
    assert mutant.change("x = 1\ny = x  + 2\n") == ("y = x  + 2", "y = x  +-2")
    assert mutant.applied("x = 1\ny = x  + 2\n") == "x = 1\ny = x  +-2\n"


def test_lines_can_be_drawn_of_some_files_and_folders_alone() -> None:
    files = ["interventions/merging", "interventions/unlearning/npo.py"]
    drawn = {mutant.path for mutant in draw(1, 100_000, files)}
    assert "interventions/unlearning/npo.py" in drawn and len(drawn) > 2
    assert {path.rpartition("/")[0] for path in drawn} == {
        "interventions/merging",
        "interventions/unlearning",
    }
    assert not any("rmu" in path for path in drawn)

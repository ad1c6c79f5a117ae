"""Parts from data sets of the hub, read from local copies in the hub's layout."""

from pathlib import Path
from typing import Any

import pytest

from interventions.composition import Composition
from interventions.data import hub
from interventions.data.own.reading import own_data
from interventions.errors import InvalidInput
from tests.interventions.data.local_copies import texts, write_parquet
from tests.interventions.data.own.parts import question

COMMIT = "0123456789" * 4
CORPUS: dict[str, Any] = {"hub": f"owner/corpus@{COMMIT}", "config": "en"}


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_parquet(tmp_path / "owner/corpus/en/train-0.parquet", texts(["one", "two", "three"]))
    stones = [question(number) for number in range(3)]
    write_parquet(tmp_path / "owner/stones/data/test-0.parquet", stones)
    monkeypatch.setenv(hub.VARIABLE, str(tmp_path))
    return tmp_path


def test_texts_of_the_hub_are_read_when_a_step_uses_them(
    copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = own_data(calibration={**CORPUS, "first": 2}, retain=["kept"]).batch()
    assert tuple(data.calibration) == ("one", "two")
    monkeypatch.setattr(hub.Source, "rows", None)  # reading them would fail
    unread = own_data(calibration=CORPUS, retain=["kept"], defaults="testbed").batch()
    assert unread.has("calibration")
    assert Composition.parse("magnitude").keys("origin", unread)


def test_a_copy_is_known_by_its_content_and_a_data_set_by_its_commit(
    copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = own_data(calibration=CORPUS)
    assert own_data(calibration={**CORPUS, "first": 2}) != before
    file = copies / "owner/corpus/en/train-0.parquet"
    write_parquet(file, texts(["one", "two", "four"]))
    assert own_data(calibration=CORPUS) != before
    write_parquet(file, texts(["one", "two", "three"]))
    assert own_data(calibration=CORPUS) == before
    monkeypatch.delenv(hub.VARIABLE)
    other = {**CORPUS, "hub": f"owner/corpus@{COMMIT[::-1]}"}
    assert own_data(calibration=CORPUS) != own_data(calibration=other)


def test_questions_of_the_hub_are_read_and_checked_at_once(copies: Path) -> None:
    stones = {"hub": f"owner/stones@{COMMIT}", "split": "test", "better": "higher"}
    data = own_data(questions={"stones": stones}).batch()
    assert len(data.questions.sets[0].questions) == 3
    write_parquet(copies / "owner/stones/data/test-0.parquet", [question(0), question(answer=9)])
    with pytest.raises(
        InvalidInput, match=r"questions\.stones \(stones@.*\) row 2: field 'answer'"
    ):
        own_data(questions={"stones": stones})


def test_what_is_neither_here_nor_on_the_hub_is_refused_in_one_line(copies: Path) -> None:
    data = own_data(calibration={"hub": f"owner/nothing@{COMMIT}"}).batch()
    with pytest.raises(InvalidInput, match="cannot read owner/nothing") as error:
        data.identity("calibration")
    assert len(str(error.value)) <= 390

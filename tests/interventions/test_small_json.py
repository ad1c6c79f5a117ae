"""A JSON file that nobody has checked is read within bounds; its faults are said in one line."""

import os
from pathlib import Path

import pytest

from interventions import small_json
from interventions.errors import InvalidInput
from interventions.small_json import MOST_LEVELS, entries, number_of_values, read_json_object


def nested(levels: int) -> str:
    """Return an object with others in it, as many levels deep as is asked."""
    return '{"a": ' * levels + "1" + "}" * levels


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ("[1]", "is not a JSON object"),
        ("5", "is not a JSON object"),
        (nested(MOST_LEVELS + 1), f"is nested over {MOST_LEVELS} levels deep"),
        (nested(100_000), "is nested too deeply"),
        ("[" * 100_000, "is nested too deeply"),
        (f'{{"a": {"9" * 5000}}}', "is not valid JSON"),
    ],
)
def test_what_is_no_small_object_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InvalidInput) as error:
        read_json_object(path)
    assert str(error.value).startswith(f"config.json {reason}")


def test_an_object_of_as_many_levels_as_may_be_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(nested(MOST_LEVELS))
    assert set(read_json_object(path)) == {"a"}


def test_what_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(InvalidInput, match="is not valid JSON"):
        read_json_object(path)


def test_a_large_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)  # takes no room on the disk
    monkeypatch.setattr(Path, "read_text", lambda *args, **rest: pytest.fail("it was read"))
    with pytest.raises(InvalidInput, match=r"config.json has 104857600 bytes, over 67108864"):
        read_json_object(path)
    assert small_json.MOST_BYTES == 67108864


def test_a_pipe_a_folder_and_nothing_are_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    monkeypatch.setattr(Path, "read_text", lambda *args, **rest: pytest.fail("it was read"))
    for name in ("pipe.json", ".", "missing.json"):
        with pytest.raises(InvalidInput, match="is not a regular file"):
            read_json_object(tmp_path / name)


def test_entries_are_those_of_every_level() -> None:
    value = {"a": [{"b": {"c": 1}}, 2], "d": None}
    assert sorted(key for key, _ in entries(value)) == ["a", "b", "c", "d"]
    assert list(entries([1, "text"])) == []


def test_a_file_of_as_many_bytes_as_may_be_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"a": 1}')
    monkeypatch.setattr(small_json, "MOST_BYTES", 8)
    assert read_json_object(path) == {"a": 1}
    monkeypatch.setattr(small_json, "MOST_BYTES", 7)
    with pytest.raises(InvalidInput, match=r"^config\.json has 8 bytes, over 7$"):
        read_json_object(path)


@pytest.mark.parametrize(
    ("value", "number"), [(5, 0), ([], 0), ({"a": {}}, 1), ([[1, 2], {"a": [3]}, "text"], 7)]
)
def test_a_value_has_as_many_values_as_are_inside_it_at_any_depth(
    value: object, number: int
) -> None:
    assert number_of_values(value) == number

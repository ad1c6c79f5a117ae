"""How deep a YAML file may be nested, and what is said of one that cannot be read."""

from pathlib import Path

import pytest

from interventions.data.own.yaml_file import read_yaml
from interventions.errors import InvalidInput


def refusal(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(InvalidInput) as error:
        read_yaml(path)
    return str(error.value)


def test_twenty_lists_and_mappings_in_another_are_read_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text(f"a: {'[' * 19}{']' * 19}\nb: [{'[], ' * 30}]")
    assert len(read_yaml(path)["b"]) == 30
    too_deep = "'ours.yaml' line 2: lists and mappings are nested deeper than 20"
    assert refusal(path, f"a: 1\nb: {'[' * 20}{']' * 20}") == too_deep
    assert refusal(path, f"a: 1\nb: [[], [], {'[' * 19}{']' * 19}]") == too_deep


def test_what_is_wrong_is_said_in_the_words_of_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    unread = "'ours.yaml' cannot be read as YAML"
    date = refusal(path, "retain: 2024-13-01")
    assert date.startswith(f"{unread}: month must be in 1..12")
    twice = refusal(path, "retain: [a]\nretain: [b]")
    assert twice == f"{unread} in line 2: the key 'retain' is there twice"

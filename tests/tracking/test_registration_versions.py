"""What is left of a name under which no version could be registered, and of a card that is long."""

from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from interventions.errors import InvalidInput
from tracking import registration


class Registry:
    """A registry.

    Attributes:
        names: the models that it has.
        versions: of a model.
        takes: whether it takes a version.
    """

    def __init__(self, *names: str, takes: bool = False) -> None:
        self.names = set(names)
        self.versions: list[Any] = []
        self.takes = takes

    def search_model_versions(self, filter: str) -> list[Any]:
        assert filter == "name = 'mine'"
        return self.versions

    def set_model_version_tag(self, name: str, version: str, tag: str, text: str) -> None:
        self.versions[int(version)].tags[tag] = text

    def create_registered_model(self, name: str) -> None:
        if name in self.names:
            raise MlflowException("there is one already")
        self.names.add(name)

    def create_model_version(self, name: str, **options: Any) -> Any:
        if not self.takes:
            raise MlflowException("no room")
        self.versions.append(SimpleNamespace(version=str(len(self.versions)), **options))
        return self.versions[-1]

    def delete_registered_model(self, name: str) -> None:
        self.names.remove(name)


def model(name: str) -> Any:
    return SimpleNamespace(model_id=name, source_run_id="r")


def test_a_model_has_one_version_whose_tags_are_written_anew() -> None:
    registry: Any = Registry(takes=True)
    first, is_new = registration._version(registry, "mine", model("m"), {"a": "1"}, "a card")
    assert is_new and (first.source, first.run_id) == ("models:/m", "r")
    assert (first.tags, first.description) == ({"a": "1"}, "a card")
    second, is_new = registration._version(registry, "mine", model("n"), {}, "")
    assert is_new and second is not first
    again, is_new = registration._version(registry, "mine", model("m"), {"b": "2"}, "")
    assert not is_new and again is first and first.tags == {"a": "1", "b": "2"}


@pytest.mark.parametrize("names", [set(), {"mine"}])
def test_a_name_is_taken_back_only_if_it_was_new(names: set[str]) -> None:
    registry: Any = Registry(*names)
    with pytest.raises(InvalidInput, match="MLflow did not register 'mine': no room"):
        registration._version(registry, "mine", model("m"), {}, "a card")
    assert registry.names == names


def test_a_card_is_cut_after_a_whole_line_if_it_is_longer_than_a_description() -> None:
    most = registration._MOST_DESCRIPTION
    longest = ("line\n" * most)[:most]
    assert registration._shortened(longest) == longest
    shortened = registration._shortened(f"{longest}x")
    card, _, note = shortened.partition("\n\n*The whole card is among the run's artifacts, in ")
    assert len(shortened) <= most and note.endswith(".*\n") and card.endswith("line")
    assert len(shortened) > most - len("line\n")

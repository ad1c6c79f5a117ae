"""The testbed's names: what users type, what runs record, and how recorded runs are read."""

import pytest

from interventions.errors import InvalidInput
from interventions.options import TESTBED_VERSION
from tracking import versions
from tracking.versions import as_recorded, base_name, check_same_version, with_version


@pytest.mark.parametrize("setting", ["model", "data"])
def test_what_a_user_types_is_recorded_with_the_version_of_now(setting: str) -> None:
    now = f"testbed@{TESTBED_VERSION}"
    assert with_version(setting, "testbed") == with_version(setting, now) == now
    for name in ("paper", "gpt2", "./testbed", "owner/testbed", "testbeds", "", 5, None):
        assert with_version(setting, name) == name


def test_the_model_without_the_forget_facts_has_the_same_version_and_is_no_data() -> None:
    assert with_version("model", "testbed-without-forget") == "testbed-without-forget@3"
    assert with_version("data", "testbed-without-forget") == "testbed-without-forget"


def test_an_earlier_version_is_refused_in_one_line_that_says_what_is_left_of_it() -> None:
    for name in ("testbed@1", "testbed@2", "testbed-without-forget@1", "testbed-without-forget@2"):
        with pytest.raises(InvalidInput) as error:
            with_version("model", name)
        base = name.partition("@")[0]
        assert str(error.value) == (
            f"model '{name}' is not computed any more: its runs stay readable, and restorable from"
            f" their artifacts; use {base}, which is {base}@3"
        )


@pytest.mark.parametrize("version", ["0", "4", "", "two", "03", " 1", "1@1", "²"])
def test_a_version_that_never_was_is_refused(version: str) -> None:
    with pytest.raises(InvalidInput, match=r"^data must be testbed or testbed@3 on the testbed"):
        with_version("data", f"testbed@{version}")


def test_a_plain_name_that_was_recorded_is_version_1_and_others_are_as_they_are() -> None:
    names = ["testbed", "testbed@1", "testbed@2", "testbed@3", "paper", "/models/testbed", 5, None]
    assert [as_recorded(name) for name in names] == ["testbed@1", *names[1:]]


def test_while_there_was_one_version_a_recorded_plain_name_is_the_version_of_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(versions, "TESTBED_VERSION", 1)
    assert with_version("data", "testbed") == with_version("data", "testbed@1") == "testbed@1"
    check_same_version("it", "data", "testbed", "testbed")
    with pytest.raises(InvalidInput, match="data must be testbed or testbed@1"):
        with_version("data", "testbed@3")


def test_versions_are_not_mixed_and_all_else_is_not_its_business() -> None:
    for recorded in ("testbed", "testbed@1", "testbed@2", "testbed@4"):
        with pytest.raises(InvalidInput) as error:
            check_same_version("grid 'levels'", "data", recorded, "testbed")
        assert "grid 'levels' has runs of data=testbed@" in str(error.value)
        assert "this is data=testbed@3" in str(error.value)
        assert "give this one another name" in str(error.value)
    for recorded, requested in (
        ("testbed@3", "testbed"), ("testbed", "paper"), ("paper", "testbed"), ("", "testbed"),
        ("gpt2", "gpt2"), ("gpt2@a", "gpt2@b"), ("testbed", "testbed-without-forget"),
    ):  # fmt: skip
        check_same_version("it", "model", recorded, requested)


def test_only_the_testbeds_names_have_a_version_to_take_away() -> None:
    names = ["testbed@3", "testbed-without-forget@3", "testbed", "a@2", "testbeds@2", "@2"]
    assert [base_name(name) for name in names] == [
        "testbed", "testbed-without-forget", "testbed", "a@2", "testbeds@2", "@2"
    ]  # fmt: skip

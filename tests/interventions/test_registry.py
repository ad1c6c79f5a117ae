"""Registries: the house's modules and third parties' plug-ins, found on the first look-up."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from interventions.errors import InvalidInput
from interventions.registry import Registry

Package = Callable[[str, dict[str, str]], str]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """A function that writes a package of modules to sys.path and returns its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, modules: dict[str, str]) -> str:
        (tmp_path / name).mkdir()
        for module, text in {"__init__": "", **modules}.items():
            (tmp_path / name / f"{module}.py").write_text(text)
            imported = name if module == "__init__" else f"{name}.{module}"
            monkeypatch.delitem(sys.modules, imported, raising=False)
        return name

    return write


def plug_in(folder: Path, group: str, name: str, value: str) -> None:
    """Write what installing a distribution with an entry point writes."""
    info = folder / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")


def test_modules_are_imported_on_the_first_look_up_only(package: Package) -> None:
    name = package("example_house", {"one": "loaded = True", "two": ""})
    registry: Registry[int] = Registry("number", packages=(name,), group="no.group")
    registry.add("b", 2)
    registry.add("a", 1)
    assert f"{name}.one" not in sys.modules
    assert list(registry.all().items()) == [("a", 1), ("b", 2)]
    assert {f"{name}.one", f"{name}.two"} <= set(sys.modules)


def test_a_failing_module_of_the_house_is_an_error(package: Package) -> None:
    name = package("example_broken_house", {"one": "raise RuntimeError('broken')"})
    with pytest.raises(RuntimeError, match="broken"):
        Registry[int]("number", packages=(name,), group="no.group").all()


def test_a_failing_plug_in_is_a_warning(package: Package, tmp_path: Path) -> None:
    name = package("example_plug_in", {"broken": "raise RuntimeError('broken')", "fine": "ok = 1"})
    plug_in(tmp_path, "example.numbers", "broken", f"{name}.broken")
    plug_in(tmp_path, "example.numbers", "fine", f"{name}.fine")
    plug_in(tmp_path, "other.numbers", "unused", f"{name}.unused")
    registry: Registry[int] = Registry("number", packages=(), group="example.numbers")
    registry.add("a", 1)
    with pytest.warns(UserWarning) as warnings:
        assert registry.get("a") == 1
    assert [str(warning.message) for warning in warnings] == [
        "number plug-in 'broken' (example_plug_in.broken) failed: broken"
    ]
    assert f"{name}.fine" in sys.modules


def test_a_taken_name_is_refused_until_it_is_removed() -> None:
    registry: Registry[int] = Registry("number", packages=(), group="no.group")
    registry.add("a", 1)
    with pytest.raises(ValueError, match="number 'a' is taken by 1; choose another name"):
        registry.add("a", 2)
    assert registry.get("a") == 1
    registry.remove("a")
    registry.add("a", 2)
    assert registry.get("a") == 2


def test_an_unknown_name_gets_up_to_three_near_ones_and_all() -> None:
    registry: Registry[int] = Registry("number", packages=(), group="no.group")
    for name in ("seven", "eleven", "even", "evens", "one"):
        registry.add(name, 0)
    with pytest.raises(InvalidInput) as error:
        registry.get("sevens")
    assert str(error.value) == (
        "no number is named 'sevens'. Did you mean 'seven' or 'evens' or 'even'?"
        " Known: eleven, even, evens, one, seven"
    )
    with pytest.raises(InvalidInput, match=r"no number is named 'x'\. Known: eleven"):
        registry.get("x")


@pytest.mark.parametrize("name", ["x" * 101, "caf\u00e9", "a-b", "1a", ""])
def test_a_name_is_at_most_a_hundred_letters_digits_and_underscores(name: str) -> None:
    registry: Registry[int] = Registry("number", packages=(), group="no.group")
    registry.add("x" * 100, 1)
    with pytest.raises(InvalidInput, match="a number must be named by at most 100 letters, digit"):
        registry.add(name, 2)


def test_what_is_imported_may_look_something_up_and_is_imported_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry: Registry[int] = Registry("number", packages=(), group="no.group")
    looked_up = []

    def discover() -> None:
        registry.add("a", 1)
        looked_up.append(registry.get("a"))

    monkeypatch.setattr(registry, "_discover", discover)
    assert registry.all() == registry.all() == {"a": 1}
    assert looked_up == [1]

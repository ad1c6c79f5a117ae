"""The testbed's names: as users type them, as runs record them with a version, and as old runs are.

The testbed's model and data have a version (``interventions.options.TESTBED_VERSION``). A user
types ``testbed``, and the run records ``testbed@3``. A run that recorded plain ``testbed`` is of
version 1. Runs of two versions are never compared. Imports no torch and no MLflow.
"""

from __future__ import annotations

from typing import TypeVar

from interventions.errors import InvalidInput, shown
from interventions.options import TESTBED_VERSION

TESTBED = "testbed"
WITHOUT_FORGET = "testbed-without-forget"  # the model that was trained without what GA forgets
MODELS = (TESTBED, WITHOUT_FORGET)
VERSIONED = ("model", "data")  # the settings that may name the testbed
_AT = "@"
_FIRST = 1  # of the versions of the testbed
_MOST_SHOWN = 100  # characters

Name = TypeVar("Name")


def base_name(name: str) -> str:
    """Return a name of the testbed without its version, and any other name as it is.

    Example:
        >>> base_name("testbed@3"), base_name("owner/model@main")
        ('testbed', 'owner/model@main')
    """
    base = name.partition(_AT)[0]
    return base if base in MODELS else name


def with_version(setting: str, name: Name) -> Name | str:
    """Return a setting as runs record it: a name of the testbed with the version of now.

    Args:
        setting: "model" or "data".
        name: as a user gave it; what is no name of the testbed is returned as it is.

    Raises:
        InvalidInput: it names another version, which is not computed any more, or never was.

    Example:
        >>> with_version("data", "testbed"), with_version("data", "paper")
        ('testbed@3', 'paper')
        >>> with_version("data", "testbed@1")
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: data 'testbed@1' is not computed any more: ...
    """
    if not isinstance(name, str):
        return name
    base, at, version = name.partition(_AT)
    if base not in (MODELS if setting == "model" else (TESTBED,)):
        return name
    now = f"{base}{_AT}{TESTBED_VERSION}"
    if not at or name == now:
        return now
    if version in map(str, range(_FIRST, TESTBED_VERSION)):
        raise InvalidInput(
            f"{setting} {name!r} is not computed any more: its runs stay readable, and restorable"
            f" from their artifacts; use {base}, which is {now}"
        )
    raise InvalidInput(
        f"{setting} must be {base} or {now} on the testbed, but got {shown(name, _MOST_SHOWN)}"
    )


def as_recorded(name: Name) -> Name | str:
    """Return the name that a run recorded, as it is read: plain ``testbed`` is version 1.

    Example:
        >>> as_recorded("testbed"), as_recorded("testbed@3"), as_recorded("paper")
        ('testbed@1', 'testbed@3', 'paper')
    """
    return f"{name}{_AT}{_FIRST}" if name in MODELS else name


def check_same_version(what: str, setting: str, recorded: str, requested: str) -> None:
    """Check that what goes on under a name does so on the version of the testbed that it began on.

    Args:
        what: the study or grid, as the message names it.
        setting: "model" or "data".
        recorded: the setting that it began with, as its run or study recorded it.
        requested: the setting of now.

    Raises:
        InvalidInput: both are the testbed, of two versions.

    Example:
        >>> check_same_version("study 'lr'", "data", "testbed@3", "testbed@3")
        >>> check_same_version("study 'lr'", "data", "testbed", "testbed@3")
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: study 'lr' has runs of data=testbed@1, and this is ...
    """
    before, now = as_recorded(recorded), with_version(setting, requested)
    if before != now and _AT in before and base_name(before) == base_name(now):
        raise InvalidInput(
            f"{what} has runs of {setting}={before}, and this is {setting}={now}: the two are not"
            " mixed; its runs stay readable, but give this one another name"
        )

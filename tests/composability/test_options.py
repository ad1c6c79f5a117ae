"""What the options of the commands take, and what they are if nobody names them."""

import click
import pytest

from tests.composability.test_command import SUBCOMMANDS, command_of, options_of

MOST_SEED = 2**32 - 1  # what NumPy takes
BOUNDS: dict[tuple[str, str], tuple[float, float | None]] = {
    ("run", "--seed"): (0, MOST_SEED),
    ("run", "--edit-batch"): (0, None),
    ("run", "--window"): (0, 2**20),
    ("run", "--stride"): (0, 2**20),
    ("run", "--limit"): (0, 10**9),
    ("plan", "--seed"): (0, MOST_SEED),
    ("plan", "--edit-batch"): (0, None),
    ("plan", "--window"): (0, 2**20),
    ("plan", "--stride"): (0, 2**20),
    ("plan", "--limit"): (0, 10**9),
    ("plan", "--device-gib"): (0.0, 10_000),
    ("grid", "--workers"): (1, None),
    ("grid", "--gpus"): (0.0, None),
    ("grid", "--window"): (0, 2**20),
    ("grid", "--stride"): (0, 2**20),
    ("grid", "--limit"): (0, 10**9),
    ("tune", "--sampler-seed"): (0, None),
    ("tune", "--prune-every"): (1, None),
    ("tune", "--prune-items"): (0, None),
    ("tune", "--seed"): (0, MOST_SEED),
    ("tune", "--edit-batch"): (0, None),
    ("tune", "--workers"): (1, None),
    ("tune", "--gpus"): (0.0, None),
    ("tune", "--window"): (0, 2**20),
    ("tune", "--stride"): (0, 2**20),
    ("tune", "--limit"): (0, 10**9),
    ("findings", "--edit-batches"): (3, 1000),
    ("findings", "--hours"): (0, 10_000),
    ("findings", "--workers"): (1, None),
    ("findings", "--gpus"): (0.0, None),
    ("register", "--step"): (0, None),
    ("setup", "--ui"): (1, 65535),
}
DEFAULTS = {
    ("grid", "--workers"): 1,
    ("tune", "--workers"): 1,
    ("tune", "--prune-every"): 20,
    ("findings", "--workers"): 1,
    ("findings", "--edit-batches"): 10,
    ("findings", "--hours"): 3.0,
}
SWITCHES = {
    ("run", "--dry-run"),
    ("run", "--json"),
    ("run", "--trust-remote-code"),
    ("run", "--allow-pickle"),
    ("plan", "--trust-remote-code"),
    ("plan", "--allow-pickle"),
    ("grid", "--dry-run"),
    ("grid", "--trust-remote-code"),
    ("grid", "--allow-pickle"),
    ("tune", "--dry-run"),
    ("tune", "--trust-remote-code"),
    ("tune", "--allow-pickle"),
    ("compare", "--json"),
    ("findings", "--run"),
    ("register", "--trust-remote-code"),
    ("register", "--allow-pickle"),
    ("restore", "--trust-remote-code"),
    ("restore", "--allow-pickle"),
    ("setup", "--serve"),
    ("setup", "--store"),
}


def every_option() -> dict[tuple[str, str], click.Option]:
    return {
        (name, option.opts[0]): option
        for name in SUBCOMMANDS
        for option in options_of(command_of([name]))
    }


# name -> what is given without an option: its name, how many (-1: any number), its default
ARGUMENTS: dict[str, list[tuple[str, int, str | None]]] = {
    "run": [("composition", 1, "none")],
    "plan": [("composition", 1, "none")],
    "tune": [("composition", 1, "none")],
    "compare": [("pair", -1, None)],
    "register": [("run_id", 1, None)],
    "restore": [("run_id", 1, None), ("step", 1, None), ("folder", 1, None)],
}


def test_every_argument_is_required_unless_it_has_a_default() -> None:
    arguments: dict[str, list[tuple[str, int, str | None]]] = {}
    for name in SUBCOMMANDS:
        for parameter in command_of([name]).params:
            if isinstance(parameter, click.Argument):
                default = None if parameter.required else str(parameter.default)
                entry = (str(parameter.name), parameter.nargs, default)
                arguments.setdefault(name, []).append(entry)
    assert arguments == ARGUMENTS


def test_options_show_their_defaults_and_one_is_required() -> None:
    options = every_option()
    required = {place for place, option in options.items() if option.required}
    assert required == {("register", "--name")}
    silent = {place for place, option in options.items() if not option.show_default}
    assert silent - required == {("setup", "--ui"), ("setup", "--serve"), ("setup", "--store")}


def test_every_number_has_these_bounds_themselves_included() -> None:
    bounds = {}
    for place, option in every_option().items():
        if isinstance(option.type, click.IntRange | click.FloatRange):
            bounds[place] = (option.type.min, option.type.max)
            assert not option.type.min_open and not option.type.max_open
            assert not option.type.clamp
    assert bounds == BOUNDS


def test_every_number_is_0_unless_it_is_named_or_counts_something() -> None:
    defaults = {
        place: option.default
        for place, option in every_option().items()
        if isinstance(option.type, click.IntRange | click.FloatRange)
        and isinstance(option.default, int | float)
        and option.default != 0
    }
    assert defaults == DEFAULTS


def test_every_switch_is_off_unless_it_is_named() -> None:
    options = every_option()
    switches = {
        place for place in options if isinstance(options[place].type, click.types.BoolParamType)
    }
    assert switches == SWITCHES
    for place in switches:
        command = command_of([place[0]])
        arguments = ["1"] * (len(command.params) - len(options_of(command)))
        arguments += [f"{option.opts[0]}=1" for option in options_of(command) if option.required]
        context = command.make_context(place[0], arguments)
        assert context.params[str(options[place].name)] is False, place


FLOATS = ("--gpus", "--hours", "--device-gib")


@pytest.mark.parametrize("place", [place for place in BOUNDS if place[1] not in FLOATS])
def test_an_integer_is_written_with_ascii_digits(place: tuple[str, str]) -> None:
    """Python reads the digits of every script."""
    name, option = place
    arabic_three = "\u0663"
    with pytest.raises(click.BadParameter, match="is not a valid integer"):
        command_of([name]).make_context(name, [option, arabic_three])


def test_a_step_is_written_with_ascii_digits() -> None:
    with pytest.raises(click.BadParameter, match="is not a valid integer"):
        command_of(["restore"]).make_context("restore", ["run", "\u0663", "folder"])

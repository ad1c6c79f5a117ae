"""Draws input that is bad for certain, for every option of every command and every argument.

Options and arguments are read off the commands and signatures themselves, so that a new one is
drawn too; one of free text must be named here, with texts that are never valid for it.
"""

from __future__ import annotations

import inspect
import random
import string
from collections.abc import Callable, Iterator
from typing import Any

import click

import composability
from composability.command import cli
from interventions.base import INTERVENTIONS

Draw = Callable[[random.Random], str]

# what has no bad text of its own: any address or folder may be right, until it is used
ANY_TEXT_IS_VALID = frozenset(("--ray-address",))


def command_lines(generator: random.Random) -> Iterator[list[str]]:
    """Yield the arguments of `composability` commands, each wrong in one place for certain."""
    commands = sorted(cli.commands)
    # by how much there is to say to each
    weights = [1 + len(cli.commands[name].params) for name in commands]
    while True:
        name = generator.choices(commands, weights)[0]
        command = cli.commands[name]
        spoilers: list[Callable[[random.Random], list[str]]] = [_unknown_option, _surplus_words]
        if name in ("cache", "list"):
            yield [name, *generator.choice((_unknown_option, _unknown_listing))(generator)]
            continue
        spoilers += [
            _bad_option(parameter)
            for parameter in command.params
            if isinstance(parameter, click.Option) and parameter.opts[0] not in ANY_TEXT_IS_VALID
        ]
        if name == "restore":
            yield [name, *_bad_restore(generator)]
            continue
        if name == "run":
            spoilers += [lambda draws: [_bad_spec(draws)]] * 6
        if name == "setup":
            spoilers = [_unknown_option, _surplus_words, _bad_option(command.params[0])]
        words = [name, *_sound_words(name)]
        words += generator.choice(spoilers)(generator)
        yield words


def free_text_options() -> set[str]:
    """Return the names of all options whose value is free text."""
    return {
        parameter.opts[0]
        for command in cli.commands.values()
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.type is click.STRING
    }


def _sound_words(command: str) -> list[str]:
    """Return options that are right by themselves, so that only the spoiled one is refused."""
    if command == "grid":
        return ["--interventions", "lora; wanda"]
    if command == "tune":
        return ["--intervention", "rmu", "--objective", "wmdp,mmlu"]
    if command == "compare":
        return ["lora + nobody"]
    if command == "register":
        return ["nobody", "--name=pair"]
    return []


def _unknown_option(generator: random.Random) -> list[str]:
    return [f"--{_letters(generator)}-zzz", _letters(generator)]


def _surplus_words(generator: random.Random) -> list[str]:
    return ["wanda", *(_letters(generator) for _ in range(generator.randint(1, 300)))]


def _unknown_listing(generator: random.Random) -> list[str]:
    return [_letters(generator) + "zzz"]


def _bad_restore(generator: random.Random) -> list[str]:
    run_id = generator.choice((_letters(generator), "", "../..", "0" * 32, "\x1b[31m", "x" * 5000))
    step = generator.choice(("0", "-1", "1.5", "x", "9" * 5000, "1", "\u0000"))
    folder = generator.choice(("out", "/proc/x", "", "x" * 300, "a\0b", "/dev/null/x"))
    return ["--", run_id, step, folder]


def _bad_option(parameter: click.Parameter) -> Callable[[random.Random], list[str]]:
    name = parameter.opts[0]

    def draw(generator: random.Random) -> list[str]:
        # joined, because a value may begin with a dash
        return [f"{name}={_bad_value(parameter, generator)}"]

    return draw


def _bad_value(parameter: click.Parameter, generator: random.Random) -> str:
    kind = parameter.type
    if isinstance(kind, click.Choice):
        return generator.choice((_letters(generator) + "zzz", "", *_HOSTILE))
    if isinstance(kind, click.types.BoolParamType):
        return generator.choice(("maybe", "2", "", "zzz", *_HOSTILE))
    if isinstance(kind, click.types._NumberRangeBase | click.types.IntParamType):
        return generator.choice(
            ("-1", "x", "", "9" * 40, "9" * 5000, "nan ", "0x", "1,5", *_HOSTILE)
        )
    return generator.choice(TEXTS[parameter.opts[0]])(generator)


_HOSTILE = (
    "\0",
    "a\nb\nc",
    "\x1b[2J\x1b[31mred",
    "\ud800",
    "%s%s%n{0}{x.__class__}",
    "x" * 100_000,
    "$(touch owned)",
    "; touch owned",
    "../" * 3000,
)


def _letters(generator: random.Random, least: int = 3, most: int = 12) -> str:
    size = generator.randint(least, most)
    return "".join(generator.choice(string.ascii_lowercase) for _ in range(size))


def _unknown_name(generator: random.Random) -> str:
    return f"{_letters(generator)}zzz"


def _bad_spec(generator: random.Random) -> str:
    """Draw a text that is no composition."""
    sound = generator.choice(sorted(INTERVENTIONS.all()))
    draw = generator.choice((*_SYNTAX, *(_bad_hyperparameter,) * 10))
    text = draw(generator)
    return f"{sound} | {text}" if generator.random() < 0.3 else text


def _bad_hyperparameter(generator: random.Random) -> str:
    name = generator.choice(sorted(INTERVENTIONS.all()))
    field = generator.choice(list(inspect.signature(INTERVENTIONS.get(name)).parameters))
    value = generator.choice(
        (
            *(
                "1e999",
                "-1e999",
                "-10**9",
                "10**30",
                "-1",
                "{}",
                "{1: 2}",
                "b'x'",
                "'zzz'",
                "...",
            ),
            *("[1, 2]", "((((1,),),),)", "1j", "-1e-300", "9" * 5000, "(" * 300 + ")" * 300),
            *("open('owned', 'w')", "__import__('os')", "lambda: 1", "f'{1}'", "x := 1", "*a"),
        )
    )
    if generator.random() < 0.2:
        field = generator.choice(("profile", "name", "category", "version", "self", "class", "zzz"))
    return f"{name}({field}={value})"


def _text(value: str) -> Draw:
    return lambda generator: value


_SYNTAX: tuple[Draw, ...] = (
    _unknown_name,
    lambda generator: f"lora(rank={'9' * generator.randint(4400, 9000)})",
    lambda generator: " | ".join(["lora"] * generator.randint(1000, 3000)),
    lambda generator: "(" * generator.randint(50, 5000),
    lambda generator: "-" * generator.randint(2000, 20_000) + "1",
    lambda generator: "lora" + "." * generator.randint(1, 300) + "x",
    *map(
        _text,
        (
            *("lora |", "| lora", "lora || wanda", "lora(", "lora)", "lora(8)", "lora(rank=)"),
            *("lora(rank=1, rank=2)", "lora(**{})", "lora; wanda", "1", "'lora'", "lora + wanda"),
            *("lora(rank=8)(rank=8)", "lora[0]", "lora.rank", "[lora]", "lora if 1 else wanda"),
            *("1if 2else", "lora(rank=1_0_)", "lora(rank=0x)", "\u202elora", "l\u043era", "lora\0"),
            *("import os", "x = 1", "lambda: 1", "await x", "lora @ wanda", "not lora", "{}"),
        ),
    ),
)


def _bad_list(generator: random.Random) -> str:
    """Draw a text that is no list of interventions."""
    return generator.choice(
        (
            _bad_hyperparameter(generator).replace("[1, 2]", "[]"),
            "lora(rank=[])",
            "wanda(sparsity=[0.5, 0.5])",
            f"lora(rank=[{', '.join(map(str, range(1, 2000)))}], steps=[{'1, ' * 2000}])",
            "lora | wanda",
            "lora; lora",
            ";;;",
            f"{_unknown_name(generator)}; wanda",
        )
    )


def _choose(*texts: str) -> tuple[Draw, ...]:
    return tuple(map(_text, texts))


_NAMES = _choose("", "x" * 600, "a\nb", "a\0b", "\x1b[31mred", "x" * 100_000)
_NUMBERS = _choose("", "x", "-1", "1.5", "9" * 5000, "0..99999999999", "3..1", "1,,2", "..", "1e9")

# texts that are never valid, by option
TEXTS: dict[str, tuple[Draw, ...]] = {
    "--first": (_bad_spec,),
    "--second": (_bad_spec,),
    "--then": (_bad_spec,),
    "--interventions": (_bad_list, _unknown_name),
    "--intervention": (_bad_spec,),
    "--model": _choose(
        "", "a/b/c", "\0", "x" * 300, "/dev/null", "a\nb", "../nothing", "-/-", "a b"
    ),
    "--data": _choose("", "papr", "\0", "nothing.yaml", "/dev/null/x.yml", "a\nb.yaml", "x" * 9000),
    "--experiment": _NAMES,
    "--name": _choose("x" * 600, "a\nb", "a\0b", "../x", "a/b", "\x1b[31mred", "it's"),
    "--length": (*_NUMBERS, *_choose("0..10000000")),
    "--edit-batches": (*_NUMBERS, *_choose("0..10000000", "77777")),
    "--seeds": (*_NUMBERS, *_choose("4294967296", "0..10000000")),
    "--objective": (
        _unknown_name,
        *_choose("wmdp,", ",", "wmdp wmdp", "mmlu:zzz", "\0", "x" * 9000),
    ),
    "--constraint": (_unknown_name, *_choose("mmlu", "mmlu>=", ">=1", "mmlu>=x", "mmlu==1", "\0")),
    "--trials": _choose("", "0", "-1", "x", "1.5", "1000000000", "9" * 5000),
    "--storage": _choose(
        *("", "foo://x", "postgresql://bob:pw@h/db", "mysql://h?password=pw", "\0", "sqlite://"),
    ),
    "--output": _choose("/proc/x", "a\0b", "x" * 300, "/dev/null/x"),
    "--criteria": (_unknown_name, *_choose("", ",", "\0", "x" * 9000)),
    "--levels": (_unknown_name, *_choose("wanda=x", "=", "wanda=nan", "wanda:1", "x" * 9000)),
    "--bounds": (_unknown_name, *_choose("mmlu", "mmlu>=", "zzz>=1", "mmlu>=x", "mmlu==1", "\0")),
    "--alias": _choose("", "latest", "v1", "a b", "\0", "x" * 9000),
    "--register": _choose("", " ", "lora:x", "lora + wanda:", "\0", "x" * 9000),
    "--ui": _choose("javascript:alert(1)", "data:text/html,x", "zzz", "file:///etc/passwd", "\0"),
}


Call = tuple[str, Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def calls(generator: random.Random) -> Iterator[Call]:
    """Yield calls of the public functions, each with one argument that is wrong for certain.

    Yields:
        The function's name, the function, its positional and its keyword arguments.
    """
    names = [name for name in composability.__all__ if name in _SOUND_ARGUMENTS]
    while True:
        name = generator.choice(names)
        function = getattr(composability, name)
        sound = _SOUND_ARGUMENTS[name]
        parameters = inspect.signature(function).parameters
        kind = generator.random()
        if kind < 0.1:
            yield name, function, sound, {f"{_letters(generator)}_zzz": 1}
            continue
        spoiled = generator.choice(sorted(parameters))
        value = _wrong_value(str(parameters[spoiled].annotation), generator)
        position = list(parameters).index(spoiled)
        if position < len(sound):
            yield name, function, (*sound[:position], value, *sound[position + 1 :]), {}
        else:
            yield name, function, sound, {spoiled: value}


class _Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no text for it")


def _wrong_value(annotation: str, generator: random.Random) -> Any:
    wrong: list[Any] = [object(), _Odd(), b"x", 1j, {"a": {1}}, float("nan"), [object()]]
    if "Numbers" not in annotation:
        wrong.append(range(3))
    if "str" not in annotation and "Iterable" not in annotation:
        wrong += ["zzz", "\0", "x" * 100_000]
    if "int" not in annotation and "Numbers" not in annotation and "float" not in annotation:
        wrong += [5, -1, 10**5000] + ([] if "bool" in annotation else [True])
    else:
        wrong += [-(10**5000), -1.5]
    if "None" not in annotation:
        wrong.append(None)
    return generator.choice(wrong)


_SOUND_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "run": ("lora",),
    "grid": ("lora; wanda",),
    "tune": ("rmu",),
    "compositions": (),
    "items": (["0" * 32],),
    "load_checkpoint": ("0" * 32, 1),
    "register": ("0" * 32, "pair"),
}

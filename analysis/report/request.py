"""What to analyse, as plain values and as the command line writes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from interventions.errors import InvalidInput, one_of, plain_text, shown
from tracking import store
from tracking.links import LOCAL_UI, ui_address
from tracking.markup import web_address
from tracking.measures import Error
from tracking.passwords import check_no_passwords
from tracking.schema import pair_name


@dataclass(frozen=True)
class AnalysisRequest:
    """What to analyse.

    Attributes:
        experiments: names; their runs are analysed together.
        criteria: names of those that are shown; all if there is none.
        levels: strength to the level that Tables 2 to 4 show; by default the paper's.
        bounds: criterion to the worst value that a level may have to be counted.
        error: "best", as the paper's tables, or "worst", as its equation 1.
        items: whether intervals are over items: "auto" (few replicates), "all" or "none".
        ui: address of MLflow's UI, for links.
        studies: whether runs of studies are analysed, too: their trials, and their final tests.
        champion: what the checkpoint of the recommended order is registered as; "" for nothing.
        champion_pair: of which pair; "" where there is one only.

    Example:
        >>> AnalysisRequest(("published",), bounds={"mmlu": 0.4}).error
        'best'
    """

    experiments: tuple[str, ...]
    criteria: tuple[str, ...] = ()
    levels: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, float] = field(default_factory=dict)
    error: Error = "best"
    items: str = "auto"
    ui: str = LOCAL_UI
    studies: bool = False
    champion: str = ""
    champion_pair: str = ""


def read_analysis_request(
    experiment: str = store.EXPERIMENT,
    criteria: str = "all",
    levels: str = "paper",
    bounds: str = "none",
    error: str = "best",
    items: str = "auto",
    ui: str = "auto",
    studies: str = "false",
    register: str = "none",
) -> AnalysisRequest:
    """Return the request that the command line's values stand for.

    Args:
        experiment: names with commas between.
        criteria: "all", or names with commas between.
        levels: "paper", or as ``"sparsity=0.25,bits=4"``.
        bounds: "none", or as ``"mmlu=0.4"``.
        error: as in ``AnalysisRequest``; checked when the runs are read.
        items: likewise.
        ui: an address, or "auto": the store's if it is a server, else ``LOCAL_UI``.
        studies: "true" or "false".
        register: "none", a registered model's name, or as ``"lora + wanda: name"``.

    Raises:
        InvalidInput: no experiment is named, levels, bounds or register are not written like that,
            or the address is none of the web or has a password.

    Example:
        >>> read_analysis_request("published", criteria="mmlu", levels="bits=4").levels
        {'bits': 4.0}
    """
    check_no_passwords({"experiment": experiment, "ui": ui, "register": register})
    experiments = _names(experiment)
    if not experiments:
        raise InvalidInput(f"experiment must name at least one, but got {shown(experiment)}")
    for name in experiments:
        plain_text("experiment", name)
    pair, champion = _champion(register)
    return AnalysisRequest(
        experiments=experiments,
        criteria=() if criteria == "all" else _names(criteria),
        levels={} if levels == "paper" else _numbers("levels", levels, "sparsity=0.25,bits=4"),
        bounds={} if bounds == "none" else _numbers("bounds", bounds, "mmlu=0.4,wikitext_ppl=8"),
        error=error,  # type: ignore[arg-type] # checked with everything else, before it is used
        items=items,
        ui=web_address("ui", ui_address() if ui == "auto" else ui).rstrip("/"),
        studies=one_of("studies", studies, ("true", "false")) == "true",
        champion=champion,
        champion_pair=pair,
    )


def _champion(text: str) -> tuple[str, str]:
    """Return the pair, "" for the only one, and the name that its checkpoint is registered as."""
    if text == "none":
        return "", ""
    plain_text("register", text)
    pair, colon, name = text.rpartition(":")
    interventions = [part.strip() for part in pair.split("+")]
    if not name.strip() or (colon and (len(interventions) != 2 or not all(interventions))):
        raise InvalidInput(
            f"register must be a name, or written like 'lora + wanda: name', but got {shown(text)}"
        )
    return pair_name(interventions) if colon else "", name.strip()


def _names(text: str) -> tuple[str, ...]:
    """Return names that have commas between, each once."""
    names = [name.strip() for name in text.split(",")]
    return tuple(dict.fromkeys(name for name in names if name))


def _numbers(name: str, text: str, example: str) -> dict[str, float]:
    """Return ``key=number`` pairs that have commas between."""
    pairs = [pair.partition("=") for pair in text.split(",")]
    try:
        numbers = {key.strip(): float(value) for key, _, value in pairs}
    except ValueError:
        numbers = {}
    if not numbers or not all(map(math.isfinite, numbers.values())):
        raise InvalidInput(f"{name} must be written like {example}, but got {shown(text)}")
    return numbers

"""Read what a run did not record as what the interventions of its time did. Imports no torch.

A run states the version of the testbed (``testbed@3``), and that of each of its interventions
(``wanda.version``). Runs of before they did are of the first versions. A hyperparameter that a
version had not got yet is stated by the intervention's class attribute ``earlier``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tracking import schema
from tracking.house_facts import house_earlier
from tracking.versions import VERSIONED, as_recorded, base_name, with_version

# by intervention, the version that ran when runs began to state it; 1 for all others
_FIRST_STATED = {"wanda": 2}
# what the paper's data were read from before there was a choice, by the param that now says it
_EDITS_FROM, _AWQ_FROM = "edits_from", "awq.calibration_from"
_COUNT = re.compile(r"_\d+$")  # of an intervention that is applied again: wanda_2


def earlier_hyperparameters(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return, by param, the values of the hyperparameters that a run's interventions had not got.

    Args:
        params: of the run, read as values: ``step1``, …, ``<intervention>.<hyperparameter>``, ….

    Example:
        >>> earlier_hyperparameters({"step1": "gptq", "gptq.bits": 4})
        {'gptq.static_groups': True, 'gptq.true_sequential': False}
        >>> earlier_hyperparameters({"step1": "gptq", "gptq.bits": 4, "gptq.version": 2})
        {}
    """
    values: dict[str, Any] = {}
    for prefix in _prefixes(params):
        stated = params.get(f"{prefix}.{schema.VERSION}")
        version = stated if isinstance(stated, int) else first_version(prefix)
        # of two versions that lacked a hyperparameter, the one next to the run's says what it did
        for later, fields in sorted(house_earlier().get(_name(prefix), {}).items()):
            if version <= later:
                for field, value in fields.items():
                    values.setdefault(f"{prefix}.{field}", value)
    return {param: value for param, value in values.items() if param not in params}


def recorded_names(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model and the data of a run, the testbed's names with the version that it used.

    Args:
        params: of the run.

    Example:
        >>> recorded_names({"model": "gpt2", "data": "testbed"})
        {'model': 'gpt2', 'data': 'testbed@1'}
        >>> recorded_names({"data": "testbed", "used.data": "testbed@3"})
        {'data': 'testbed@3'}
    """
    names = {}
    for setting in VERSIONED:
        used = params.get(f"{schema.USED}{setting}", params.get(setting))
        if used is not None:
            names[setting] = as_recorded(used)
    return names


def what_differs(params: Mapping[str, Any]) -> str:
    """Return why a run that is planned again has another key, as far as its params tell.

    Example:
        >>> what_differs({"model": "gpt2", "data": "testbed"})
        'its data was testbed@1, which is testbed@3'
    """
    for setting, name in recorded_names(params).items():
        base = base_name(name)
        if base != name and name != with_version(setting, base):
            return f"its {setting} was {name}, which is {with_version(setting, base)}"
    return "model, data or versions are others"


def earlier_sources(params: Mapping[str, Any]) -> dict[str, str]:
    """Return, by param, which files a run on the paper's data read, if it does not say so.

    Args:
        params: of the run.

    Example:
        >>> earlier_sources({"data": "paper", "step1": "awq"})
        {'edits_from': 'zsre_mend_eval.json', 'awq.calibration_from': 'allenai/c4'}
        >>> earlier_sources({"data": "testbed"})
        {}
    """
    if params.get("data") != "paper":
        return {}
    sources = {_EDITS_FROM: "zsre_mend_eval.json"}
    if "awq" in schema.step_names(params):
        sources[_AWQ_FROM] = "allenai/c4"
    return {param: source for param, source in sources.items() if param not in params}


def versions(params: Mapping[str, Any]) -> dict[str, int]:
    """Return, by param, the versions of a run's interventions that the run does not state.

    Args:
        params: of the run, read as values: ``step1``, …, ``<intervention>.<hyperparameter>``, ….

    Example:
        >>> versions({"step1": "wanda", "step2": "ga", "wanda.sparsity": 0.5, "ga.version": 3})
        {'wanda.version': 2}
    """
    stated = {f"{prefix}.{schema.VERSION}": first_version(prefix) for prefix in _prefixes(params)}
    return {param: version for param, version in stated.items() if param not in params}


def first_version(prefix: str) -> int:
    """Return the version of an intervention of which a run states none."""
    return _FIRST_STATED.get(_name(prefix), 1)


def _prefixes(params: Mapping[str, Any]) -> list[str]:
    """Return ``wanda``, ``wanda_2``, … of the hyperparameters, in order."""
    names = set(schema.step_names(params))
    prefixes = dict.fromkeys(param.partition(".")[0] for param in params if "." in param)
    return [prefix for prefix in prefixes if _name(prefix) in names or prefix in names]


def _name(prefix: str) -> str:
    return _COUNT.sub("", prefix)

"""A study in words and as a table: what would run, what came of it, a row per trial."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping

import pandas as pd
from optuna.trial import TrialState

from sweeps.study.attributes import RUNS
from sweeps.study.conclusion import Conclusion
from sweeps.study.final_test import final_split
from sweeps.study.objectives import objectives_in_words
from sweeps.study.spec import StudySpec
from tracking import schema
from tracking.markup import plain_markdown
from tracking.settings import Settings, setting_text

_MOST_DESCRIBED = 10  # trials in a description
# those that decide what a run computes; the split that judges is another
_REPEATED_SETTINGS = (
    "data",
    "model",
    "seed",
    "edit_batch",
    "window",
    "stride",
    "tail",
    "criteria",
    "limit",
    "prompt_format",
    "recompress",
    "dtype",
    "trust_remote_code",
    "allow_pickle",
)


def plan_in_words(spec: StudySpec) -> str:
    """Return what a study would run, a line each."""
    request = spec.request
    settings = f"{request.sampler} on space={request.space}, judged by validation data"
    lines = [f"{request.name}: {spec.trials} trials of {request.composition} by {settings}"]
    lines += [f"  {name}: {values}" for name, values in spec.space.tuned.items()]
    lines += [f"  {line}" for line in spec.space.left_out]
    lines.append(f"objective: {objectives_in_words(spec.objectives)}")
    if spec.constraints:
        lines.append(f"constraint: {', '.join(map(str, spec.constraints))}")
    split = final_split(request.settings.data)
    lines.append(f"the chosen setting is then measured once with split={split}")
    return "\n".join(lines)


def result_in_words(spec: StudySpec, conclusion: Conclusion) -> str:
    """Return what came of a study, for the command line and the note of the parent run."""
    pruned = sum(trial.state == TrialState.PRUNED for trial in conclusion.trials)
    head = f"{spec.request.name}: {len(conclusion.trials)} trials"
    lines = [head + (f", {pruned} given up early" if pruned else "")]
    bounds = ", ".join(map(str, spec.constraints))
    if conclusion.chosen is None:
        lines.append(f"no trial meets {bounds}" if bounds else "no trial was completed")
        return "\n".join(lines)
    names = [objective.name for objective in spec.objectives]
    if len(names) > 1:
        lines.append(
            f"{len(conclusion.best)} Pareto-optimal; chosen: the one nearest to the best of each"
            " objective"
        )
    validation = dict(zip(names, conclusion.chosen.values, strict=True))
    split = final_split(spec.request.settings.data)
    lines += [
        f"best: {conclusion.spec}" + (f"  (meets {bounds})" if bounds else ""),
        f"  validation: {_values_in_words(validation)}",
        f"  {split}: {_values_in_words(conclusion.tested)}",
        f"to run it: mlflow run . {_main_parameters(spec, conclusion.spec)}",
    ]
    return "\n".join(lines)


def best_trials_markdown(spec: StudySpec, conclusion: Conclusion) -> str:
    """Return the best trials as a table in Markdown, what each tried and came to; "" for none.

    Args:
        spec: of the study.
        conclusion: what it came to.
    """
    trials = conclusion.best[:_MOST_DESCRIBED]
    if not trials:
        return ""
    tried = list(dict.fromkeys(name for trial in trials for name in trial.params))
    names = [objective.name for objective in spec.objectives]
    head = ["trial", *map(plain_markdown, (*tried, *names)), ""]
    lines = [head, ["---"] * len(head)]
    for trial in trials:
        values = [f"{value:.4g}" for value in trial.values]
        params = [plain_markdown(str(trial.params.get(name, ""))) for name in tried]
        is_chosen = conclusion.chosen is not None and trial.number == conclusion.chosen.number
        lines.append([str(trial.number), *params, *values, "chosen" if is_chosen else ""])
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    more = len(conclusion.best) - len(trials)
    return f"{table}\n\n… and {more} more." if more > 0 else table


def summary_metrics(spec: StudySpec, conclusion: Conclusion) -> dict[str, float]:
    """Return the chosen trial's objectives, on the data of the trials and on the last split.

    Args:
        spec: of the study.
        conclusion: what it came to.

    Returns:
        "validation/<objective>" and "<split>/<objective>"; empty if no trial was chosen.
    """
    if conclusion.chosen is None:
        return {}
    split = final_split(spec.request.settings.data)
    names = [objective.name for objective in spec.objectives]
    values = dict(zip(names, conclusion.chosen.values, strict=True))
    return {
        **{f"validation/{name}": value for name, value in values.items()},
        **{f"{split}/{name}": value for name, value in conclusion.tested.items()},
    }


def _values_in_words(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def _main_parameters(spec: StudySpec, composition: str) -> str:
    """Return a composition as parameters of the main command."""
    first, *later = schema.split_steps(composition)
    parameters = [f'-P first="{first}"']
    if later:
        parameters.append(f'-P second="{later[0]}"')
    if later[1:]:
        parameters.append(f'-P then="{" | ".join(later[1:])}"')
    settings, default = spec.request.settings, Settings()
    for name in _REPEATED_SETTINGS:
        value = getattr(settings, name)
        if value != getattr(default, name):
            parameters.append(f"-P {name}={shlex.quote(setting_text(value))}")
    return " ".join(parameters)


def trial_table(spec: StudySpec, conclusion: Conclusion) -> pd.DataFrame:
    """Return a row per trial: what it tried, what it came to, the ids of its runs.

    Values of trials that were given up early are NaN.
    """
    best_numbers = {trial.number for trial in conclusion.best}
    chosen_number = conclusion.chosen.number if conclusion.chosen is not None else None
    names = [objective.name for objective in spec.objectives]
    rows = []
    for trial in conclusion.trials:
        is_completed = trial.state == TrialState.COMPLETE
        values = trial.values if is_completed else [math.nan] * len(names)
        rows.append(
            {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                **trial.params,
                **dict(zip(names, values, strict=True)),
                **{f"violation of {key}": value for key, value in trial.constraints.items()},
                "best": trial.number in best_numbers,
                "chosen": trial.number == chosen_number,
                "runs": " ".join(trial.user_attrs.get(RUNS, {}).get("runs", ())),
            }
        )
    return pd.DataFrame(rows)

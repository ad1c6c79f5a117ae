"""A study's conclusion in the store: tags on its best runs; a note and files on their parent."""

from __future__ import annotations

from interventions.aside import scratch_folder
from sweeps.study import plots
from sweeps.study.attributes import RUNS
from sweeps.study.conclusion import Conclusion
from sweeps.study.report import (
    best_trials_markdown,
    result_in_words,
    summary_metrics,
    trial_table,
)
from sweeps.study.spec import StudySpec
from sweeps.study.study_runs import StudyRuns
from sweeps.study.trial_queue import TrialQueue
from tracking import schema
from tracking.markup import plain_cells

TABLE = "trials.csv"
TUNED = "composability.tuned"  # tag of the parent: the composition that the study ends with
_COUNT = "tune/trials"  # metric of the parent


def record_conclusion(
    spec: StudySpec, study_runs: StudyRuns, queue: TrialQueue, conclusion: Conclusion
) -> None:
    """Write a study's conclusion into the store, unless the store has it for as many trials."""
    client, parent_id = study_runs.parent.client, study_runs.parent_id
    study_runs.parent.settle_runs(queue.run_ids())  # runs that others have superseded go
    trial_count = len(conclusion.trials)
    recorded_count = client.get_run(parent_id).data.metrics.get(_COUNT)
    if recorded_count == trial_count and client.list_artifacts(parent_id):
        return
    _tag_runs(study_runs, conclusion)
    words = result_in_words(spec, conclusion)
    client.set_tag(parent_id, TUNED, conclusion.spec)
    # a fence of as many backticks in a name would end this one
    fenced = f"```\n{words.replace('```', '')}\n```"
    note = "\n\n".join(filter(None, [fenced, best_trials_markdown(spec, conclusion)]))
    client.set_tag(parent_id, schema.NOTE, note)
    for name, value in schema.without_nan(summary_metrics(spec, conclusion)).items():
        client.log_metric(parent_id, name, value)
    _log_artifacts(spec, study_runs, queue, conclusion, words)
    # last, so that a process killed before leaves the rest to the next one
    client.log_metric(parent_id, _COUNT, trial_count)


def _tag_runs(study_runs: StudyRuns, conclusion: Conclusion) -> None:
    """Tag the runs of the best trials, and untag those that were best before others were added."""
    best_runs = {run_id for trial in conclusion.best for run_id in trial.user_attrs[RUNS]["runs"]}
    chosen_runs = set(conclusion.test_runs)
    if conclusion.chosen is not None:
        chosen_runs.update(conclusion.chosen.user_attrs[RUNS]["runs"])
    client = study_runs.parent.client
    for tag, run_ids in ((schema.BEST, best_runs), (schema.CHOSEN, chosen_runs)):
        tagged = {run.info.run_id for run in study_runs.search(f"tags.`{tag}` = 'true'")}
        for run_id in tagged - run_ids:
            client.delete_tag(run_id, tag)
        for run_id in run_ids - tagged:
            client.set_tag(run_id, tag, "true")


def _log_artifacts(
    spec: StudySpec,
    study_runs: StudyRuns,
    queue: TrialQueue,
    conclusion: Conclusion,
    words: str,
) -> None:
    title = f"{spec.request.name}: {spec.request.composition}"
    figures = plots.draw_figures(queue.study, spec.objectives)
    with scratch_folder() as folder:
        plain_cells(trial_table(spec, conclusion)).to_csv(folder / TABLE, index=False)
        (folder / plots.PAGE).write_text(plots.render_page(title, words, figures))
        study_runs.parent.client.log_artifacts(study_runs.parent_id, str(folder))

"""Run an analysis and log it as an MLflow run: what `composability analyze` does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Param
from mlflow.tracking.context.registry import resolve_tags

from analysis.report.answer import PairAnswer
from analysis.report.champion import RecommendedRun, recommended_run
from analysis.report.collect import Collected
from analysis.report.files import REPORT, write_files
from analysis.report.findings.evidence import Finding
from analysis.report.prepare import PreparedAnalysis, prepare_analysis
from analysis.report.request import AnalysisRequest, read_analysis_request
from interventions.aside import scratch_folder
from interventions.errors import LONGEST_PATH, InvalidInput, plain_text, printable_line, shown
from tracking import lifecycle, schema, store
from tracking.links import run_link, start_hint
from tracking.markup import plain_markdown
from tracking.passwords import check_no_passwords

_MOST_FINDINGS = 8  # lines
_LONGEST_FINDING = 600  # characters


@dataclass(frozen=True)
class LoggedAnalysis:
    """An analysis that was logged.

    Attributes:
        run_id: of its run, in the experiment ``reports``.
        report: address of the report in MLflow's UI.
        output: the folder that the files were copied to, if one was named.
        champion: the run to register, where the request names a model and a test supports it.
        refusal: why there is none.
        answers: of each pair, claims first.
        hint: how to start the UI; "" where a server serves it.
    """

    run_id: str
    report: str
    output: Path | None = None
    champion: RecommendedRun | None = None
    refusal: str = ""
    answers: tuple[PairAnswer, ...] = ()
    hint: str = ""

    def __str__(self) -> str:
        copied = "" if self.output is None else f"; files in {self.output}"
        hint = f" ({self.hint})" if self.hint else ""
        return "\n".join(
            [
                *first_findings(self.answers),
                f"run {self.run_id} in {store.shown_address()}{copied}",
                f"report: {self.report}{hint}",
            ]
        )


def run_command(options: Mapping[str, str]) -> LoggedAnalysis:
    """Analyse what the command line names, and print where the run and its report are.

    Args:
        options: the parameters of ``read_analysis_request`` and ``output``, a folder or "none";
            they become the run's params.

    Raises:
        InvalidInput: one line that says what is wrong; nothing was logged.
    """
    check_no_passwords(options)
    texts = dict(options)
    output = read_output(texts.pop("output", "none"))
    logged = run_analysis(read_analysis_request(**texts), output, options)
    print(logged)
    return logged


def run_analysis(
    request: AnalysisRequest, output: Path | None = None, params: Mapping[str, str] | None = None
) -> LoggedAnalysis:
    """Analyse recorded runs, and log tables, figures and the report as a run.

    Args:
        request: what to analyse.
        output: a folder for the files, besides the run's artifacts.
        params: of the run; by default the experiments' names.

    Raises:
        InvalidInput: one line that says what is wrong; nothing was logged.
    """
    store.check_reachable()
    prepared = prepare_analysis(request)
    client = store.client()
    names = ", ".join(request.experiments)
    title = f"analysis of {names}"
    run_id = lifecycle.launched_run_id()
    if run_id is None:
        experiment_id = store.ensure_experiment(store.REPORTS)
        run = client.create_run(experiment_id, tags=resolve_tags(), run_name=title)
        run_id = run.info.run_id
    client.update_run(run_id, name=title)
    with lifecycle.closing_run(client, run_id):
        _log_params(client, run_id, params or {"experiment": names})
        collected = _log_files(client, run_id, prepared, output)
    experiment_id = client.get_run(run_id).info.experiment_id
    report = run_link(request.ui, experiment_id, run_id, REPORT)
    champion, refusal = _champion(request, prepared, collected)
    return LoggedAnalysis(
        run_id=run_id,
        report=report,
        output=output,
        champion=champion,
        refusal=refusal,
        answers=tuple(collected.answers),
        hint=start_hint(request.ui),
    )


def first_findings(answers: Sequence[PairAnswer]) -> list[str]:
    """Return a line on each of the first pairs, claims first, and one on how many more there are.

    Args:
        answers: of each pair, claims first.
    """
    lines = [
        f"{answer.pair}: order: {answer.order}; composes: {answer.compose} ({answer.sure})"
        for answer in answers[:_MOST_FINDINGS]
    ]
    more = answers[_MOST_FINDINGS:]
    if more:
        claims = sum(answer.claim for answer in more)
        lines.append(f"… and {len(more)} more pairs, {claims} with a claim about order")
    return [printable_line(line, _LONGEST_FINDING) for line in lines]


def _champion(
    request: AnalysisRequest, prepared: PreparedAnalysis, collected: Collected
) -> tuple[RecommendedRun | None, str]:
    """Return the run to register, or why there is none; neither where none was requested."""
    if not request.champion:
        return None, ""
    try:
        return recommended_run(prepared, collected.advice, request.champion_pair), ""
    except InvalidInput as error:
        return None, str(error)


def read_output(text: str) -> Path | None:
    """Return the folder that ``output`` names; None for "none".

    Raises:
        InvalidInput: it, or a folder that it is to be in, is a file or cannot be written.

    Example:
        >>> read_output("none") is None
        True
    """
    if text == "none":
        return None
    plain_text("output", text, LONGEST_PATH)
    try:
        folder = Path(text).expanduser()
        parents = [parent for parent in (folder, *folder.parents) if parent.exists()]
    # a name that no file can have, or no such user
    except (OSError, RuntimeError) as error:
        raise InvalidInput(f"output must be a folder, but got {shown(text)}: {error}") from error
    if parents and not parents[0].is_dir():
        raise InvalidInput(f"output must be a folder, but {shown(str(parents[0]))} is a file")
    if parents and not os.access(parents[0], os.W_OK | os.X_OK):
        raise InvalidInput(f"output: nothing can be written into {shown(str(parents[0]))}")
    return folder


def _log_params(client: MlflowClient, run_id: str, params: Mapping[str, str]) -> None:
    # `mlflow run` has logged the parameters that it was started with, and a param is final.
    logged = client.get_run(run_id).data.params
    missing = [Param(key, str(value)) for key, value in params.items() if key not in logged]
    client.log_batch(run_id, params=missing)


def _log_files(
    client: MlflowClient, run_id: str, prepared: PreparedAnalysis, output: Path | None
) -> Collected:
    with scratch_folder() as temporary:
        # A folder in it has the usual permissions, which a temporary folder itself has not.
        folder = temporary / "analysis"
        collected = write_files(prepared, folder)
        client.log_artifacts(run_id, str(folder))
        client.set_tag(run_id, schema.NOTE, _note(collected.findings))
        if output is not None:
            shutil.copytree(folder, output, dirs_exist_ok=True)
    return collected


def _note(findings: Mapping[str, list[Finding]]) -> str:
    """Return the findings as Markdown, a list per context."""
    sections = []
    for context, sentences in findings.items():
        items = "\n".join(f"- {plain_markdown(finding.text)}" for finding in sentences)
        sections.append(f"**{plain_markdown(context)}**\n{items}")
    return "\n".join(sections)

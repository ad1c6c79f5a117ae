"""A store of runs with hostile names: the report's files show them as they are, and no more."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from analysis.report.request import read_analysis_request
from analysis.report.run import run_analysis
from tests.analysis.report.command import reports
from tracking import schema, store
from tracking.catalogue import CriterionFacts, InterventionFacts, as_tag, house_interventions

SCRIPT = "<script>alert(1)</script>"
LINK = "[x](javascript:alert(1))"
LATEX = "\\input{/etc/passwd} $x$ 100% #1"
ESCAPE = "\x1b[31mred\nnew line | cell"
TITLE = f"=cmd|'/c calc'!A0 {SCRIPT} {LINK} {LATEX} {ESCAPE}"
UNIT = "../../escaped/<b>unit"
MODEL = f"=1+1 {SCRIPT} {LINK} $\\frac{{a}}{{b}}$ http://bob:s3cret@host/model"
EXPERIMENT = f"hostile {SCRIPT} {LINK}"
CRITERION = "toxicity"


def log_run(client: MlflowClient, experiment_id: str, steps: tuple[str, ...], level: float) -> None:
    """Log a run of hostile names as anybody could."""
    house = house_interventions()
    facts = {"ft": house["ft"], "hostile": InterventionFacts(TITLE, "compression", "ratio")}
    criteria = {
        CRITERION: CriterionFacts("lower", "share", title=TITLE),
        "odd": CriterionFacts("lower", UNIT, title=TITLE),
        "edit_success": CriterionFacts("higher", "F1", title=TITLE),
    }
    params = {
        "composition": " | ".join(steps) or "none",
        "pair": " + ".join(sorted(steps)) or "none",
        **{f"step{number}": name for number, name in enumerate(steps, start=1)},
        "model": MODEL,
        "data": "testbed",
        **({"hostile.ratio": str(level)} if "hostile" in steps else {}),
    }
    value = 0.2 + 0.1 * level + 0.3 * (steps[:1] == ("ft",))
    run_id = client.create_run(experiment_id, run_name=TITLE).info.run_id
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, 0, 2) for name in criteria],
        params=[Param(key, text) for key, text in params.items()],
        tags=[
            RunTag(schema.ABOUT_INTERVENTIONS, as_tag(facts)),
            RunTag(schema.ABOUT_CRITERIA, as_tag(criteria)),
        ],
    )
    client.set_terminated(run_id)


@pytest.fixture(scope="module")
def report(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path
) -> Iterator[tuple[Path, mlflow.entities.Run]]:
    """The folder of a report, and its run."""
    root = tmp_path_factory.mktemp("hostile")
    (root / "mlflow.db").write_bytes(empty_database.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        client = MlflowClient(store.uri())
        experiment_id = client.create_experiment(EXPERIMENT, f"file://{root}/runs")
        for level in (0.25, 0.5):
            for steps in (("ft", "hostile"), ("hostile", "ft"), ("hostile",)):
                log_run(client, experiment_id, steps, level)
        log_run(client, experiment_id, ("ft",), 0)
        # and runs that say nothing usable
        foreign = client.create_run(experiment_id)
        client.log_batch(foreign.info.run_id, params=[Param("composition", "x")])
        client.log_batch(foreign.info.run_id, tags=[RunTag(schema.ABOUT_CRITERIA, "no JSON")])
        client.set_terminated(foreign.info.run_id)
        folder = root / "a" / "b" / "out"
        run_analysis(read_analysis_request(EXPERIMENT), folder)
        (run,) = reports(store.uri())
        yield folder, run


def texts(folder: Path, pattern: str) -> dict[str, str]:
    """Return the text of the files that match, by name; there is one at least."""
    text_of_name = {path.name: path.read_text() for path in folder.rglob(pattern)}
    assert text_of_name
    return text_of_name


def test_no_file_leaves_the_folder_and_all_are_written(
    report: tuple[Path, mlflow.entities.Run],
) -> None:
    folder, _ = report
    root = folder.parents[2]
    assert {path.name for path in root.iterdir()} <= {"mlflow.db", "runs", "a", "mlruns"}
    assert [path.name for path in (root / "a" / "b").iterdir()] == ["out"]
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert {"escaped-b-unit-editing.png", "escaped-b-unit-editing.html"} <= figures


def test_html_runs_nothing_of_a_name(report: tuple[Path, mlflow.entities.Run]) -> None:
    for name, text in texts(report[0], "*.html").items():
        # plotly's own script has these words in strings; none is of a name
        assert SCRIPT not in text and "<b>unit" not in text, name
        assert 'href="javascript' not in text.lower() and "s3cret" not in text, name
        assert "\x1b" not in text, name
    page = (report[0] / "report.html").read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_markdown_has_neither_links_nor_html_nor_more_cells(
    report: tuple[Path, mlflow.entities.Run],
) -> None:
    tables = texts(report[0], "*.md")
    for name, text in {**tables, "note": report[1].data.tags[schema.NOTE]}.items():
        assert "<script" not in text and "\x1b" not in text and "s3cret" not in text, name
        assert re.search(r"(?<!\\)\[x", text) is None, name
    for text in tables.values():
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
        assert all(line.startswith(("|", "**Table")) or not line for line in text.splitlines())


def test_latex_has_no_command_of_a_name(report: tuple[Path, mlflow.entities.Run]) -> None:
    for name, text in texts(report[0], "*.tex").items():
        # the caption is one line of comment
        body = text.splitlines()[1:]
        assert text.startswith("% Table ") and body[0].startswith(r"\begin{tabular}"), name
        assert not any("\\input" in line or "\\frac{" in line for line in body), name
        assert "\x1b" not in text, name
        # an unescaped sign of comments would swallow the rest of a row
        assert not any(re.search(r"(?<!\\)%", line) for line in body), name
        assert "s3cret" not in text, name


def test_csv_has_no_formula(report: tuple[Path, mlflow.entities.Run]) -> None:
    for name, text in texts(report[0], "*.csv").items():
        assert "s3cret" not in text and "\x1b" not in text, name
        for row in csv.reader(text.splitlines()):
            for cell in row:
                is_number = re.fullmatch(r"-?[\d.e-]+", cell) is not None
                assert is_number or not cell.startswith(("=", "+", "-", "@")), (name, cell)


def test_runs_that_are_left_out_are_named(report: tuple[Path, mlflow.entities.Run]) -> None:
    page = (report[0] / "report.html").read_text()
    assert "1 run whose params do not say which interventions they are of" in page

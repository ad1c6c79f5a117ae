"""What a run's log sends, when, and how long it says that the sending took."""

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from interventions.criteria.base import Scores
from interventions.criteria.cost import Cost
from tracking import schema
from tracking.log import Log
from tracking.plan import Plan, plan_run
from tracking.settings import Settings
from tracking.step_facts import StepFacts

# in another order than the alphabet's
DIVERGED = ("wikitext_ppl", "sparsity", "f", "c", "d", "a", "e", "b")
NOW = 1_700_000_000.25  # seconds since 1970


class Clock:
    """A stand-in for the module ``time``, which the test sets forward."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds

    def perf_counter(self) -> float:
        return self.seconds

    def time(self) -> float:
        return NOW


class Client:
    """A stand-in for MLflow's client that records what is sent; each call takes two seconds.

    Attributes:
        tags: that the run has in the store.
        batches: how many were sent.
        metrics, params, sent_tags: what was sent, in order.
        files: names of the artifacts.
    """

    def __init__(self, clock: Clock) -> None:
        self.tags: dict[str, str] = {}
        self.batches = 0
        self.metrics: list[Metric] = []
        self.params: dict[str, str] = {}
        self.sent_tags: dict[str, str] = {}
        self.files: list[str] = []
        self._clock = clock

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[Metric],
        params: Sequence[Param],
        tags: Sequence[RunTag],
    ) -> None:
        self._clock.seconds += 2
        self.batches += 1
        self.metrics += metrics
        self.params |= {param.key: param.value for param in params}
        self.sent_tags |= {tag.key: tag.value for tag in tags}

    def log_artifacts(self, run_id: str, folder: str) -> None:
        self._clock.seconds += 2
        self.files += sorted(path.name for path in Path(folder).iterdir())

    def get_run(self, run_id: str) -> Any:
        return SimpleNamespace(data=SimpleNamespace(tags=self.tags))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stand_in = Clock()
    monkeypatch.setattr("tracking.log.time", stand_in)
    monkeypatch.setattr("tracking.log.log_datasets", lambda *arguments: None)
    return stand_in


@pytest.fixture
def client(clock: Clock) -> Client:
    return Client(clock)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_run("magnitude | rtn", Settings(criteria="wikitext_ppl,sparsity"))


def new_log(client: Client, plan: Plan) -> Log:
    return Log(cast(MlflowClient, client), "a run", "7", plan)


def log_step(log: Log, step: int, *, changed: bool = True, **values: float) -> None:
    measured = {name: Scores(value, math.nan, {"a": value}) for name, value in values.items()}
    facts = StepFacts(changed, {}, f"weights {step}") if step else None
    intervention = log.plan.composition[step - 1] if step else None
    cost = Cost(1.0, 2.0, 3.0)
    log.step(step, intervention, log.plan.keys[step], measured, None, cost, None, facts)


def log_all(log: Log) -> None:
    log_step(log, 0, wikitext_ppl=5.0, sparsity=0.0)
    log_step(log, 1, changed=False, **dict.fromkeys(DIVERGED, math.inf))
    log_step(log, 2, wikitext_ppl=math.inf, sparsity=0.5)
    log.end()


def test_the_key_of_a_run_is_its_last_checkpoints(client: Client, plan: Plan) -> None:
    log = new_log(client, plan)
    log.begin()
    log.flush()
    assert client.sent_tags[schema.KEY] == plan.keys[2]
    assert (client.sent_tags[schema.SWEEP], client.params[schema.PAIR]) == ("", "magnitude + rtn")


def test_the_last_tags_say_what_diverged_what_changed_nothing_and_the_last_weights(
    client: Client, plan: Plan
) -> None:
    log_all(new_log(client, plan))
    assert client.sent_tags[schema.DIVERGED] == "a,b,c,d,e,f,sparsity,wikitext_ppl"
    assert client.sent_tags[schema.WITHOUT_EFFECT] == "1"
    assert client.sent_tags[schema.WEIGHTS] == "weights 2"
    assert schema.FAILED_CRITERIA not in client.sent_tags
    assert client.files == [schema.CRITERIA_JSON, schema.ITEMS_TABLE, schema.ITEMS]


def test_metrics_carry_their_step_the_run_and_milliseconds(client: Client, plan: Plan) -> None:
    log = new_log(client, plan)
    log.seconds_load = 11.0
    log_all(log)
    sent = [(metric.key, metric.step) for metric in client.metrics]
    assert sent[:2] == [("wikitext_ppl", 0), ("sparsity", 0)]  # and no error that is NaN
    assert sent[-2:] == [(schema.SECONDS_LOG, 2), (schema.SECONDS_LOAD, 2)]
    assert client.metrics[-1].value == 11.0
    measuring = [m for m in client.metrics if m.key == schema.SECONDS_MEASURE]
    assert [(metric.step, metric.value) for metric in measuring] == [(0, 1.0), (1, 1.0), (2, 1.0)]
    assert {(metric.timestamp, metric.run_id) for metric in client.metrics} == {
        (1_700_000_000_250, "a run")
    }


def test_the_time_that_logging_takes_is_counted(client: Client, plan: Plan) -> None:
    log = new_log(client, plan)
    assert (log.seconds, log.seconds_load) == (0.0, 0.0)
    log.flush()
    log.flush()
    assert log.seconds == 4.0
    log_all(log)
    (logged,) = [metric.value for metric in client.metrics if metric.key == schema.SECONDS_LOG]
    assert logged == 6.0  # the files, too; of the last batch it cannot know


def test_a_batch_goes_out_once_it_has_waited_for_more_than_five_seconds(
    client: Client, clock: Clock, plan: Plan
) -> None:
    log = new_log(client, plan)
    log.reused(2, is_all_cached=True)
    clock.seconds += 5
    log.tick()
    assert client.batches == 0
    clock.seconds += 0.5
    log.tick()
    log.tick()
    assert client.batches == 1
    assert client.sent_tags == {schema.REUSED_PREFIX: "2", schema.ALL_CACHED: "true"}


@pytest.mark.parametrize(
    ("composition", "links"), [("magnitude | rtn", 1), ("rtn | rtn", 0), ("rtn", 0)]
)
def test_only_the_description_of_different_interventions_leads_to_the_pairs_other_runs(
    client: Client, composition: str, links: int
) -> None:
    log = new_log(client, plan_run(composition, Settings(criteria="sparsity")))
    log_step(log, 0, sparsity=0.5)
    log.end()
    assert client.sent_tags[schema.NOTE].count("](#/experiments/7") == links


def test_a_description_that_somebody_has_written_meanwhile_stays(
    client: Client, plan: Plan
) -> None:
    client.tags[schema.NOTE] = "of somebody"
    log_all(new_log(client, plan))
    assert schema.NOTE not in client.sent_tags

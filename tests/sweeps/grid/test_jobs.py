"""The order of a grid's jobs, and what they share."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interventions.criteria.base import CRITERIA
from interventions.criteria.recall import facts_exact
from interventions.data.base import Data, Prompt
from interventions.options import Split
from interventions.specs import sweep
from sweeps.grid.enumerate import enumerate_compositions
from sweeps.grid.jobs import (
    Job,
    PrefixUse,
    count_applications,
    depth_first,
    jobs_digest,
    make_jobs,
)
from sweeps.grid.presets import PRESETS
from tests.sweeps.small_testbed import INTERVENTIONS, grid_jobs, small_testbed
from tracking.plan import RunContext
from tracking.settings import Settings


def contexts(*edit_batches: int) -> list[RunContext]:
    return [
        RunContext(Settings(checkpoints="none", edit_batch=edit_batch))
        for edit_batch in edit_batches
    ]


def test_the_papers_grid_shares_its_first_steps() -> None:
    """28 first steps and 282 second ones, against 28 + 2 x 282 one by one.

    Recompressions are measured, not planned.
    """
    assert count_applications(grid_jobs(PRESETS["paper"])) == (28 + 282, 28 + 2 * 282)


@settings(deadline=None, max_examples=25)
@given(st.permutations(grid_jobs(lengths=(0, 1, 2, 3))))
def test_a_job_comes_after_those_that_it_goes_on_from_and_next_to_those_that_it_shares_with(
    shuffled: list[Job],
) -> None:
    ordered = depth_first(shuffled)
    assert {job.id for job in ordered} == {job.id for job in shuffled}
    positions = {job.plan.keys[-1]: position for position, job in enumerate(ordered)}
    for position, job in enumerate(ordered):
        assert all(positions[key] < position for key in job.prefixes)
    for key in {key for job in ordered for key in job.plan.keys}:
        passing = [position for position, job in enumerate(ordered) if key in job.plan.keys]
        assert passing == list(range(passing[0], passing[-1] + 1))


def test_a_prefix_is_needed_until_the_last_that_goes_on_from_it_is_done() -> None:
    ordered = grid_jobs()
    prefix_use, base_key = PrefixUse(ordered), ordered[0].plan.keys[0]
    assert prefix_use(base_key)
    pairs = [job for job in ordered if len(job.plan.composition) == 2]
    assert not any(prefix_use(job.plan.keys[-1]) for job in pairs)
    released_keys: list[str] = []
    for position, job in enumerate(ordered):
        released = prefix_use.done(job)
        later_jobs = ordered[position + 1 :]
        assert all(key not in later.plan.keys for key in released for later in later_jobs)
        released_keys += released
    assert set(released_keys) == {key for job in ordered for key in job.plan.keys}


def test_the_keys_worth_keeping_are_those_that_jobs_pass() -> None:
    ordered = grid_jobs()
    prefix_use = PrefixUse(ordered)
    assert prefix_use.keys() == {key for job in ordered for key in job.prefixes}
    for job in ordered:
        prefix_use.done(job)
    assert prefix_use.keys() == frozenset()


def test_what_two_batches_of_edits_both_end_with_is_kept_until_the_second() -> None:
    pairs = enumerate_compositions(sweep(INTERVENTIONS), (2,))
    ordered = make_jobs(pairs, contexts(0, 1))
    prefix_use = PrefixUse(ordered)
    unedited = [job for job in ordered if all(step.name != "ft" for step in job.plan.composition)]
    assert len(unedited) == 2 * 4 and len({job.plan.keys[-1] for job in unedited}) == 4
    for job in ordered:
        assert prefix_use(job.plan.keys[-1]) == (job in unedited)
    assert {job.plan.keys[-1] for job in unedited} <= prefix_use.keys()
    last_key = unedited[0].plan.keys[-1]
    assert last_key not in prefix_use.done(unedited[0])
    assert not prefix_use(last_key)
    (second,) = [job for job in unedited[1:] if job.plan.keys[-1] == last_key]
    assert last_key in prefix_use.done(second)


def test_a_prefix_that_one_job_passes_is_kept_too() -> None:
    """The job may fail, or be interrupted, and go on from it later."""
    (job,) = grid_jobs("ft(steps=1)", (1,))
    assert PrefixUse([job]).keys() == set(job.prefixes)


def test_the_jobs_of_a_grid_are_in_the_order_in_which_they_share() -> None:
    jobs = grid_jobs("ft(steps=1); ga(samples=4)")
    assert [len(job.plan.composition) for job in jobs] == [0, 1, 2, 1, 2]
    assert depth_first(jobs) == jobs


def test_a_job_that_is_given_twice_is_run_once() -> None:
    compositions = enumerate_compositions(sweep(INTERVENTIONS), (1,))
    assert len(make_jobs(compositions, contexts(0, 0))) == len(compositions)


def test_a_job_is_another_if_anything_that_its_run_shows_is() -> None:
    job_ids = {job.id for job in grid_jobs()}
    assert {job.id for job in grid_jobs()} == job_ids
    assert not job_ids & {job.id for job in grid_jobs(recompress="never")}
    assert not job_ids & {job.id for job in grid_jobs(checkpoints="last")}
    assert not job_ids & {job.id for job in grid_jobs(split="validation")}


@pytest.mark.parametrize("facts", [(), (Prompt("The seat of Vesk is", "Orlo"),)])
def test_a_criterion_that_is_not_measured_on_the_data_makes_no_other_job(
    facts: tuple[Prompt, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grid on data without known facts is not run again because some data have them."""

    def make_data(edit_batch: int, split: Split) -> Data:
        return dataclasses.replace(small_testbed(edit_batch, split), facts=facts)

    monkeypatch.setattr("tracking.run_data.testbed", make_data)
    before = [job.id for job in grid_jobs()]
    monkeypatch.setattr(CRITERIA, "_entries", {**CRITERIA.all(), "facts_exact": facts_exact})
    assert ([job.id for job in grid_jobs()] == before) == (not facts)


def test_a_jobs_name_says_what_is_not_the_first() -> None:
    (base,) = grid_jobs(lengths=(0,))
    assert base.name == "base model"
    (replicate,) = grid_jobs("ga(samples=4)", (1,), seed=2, edit_batch=1)
    assert replicate.name == "ga(samples=4) (seed 2, edit batch 1)"


def test_the_digest_of_jobs_does_not_depend_on_their_order() -> None:
    jobs = grid_jobs()
    assert jobs_digest(jobs) == jobs_digest(reversed(jobs)) != jobs_digest(jobs[1:])
    assert len(jobs_digest(jobs)) == 8

"""The order of a grid's jobs, and what they share."""

from hypothesis import given, settings
from hypothesis import strategies as st

from interventions.composition import sweep
from sweeps.grid import enumerate as enumeration
from sweeps.grid import jobs
from sweeps.grid.enumerate import PRESETS
from sweeps.grid.jobs import PrefixUse
from tests.sweeps.conftest import TEXT, made
from tracking.plan import RunContext
from tracking.settings import Settings


def test_the_papers_grid_shares_its_first_steps() -> None:
    """28 first steps and 282 second ones, against 28 + 2 x 282 one by one; recompressions are measured, not planned."""
    assert jobs.applications(made(PRESETS["paper"])) == (28 + 282, 28 + 2 * 282)


@settings(deadline=None, max_examples=25)
@given(st.permutations(made(lengths=(0, 1, 2, 3))))
def test_a_job_comes_after_those_that_it_goes_on_from_and_next_to_those_that_it_shares_with(
    shuffled: list[jobs.Job],
) -> None:
    ordered = jobs.depth_first(shuffled)
    assert {job.id for job in ordered} == {job.id for job in shuffled}
    places = {job.plan.keys[-1]: i for i, job in enumerate(ordered)}
    for i, job in enumerate(ordered):
        assert all(places[key] < i for key in job.prefixes)
    for key in {key for job in ordered for key in job.plan.keys}:
        having = [i for i, job in enumerate(ordered) if key in job.plan.keys]
        assert having == list(range(having[0], having[-1] + 1))


def test_a_prefix_is_needed_until_the_last_that_goes_on_from_it_is_done() -> None:
    ordered = made()
    shared, base = PrefixUse(ordered), ordered[0].plan.keys[0]
    assert shared(base)
    assert not any(shared(job.plan.keys[-1]) for job in ordered if len(job.plan.composition) == 2)
    released: list[str] = []
    for i, job in enumerate(ordered):
        gone = shared.done(job)
        assert all(key not in later.plan.keys for key in gone for later in ordered[i + 1 :])
        released += gone
    assert set(released) == {key for job in ordered for key in job.plan.keys}


def test_what_two_batches_of_edits_both_end_with_is_kept_until_the_second() -> None:
    grounds = [RunContext(Settings(checkpoints="none", edit_batch=batch)) for batch in (0, 1)]
    pairs = enumeration.compositions(sweep(TEXT), (2,))
    ordered = jobs.make(pairs, grounds)
    shared = PrefixUse(ordered)
    without = [job for job in ordered if all(step.name != "ft" for step in job.plan.composition)]
    assert len(without) == 2 * 4 and len({job.plan.keys[-1] for job in without}) == 4
    for job in ordered:
        assert shared(job.plan.keys[-1]) == (job in without)
    shared.done(without[0])
    assert not shared(without[0].plan.keys[-1])


def test_a_job_is_another_if_anything_that_its_run_shows_is() -> None:
    base = {job.id for job in made()}
    assert {job.id for job in made()} == base
    assert not base & {job.id for job in made(recompress="never")}
    assert not base & {job.id for job in made(checkpoints="last")}

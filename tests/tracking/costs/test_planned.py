"""What a run is planned to take in all, where some steps are not known."""

from tracking.costs.planned import PlannedStep, RunPlan


def run_plan(*steps: PlannedStep) -> RunPlan:
    return RunPlan("rtn", "gpt2", "cpu", "float32", steps, "a CPU")


def test_steps_that_are_not_known_add_nothing() -> None:
    unknown = PlannedStep("mine", None, None, None, 0, "it is somebody's own")
    nothing = run_plan(unknown, unknown)
    assert (nothing.device_bytes, nothing.host_bytes, nothing.seconds) == (0, 0, 0.0)
    known = PlannedStep("rtn", 5, 7, 2.0, 11)
    plan = run_plan(PlannedStep("base model", 4, 9, 0.5, 13), unknown, known)
    assert (plan.device_bytes, plan.host_bytes, plan.seconds, plan.disk_bytes) == (5, 9, 2.5, 24)

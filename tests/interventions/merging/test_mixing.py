"""The mixer's defaults."""

import torch

from interventions.merging.mixing import Mixer


def test_a_mixer_keeps_all_of_a_task_vector_unless_it_is_told_otherwise() -> None:
    before, end = {"w": torch.zeros(3)}, {"w": torch.tensor([1.0, -2.0, 3.0])}
    for how in ("linear", "ties", "dare"):
        ((name, mixed),) = Mixer(how, (0.5,)).mixed(before, [end])
        assert name == "w" and torch.equal(mixed, end["w"] / 2)

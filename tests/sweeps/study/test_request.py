"""A request is read from plain values: those of the command line, or of Python."""

from typing import Any

import pytest

from interventions.errors import InvalidInput
from sweeps.study.request import StudyRequest, read_study_request


def test_a_request_without_options_has_the_defaults_of_its_class() -> None:
    request = read_study_request("rmu")
    assert request == StudyRequest("rmu", params=request.params)
    assert (request.trials, request.prune_every, request.settings.split) == (40, 20, "validation")


def test_numbers_may_be_text_or_numbers() -> None:
    numbers: dict[str, Any] = {
        "trials": 7,
        "sampler_seed": 3,
        "prune_every": 5,
        "seed": 2,
        "edit_batch": 1,
        "window": 32,
    }
    request = read_study_request("rmu", **numbers)
    text: dict[str, Any] = {name: str(number) for name, number in numbers.items()}
    assert read_study_request("rmu", **text) == request
    assert (request.trials, request.sampler_seed, request.prune_every) == (7, 3, 5)
    settings = request.settings
    assert (settings.seed, settings.edit_batch, settings.window) == (2, 1, 32)


def test_the_sampler_follows_the_space_unless_it_is_named() -> None:
    assert read_study_request("rmu", space="paper").sampler == "grid"
    assert read_study_request("rmu", space="paper", sampler="random", trials=3).sampler == "random"
    assert read_study_request("rmu").sampler == "tpe"


def test_the_parent_runs_params_are_the_values_as_given_without_the_storage() -> None:
    address = "postgresql://me@host/studies"
    request = read_study_request("rmu", storage=address, trials=7)
    params = dict(request.params)
    assert params["intervention"] == "rmu" and params["trials"] == "7" and params["gpus"] == "0"
    assert request.storage == address and "storage" not in params


def test_the_parent_runs_params_say_the_version_of_the_testbed() -> None:
    params = dict(read_study_request("rmu", model="testbed", data="paper", name="testbed").params)
    assert (params["model"], params["data"], params["name"]) == ("testbed@3", "paper", "testbed")


def test_an_address_with_a_password_is_refused_before_it_is_recorded() -> None:
    with pytest.raises(InvalidInput, match="model has a password, which would be recorded"):
        read_study_request("rmu", model="https://ada:secret@host/model")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": 3}, "space must be text, but got 3"),
        ({"objective": ["wmdp"]}, r"objective must be text, but got \['wmdp'\]"),
        ({"name": None}, "name must be text, but got None"),
        ({"model": None}, "model must be text, but got None"),
        ({"trials": 2.5}, "trials must be an integer of at least 1, but got 2.5"),
        ({"trials": True}, "trials must be an integer of at least 1, but got True"),
        ({"trials": 0}, "trials must be an integer of at least 1, but got 0"),
        ({"prune_every": 0}, "prune_every must be an integer of at least 1, but got 0"),
        ({"seed": None}, "seed must be an integer of at least 0, but got None"),
        ({"window": 1}, "window must be 0 .* or an integer from 2 to 1048576 .*, but got 1"),
        ({"window": "-1"}, "window must be an integer of at least 0, but got '-1'"),
        ({"edit_batch": -1}, "edit_batch must be an integer of at least 0, but got -1"),
        ({"sampler_seed": -1}, "sampler_seed must be an integer of at least 0, but got -1"),
        ({"workers": None}, "workers must be at least 1 and gpus at least 0, but got 'None'"),
        ({"gpus": -1}, "workers must be at least 1 and gpus at least 0, but got '1' and '-1'"),
        ({"experiment": " mine"}, "experiment must be one line .*, but got ' mine'"),
        ({"trust_remote_code": "yes"}, "trust_remote_code must be true or false, but got 'yes'"),
        ({"seed": 2**40}, r"seed must be an integer of at least 0 and at most \d+, but got"),
        ({"space": "paper", "trials": 5}, "a grid has as many trials as points, but got trials=5"),
    ],
)
def test_a_value_of_the_wrong_type_or_size_is_one_line(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        read_study_request("rmu", **options)
    assert "\n" not in str(caught.value)


def test_what_is_no_text_is_no_intervention() -> None:
    with pytest.raises(InvalidInput, match="intervention must be text, but got 3"):
        read_study_request(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="give an intervention to tune"):
        read_study_request("none")


def test_workers_have_the_device_that_they_are_given(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.cluster.importlib.util.find_spec", lambda name: object())
    assert read_study_request("rmu", device="auto").settings.device == "auto"
    request = read_study_request("rmu", workers=2)
    assert request.resources.on_ray and request.settings.device == "cpu"
    request = read_study_request("rmu", gpus=0.5)
    assert request.resources.gpus == 0.5 and request.settings.device == "cuda"

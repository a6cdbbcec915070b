"""What `from dna_ray import ...` gives, on a tiny network."""

import time

import pytest
import small_subjects as small
import torch

import dna_ray
from dna_ray.errors import QualityError, RecipeError, TaskError
from dna_ray.evolution.evolve import Evolved
from dna_ray.evolution.search.search import TRIES
from dna_ray.networks import Network

SMALL = {"population_size": 15, "generations": 2, "sparsity": 0.5}


def weights_left(network: Network) -> float:
    """A task: how much of the weights is gone, by size."""
    return -float(sum(network.read(info.name).abs().sum() for info in network.anatomy.matrices))


@pytest.fixture(scope="module")
def found() -> Evolved:
    return dna_ray.evolve(small.network("images"), weights_left, **SMALL)


def test_every_door_opens_and_no_other():
    assert set(dna_ray.__all__) == {"DarwinGodelMachine", "compute_wina_mask", "evolve", "load"}
    assert all(callable(getattr(dna_ray, name)) for name in dna_ray.__all__)
    with pytest.raises(AttributeError, match="no attribute 'evolv'"):
        _ = dna_ray.evolv


def test_a_mask_of_wina_keeps_what_it_says():
    mask = dna_ray.compute_wina_mask(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 1.0], [3.0, 1.0]]), 0.5)
    assert mask.tolist() == [[False, True], [True, False]]


def test_a_callable_is_minimised(found: Evolved):
    assert isinstance(found.machine, dna_ray.DarwinGodelMachine)
    assert found.machine.evaluations == 30
    assert found.loss == min(entry.evaluation.loss for entry in found.machine.archive)
    assert found.loss == weights_left(found.network)
    kept = sum(int(mask.sum()) for mask in found.masks.values())
    assert kept == -(-sum(mask.numel() for mask in found.masks.values()) // 2)
    for name, mask in found.masks.items():
        assert torch.equal(found.network.read(name).reshape(mask.shape) != 0, mask)
    assert "def " in found.program


def test_the_same_call_finds_the_same_agent_and_the_network_stays_as_it_was(found: Evolved):
    network = small.network("images")
    before = network.fingerprint
    again = dna_ray.evolve(network, weights_left, **SMALL)
    assert again.machine.lineage_hash == found.machine.lineage_hash
    assert again.champion == found.champion
    assert {info.name: network.read(info.name).sum() for info in network.anatomy}
    assert network.fingerprint == before


def test_a_signal_by_its_name_has_finalists_on_fresh_data():
    found = dna_ray.evolve(small.network("images"), "cosine", **{**SMALL, "generations": 1})
    assert 0 <= found.loss < 1


@pytest.mark.parametrize(
    ("fails", "reason"),
    [
        (lambda network: 1 / 0, "raised ZeroDivisionError"),
        (lambda network: time.sleep(60), "took longer than 0.05 s"),
        (lambda network: {"loss": float("nan")}, "its loss is nan"),
        (lambda network: network.read("classifier.1.weight").zero_(), "changed the network"),
    ],
    ids=["raises", "hangs", "nan", "changes"],
)
def test_a_task_that_fails_now_and_then_fails_that_agent_alone(fails: object, reason: str):
    calls: list[int] = []

    def task(network: Network) -> object:
        calls.append(1)
        return fails(network) if len(calls) % 5 == 0 else weights_left(network)  # type: ignore[operator]

    found = dna_ray.evolve(small.network("images"), task, timeout=0.05, **{**SMALL, "generations": 1})  # type: ignore[arg-type]
    failed = [event for event in found.machine.events() if event["event"] == "failed"]
    assert len(failed) == 3
    assert all(reason in event["reason"] and "\n" not in event["reason"] for event in failed)
    assert found.machine.evaluations == 15


def test_a_task_that_always_fails_is_said_in_one_line():
    with pytest.raises(QualityError, match="every agent failed, the last one because task 'broken': raised") as caught:
        dna_ray.evolve(small.network("images"), broken, **SMALL)
    assert "\n" not in str(caught.value)
    assert TRIES == 3


def broken(network: Network) -> float:
    raise ValueError("of\nno use")


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"task": "no_such_module:task"}, TaskError, "no_such_module"),
        ({"task": "klm"}, RecipeError, "unknown; choose one of"),
        ({"task": weights_left, "sparsity": 1.0}, RecipeError, "sparsity"),
        ({"task": weights_left, "generations": 0}, RecipeError, "evaluations"),
        ({"task": weights_left, "timeout": 0}, RecipeError, "more than 0"),
    ],
)
def test_arguments_that_do_not_fit_are_said_in_one_line(arguments: dict, error: type[Exception], said: str):
    with pytest.raises(error, match=said) as caught:
        dna_ray.evolve(small.network("images"), **arguments)
    assert "\n" not in str(caught.value)

import pytest
import torch
from small_layers import normal, statistics_of
from torch import nn

from dna_ray.evolution.judging.bounds import expected_error
from dna_ray.evolution.sparsity.repair import recalibrated, scaled


def test_the_best_scale_of_a_scaled_layer_is_the_inverse():
    dense, statistics = normal(5, 7), statistics_of(normal(50, 7, seed=1))
    assert torch.allclose(scaled(dense / 3, dense, statistics), dense, atol=1e-5)


@pytest.mark.parametrize("scale", [0.9, 1.1])
def test_no_other_scale_has_a_smaller_error(scale: float):
    dense, statistics = normal(5, 7), statistics_of(normal(50, 7, seed=1))
    best = scaled(dense * (normal(5, 7, seed=2) > 0), dense, statistics)
    assert expected_error(dense, best, statistics) < expected_error(dense, best * scale, statistics)


def test_an_output_without_weights_stays_zero():
    dense, statistics = normal(2, 7), statistics_of(normal(50, 7, seed=1))
    assert not scaled(torch.zeros(2, 7), dense, statistics).any()


def test_running_statistics_are_those_of_the_data_and_then_as_before():
    norm = nn.BatchNorm1d(3).eval()
    before = {name: buffer.clone() for name, buffer in norm.state_dict().items()}
    batches = [3 + 2 * normal(40, 3, seed=seed) for seed in range(4)]
    with recalibrated(norm, lambda: [norm(batch) for batch in batches]):
        assert not norm.training
        assert norm.running_mean is not None
        assert torch.allclose(norm.running_mean, torch.cat(batches).mean(0), atol=1e-5)
    assert all(torch.equal(buffer, before[name]) for name, buffer in norm.state_dict().items())
    assert norm.momentum == 0.1


def test_a_model_without_batch_norms_is_not_run():
    def run() -> None:
        raise AssertionError

    with recalibrated(nn.Linear(2, 2), run):
        pass


def test_data_that_cannot_be_run_leave_statistics_as_before():
    norm = nn.BatchNorm1d(3).eval()
    with pytest.raises(ValueError, match="2D or 3D"), recalibrated(norm, lambda: norm(normal(3))):
        pass
    assert torch.equal(norm.running_mean, torch.zeros(3))
    assert not norm.training

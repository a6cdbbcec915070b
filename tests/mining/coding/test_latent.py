from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_networks import network_of

from dna_ray.mining.coding.analysis import untransformed, with_transforms
from dna_ray.mining.coding.codebook import guess
from dna_ray.mining.coding.gains import feedback_of
from dna_ray.mining.coding.latent import Codes
from dna_ray.mining.coding.mean import Means
from dna_ray.mining.field import read_field
from dna_ray.networks import Network
from dna_ray.tasks.sensitivity import Sensitivity

STEP = 0.05
TALL, WIDE = 0, 1  # places among the matrices

Values = NDArray[np.float32]


def _normal(*shape: int, seed: int = 0) -> Values:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def _network() -> Network:
    """One matrix that has a transform, and one that has none."""
    tall = _normal(400, 2) @ _normal(2, 40, seed=1) + 0.02 * _normal(400, 40, seed=2)
    tensors = {"tall": torch.from_numpy(tall), "wide": torch.from_numpy(_normal(50, 120, seed=3))}
    return network_of(tensors)


def _sensitivity(rows: int, cols: int, *, mixed: float) -> Sensitivity:
    """`mixed`: how much inputs depend on each other."""
    inputs = _normal(4 * cols, cols, seed=4) @ (np.eye(cols, dtype=np.float32) + mixed * _normal(cols, cols, seed=6))
    moments = inputs.T @ inputs
    return Sensitivity(np.exp(_normal(rows, seed=5).astype(np.float64)), moments / np.trace(moments))


KNOWN = {"tall": _sensitivity(400, 40, mixed=0.1), "wide": _sensitivity(50, 120, mixed=1)}


def _matrix(name: str) -> Values:
    return read_field(_network()).matrix(name).numpy()


def _codes(known: Mapping[str, Sensitivity]) -> Codes:
    matrices = _network().anatomy.matrices
    side = with_transforms(_matrix, matrices, untransformed(_matrix, matrices, known), known, STEP)
    assert side.turned == (0, -1)
    assert len(side.gains) == len(known)
    return Codes(side, Means(), side.rotations(matrices), STEP, guess(), 8)


@pytest.fixture(scope="module", params=[KNOWN, {}], ids=["calibrated", "data-free"])
def codes(request: pytest.FixtureRequest) -> Codes:
    return _codes(request.param)


@pytest.mark.parametrize(("place", "name"), [(TALL, "tall"), (WIDE, "wide")])
def test_weights_is_the_inverse_of_latent(codes: Codes, place: int, name: str):
    matrix = _matrix(name)
    np.testing.assert_allclose(codes.weights(place, codes.latent(place, matrix)), matrix, atol=1e-5)


@pytest.mark.parametrize(("place", "name"), [(TALL, "tall"), (WIDE, "wide")])
def test_the_gradient_of_latents_is_the_adjoint_of_weights(codes: Codes, place: int, name: str):
    shape = _matrix(name).shape
    gradient, latent = _normal(*shape, seed=6), _normal(*shape, seed=7)
    onto = np.vdot(gradient, codes.weights(place, latent))
    assert np.vdot(codes.gradient(place, gradient), latent) == pytest.approx(onto, rel=1e-4)


@pytest.mark.parametrize(("place", "name"), [(TALL, "tall"), (WIDE, "wide")])
def test_rounded_rows_do_not_depend_on_which_go_together(codes: Codes, place: int, name: str):
    latent = codes.latent(place, _matrix(name))
    whole = codes.rounded(place, latent, None)
    apart = [codes.rounded(place, latent[first : first + 17], None, first) for first in range(0, len(latent), 17)]
    assert np.array_equal(np.concatenate(apart), whole)
    assert np.square(whole - latent).mean() < 1


def test_feedback_leaves_errors_that_weigh_less():
    codes, of, matrix = _codes(KNOWN), KNOWN["wide"], _matrix("wide")
    latent, feedback = codes.latent(WIDE, matrix), feedback_of(of, None, codes.side.gains[WIDE].cols)

    def weighed(seen: Values) -> float:
        errors = (codes.weights(WIDE, seen) - matrix).astype(np.float64)
        return float(of.rows @ np.einsum("ij,jk,ik->i", errors, of.moments, errors, optimize=True))

    assert weighed(codes.rounded(WIDE, latent, feedback)) < 0.8 * weighed(codes.rounded(WIDE, latent, None))

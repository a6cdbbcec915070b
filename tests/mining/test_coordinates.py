import pytest
import torch
from small_networks import network_of, stack

from dna_ray.mining.coordinates import IndexCoordinates, LearnedPlaces, from_levels, to_levels
from dna_ray.networks import KINDS, Network


def _all_coordinates(network: Network) -> torch.Tensor:
    """Row, layer, kind and column of every weight."""
    coordinates = IndexCoordinates(network.anatomy)
    found = []
    for t, info in enumerate(network.anatomy.matrices):
        row, col = torch.arange(info.rows).view(1, 1, -1), torch.arange(info.cols).view(1, 1, -1)
        rows, cols = coordinates(torch.tensor([[t]]), row, col)
        grid = [rows[0, 0].unsqueeze(1).expand(-1, info.cols, -1), cols[0, 0].unsqueeze(0).expand(info.rows, -1, -1)]
        found.append(torch.cat(grid, -1).reshape(-1, 4))
    return torch.cat(found)


@pytest.mark.parametrize(
    "network",
    [
        stack(3),
        network_of({name: torch.zeros(5, 4) for name in "abcdefg"}),  # all of one kind, outside the layers
        network_of({"a": torch.zeros(2, 3000), "b": torch.zeros(30522, 2)}),
    ],
    ids=["layers", "one kind", "large"],
)
def test_coordinates_lie_in_the_cube_and_are_distinct_for_distinct_weights(network: Network):
    points = _all_coordinates(network)
    assert points.abs().max() < 1
    assert len(points) == network.anatomy.weights
    assert len(points.unique(dim=0)) == len(points)


def test_layers_and_kinds_keep_their_order():
    network = stack(3)
    coordinates = IndexCoordinates(network.anatomy)
    at = {info.name: row for info, row in zip(network.anatomy.matrices, coordinates.layer_kind.tolist(), strict=True)}
    layers = [at[f"layer.{i}.query"][0] for i in range(3)]
    assert layers == sorted(layers)
    assert at["embedding"][0] < layers[0]
    assert at["layer.0.up"][0] != at["layer.0.gate"][0]
    assert (
        at["layer.0.up"][1] == at["layer.1.gate"][1] == pytest.approx((2 * KINDS.index("ffn_in") + 1) / len(KINDS) - 1)
    )


@pytest.mark.parametrize("bits", range(1, 9))
def test_levels_and_back_is_the_identity_on_levels(bits: int):
    levels = torch.arange(2.0**bits)
    assert torch.equal(to_levels(from_levels(levels, bits), bits), levels)
    assert to_levels(torch.tensor([-9.0, 9.0]), bits).tolist() == [0, 2**bits - 1]


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_training_sees_the_places_that_the_file_holds(bits: int):
    places = _places(bits)
    rows, cols = places(torch.tensor([[0, 2]]), torch.arange(6).view(1, 2, 3), torch.arange(4).view(1, 2, 2))
    table = from_levels(to_levels(places.rows.detach(), bits), bits)
    base = places.row_base.tolist()
    for block, tensor in enumerate((0, 2)):
        chosen = table[base[tensor] + torch.arange(3 * block, 3 * block + 3)]
        assert torch.equal(rows[0, block], chosen * places.row_scale[tensor])
    assert cols.shape == (1, 2, 2, 5)


def test_gradients_pass_the_rounding_and_reach_the_places_used():
    places = _places(2)
    rows, _ = places(torch.tensor([[1]]), torch.tensor([[[2, 2]]]), torch.tensor([[[0]]]))
    rows.sum().backward()
    grad = places.rows.grad
    assert grad is not None
    used = int(places.row_base[1]) + 2
    assert torch.equal(grad[used], 2 * places.row_scale[1])
    assert int(grad.any(1).sum()) == 1


def _places(bits: int) -> LearnedPlaces:
    places = LearnedPlaces(stack(1).anatomy, dim=5, bits=bits)
    generator = torch.Generator().manual_seed(bits)
    with torch.no_grad():
        for values in (places.rows, places.cols, places.row_scale, places.col_scale):
            values.normal_(generator=generator)
    return places

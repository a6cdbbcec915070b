import pytest
import torch
from small_networks import menagerie, network_of, pico, stack

from dna_ray.errors import FieldError
from dna_ray.mining.field import as_matrix, from_matrix, read_field, write_weights
from dna_ray.networks import Network


@pytest.mark.parametrize("network", [pico(), menagerie(), stack()], ids=["pico", "menagerie", "stack"])
def test_field_and_back_is_the_identity(network: Network):
    written = dict(write_weights(read_field(network)))
    assert list(written) == [info.name for info in network.anatomy]
    for name, tensor in written.items():
        original = network.read(name)
        assert tensor.dtype == original.dtype
        assert torch.equal(tensor, original)


def test_a_matrix_has_outputs_as_rows():
    network = network_of(
        {"kernel": torch.arange(24.0).reshape(2, 3, 2, 2), "turned": torch.arange(6.0).reshape(2, 3)},
        transposed=("turned",),
    )
    field = read_field(network)
    assert field.matrix("kernel").shape == (2, 12)
    assert torch.equal(field.matrix("turned"), network.read("turned").T)
    for info in network.anatomy:
        assert torch.equal(from_matrix(as_matrix(network.read(info.name), info), info), network.read(info.name))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_tensor_that_is_not_finite_is_named_with_the_place(bad: float):
    with pytest.raises(FieldError, match="small: tensor 'a' holds 1 values that are not finite .first at flat index 4"):
        read_field(network_of({"a": torch.tensor([[0, 1, 2], [3, bad, 5]])}))


def test_nothing_to_mine_is_refused():
    with pytest.raises(FieldError, match="empty"):
        read_field(network_of({}))
    with pytest.raises(FieldError, match="no floating-point tensor"):
        read_field(network_of({"a": torch.tensor([1, 2])}))


def test_a_field_equals_only_itself():
    network = pico()
    field = read_field(network)
    assert field == field
    assert field != read_field(network)

import warnings
from collections.abc import Mapping

import pytest
import torch
import transformers as hf
from small_layers import normal
from torch import Tensor, nn

from dna_ray.errors import InputError, NetworkError
from dna_ray.evolution.sparsity.application import apply, undone
from dna_ray.evolution.sparsity.layers import matrix_of


def _model() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(16, 5), hf.pytorch_utils.Conv1D(3, 5))
    with torch.no_grad():
        model[2].weight[0, 0] = torch.nan  # what only bits tell apart
        model[2].weight[0, 1] = -0.0
    return model


def _masks(model: nn.Module) -> dict[str, Tensor]:
    return {f"{n}.weight": normal(*matrix_of(model[n]).shape, seed=n) > 0 for n in (0, 2, 3)}


def _bits(model: nn.Module) -> Mapping[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


def test_what_a_mask_does_not_keep_is_zero_and_all_else_is_as_it_was():
    model, masks = _model(), _masks(_model())
    before = {name: matrix_of(model[int(name[0])]).clone() for name in masks}
    apply(model, masks)
    for name, mask in masks.items():
        now = matrix_of(model[int(name[0])])
        assert torch.equal(now[mask].view(torch.int32), before[name][mask].view(torch.int32))
        assert (now[~mask].view(torch.int32) == 0).all()  # not -0.0, not NaN


def test_after_undone_every_bit_is_back():
    model = _model()
    before, places = _bits(model), [parameter.data_ptr() for parameter in model.parameters()]
    with undone(model, _masks(model)):
        apply(model, _masks(model))
        assert _bits(model) != before
        with torch.no_grad():
            model[2].weight.fill_(3.0)  # not even what is changed in place
    assert _bits(model) == before
    assert [parameter.data_ptr() for parameter in model.parameters()] == places


def test_after_an_exception_too():
    model = _model()
    before = _bits(model)

    def fails() -> None:
        with undone(model, _masks(model)):
            apply(model, _masks(model))
            raise RuntimeError("of a task")

    with pytest.raises(RuntimeError, match="of a task"):
        fails()
    assert _bits(model) == before


def test_weights_that_may_not_be_written_to_can_be_masked():
    """As they lie in an object store: the mask goes into a copy."""
    model = nn.Linear(4, 4)
    shared = normal(4, 4).numpy()
    shared.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of it once a process
        model.weight.data = torch.from_numpy(shared)
    before = shared.tobytes()
    with undone(model, ["weight"]):
        apply(model, {"weight": torch.zeros(4, 4, dtype=torch.bool)})
        assert not model.weight.any()
    assert shared.tobytes() == before
    assert torch.equal(model.weight, torch.from_numpy(shared))


def test_a_mask_of_another_shape_is_refused_and_nothing_is_changed():
    model = _model()
    before = _bits(model)
    masks = _masks(model) | {"3.weight": torch.ones(5, 3, dtype=torch.bool)}
    with pytest.raises(InputError, match=r"'3\.weight' is \(3, 5\), its mask \(5, 3\)"):
        apply(model, masks)
    assert _bits(model) == before


def test_a_layer_that_is_not_there_is_named():
    with pytest.raises(NetworkError, match=r"'7\.weight'"), undone(_model(), ["7.weight"]):
        pass

import pickle

import pytest
import torch
from torch import Tensor

from dna_ray.distributed.sharing import shareable, shared

TENSORS = {
    "matrix": torch.arange(6.0).reshape(2, 3),
    "turned": torch.arange(6.0).reshape(2, 3).T,
    "half": torch.tensor([1.5, -2.0]).bfloat16(),
    "whole": torch.tensor([1, 2, 3]),
    "truth": torch.tensor([True, False]),
    "number": torch.tensor(3.5),
    "nothing": torch.empty(0, 4),
}


@pytest.mark.parametrize("name", TENSORS)
def test_shared_and_back_is_the_identity(name: str):
    tensor = TENSORS[name]
    buffers: list[pickle.PickleBuffer] = []
    sent = pickle.dumps(shareable({name: tensor}), protocol=5, buffer_callback=buffers.append)
    read_only = [memoryview(bytes(buffer.raw())) for buffer in buffers]  # as the object store gives them
    found = shared(pickle.loads(sent, buffers=read_only))[name]
    assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
    assert torch.equal(found, tensor)


def test_nothing_is_copied_on_either_side():
    tensor: Tensor = TENSORS["matrix"]
    assert shared(shareable({"matrix": tensor}))["matrix"].data_ptr() == tensor.data_ptr()

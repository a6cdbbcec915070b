from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

from dna_ray.errors import NetworkError
from dna_ray.models.architecture import Architecture
from dna_ray.models.architectures import ARCHITECTURES, make
from dna_ray.models.counting import multiply_adds
from dna_ray.models.samples import TRAINED, sample_of

# Parameters of each architecture for ten classes of colour images: (all, those of convolutions)
PUBLISHED = {
    "resnet18": (11_173_962, 11_159_232),  # He et al. 2016 with the stem for CIFAR: 11.17 M
    "vgg16bn": (14_724_042, 14_710_464),  # Simonyan and Zisserman 2015, table 1, column D: 14.71 M in the body
    "mobilenetv2": (2_236_682, 2_189_760),  # Sandler et al. 2018: 3.4 M with 1,000 classes, 2.24 M with ten
}
# ... and millions of multiply-adds of an image of 32 pixels
WORK = {"resnet18": 555.42, "vgg16bn": 313.20, "mobilenetv2": 24.46}


@pytest.fixture(params=ARCHITECTURES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_an_architecture_has_the_parameters_of_its_paper(name: str):
    model = make(Architecture(name=name))
    kernels = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Conv2d))
    assert (sum(p.numel() for p in model.parameters()), kernels) == PUBLISHED[name]
    one = torch.zeros(1, 3, 32, 32)
    assert multiply_adds(model.eval(), lambda: model(one)) / 1e6 == pytest.approx(WORK[name], abs=0.005)


def test_a_thousand_classes_make_the_mobilenet_of_the_paper():
    model = make(Architecture(name="mobilenetv2", classes=1000))
    assert sum(p.numel() for p in model.parameters()) == 3_504_872


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 32), (3, 17)])
def test_an_image_of_any_size_becomes_logits(name: str, channels: int, side: int):
    architecture = Architecture(name=name, width=0.1, channels=channels, side=side, classes=7)
    model = make(architecture).eval()
    with torch.inference_mode():
        assert model(torch.randn(2, channels, side, side)).shape == (2, 7)


def test_layers_of_a_narrow_network_are_those_of_the_wide_one(name: str):
    narrow, wide = (make(Architecture(name=name, width=width)) for width in (0.25, 1.0))
    assert [n for n, _ in narrow.named_parameters()] == [n for n, _ in wide.named_parameters()]
    channels = [m.out_channels for m in narrow.modules() if isinstance(m, nn.Conv2d)]
    assert all(each % 8 == 0 for each in channels)


def test_first_weights_follow_from_the_seed_and_leave_torch_as_it_was(name: str):
    architecture = Architecture(name=name, width=0.1)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, other, third = (make(architecture, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not torch.equal(one["stem.conv.weight"], third["stem.conv.weight"])


def test_an_image_keeps_its_size_of_signal_through_a_network_that_is_not_trained(name: str):
    model = make(Architecture(name=name, width=0.25)).train()
    with torch.no_grad():
        logits = model(torch.randn(16, 3, 32, 32))
    assert 1e-3 < logits.std() < 10


def test_an_architecture_survives_its_config():
    architecture = Architecture(name="vgg16bn", width=0.375, channels=1, side=28, classes=26)
    assert Architecture.from_config(architecture.to_config() | {"dataset": {}}) == architecture


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 0}, "width is 0"),
        ({"width": float("nan")}, "width is nan"),
        ({"num_channels": 0}, "channels is 0"),
        ({"image_size": 10**9}, "side is 1000000000"),
        ({"num_labels": None}, "config.json of a resnet18"),
        ({"model_type": "resnet19"}, "did you mean 'resnet18'"),
    ],
)
def test_a_config_that_cannot_be_is_refused_in_one_line(change: dict[str, object], said: str):
    config = Architecture(name="resnet18").to_config() | change
    with pytest.raises(NetworkError, match=said) as caught:
        make(Architecture.from_config(config))
    assert "\n" not in str(caught.value)


def test_a_config_that_lacks_a_size_names_it():
    config = Architecture(name="resnet18").to_config()
    del config["width"]
    with pytest.raises(NetworkError, match="lacks 'width'"):
        Architecture.from_config(config)


def test_every_sample_can_be_made_and_is_found_by_its_architecture():
    for name, sample in TRAINED.items():
        assert sample_of(sample.architecture.name) == sample_of(name) == name
        assert asdict(replace(sample.architecture, width=1.0))["channels"] == 1
        assert make(sample.architecture)(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    with pytest.raises(NetworkError, match="did you mean 'vgg16bn'"):
        sample_of("vgg16")

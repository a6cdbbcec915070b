import json
from pathlib import Path

import pytest
import torch
import transformers as hf

import dna_ray
from dna_ray.errors import ArtifactError, InputError, NetworkError
from dna_ray.mining import verbatim
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import read_field
from dna_ray.mining.folder import write_folder
from dna_ray.networks import from_state_dict


@pytest.fixture
def module() -> hf.BertModel:
    config = hf.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=30
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return hf.BertModel(config).eval()


@pytest.fixture
def dna(module: hf.BertModel, tmp_path: Path) -> Path:
    config = module.config.to_dict() | {"architectures": ["BertModel"]}
    network = from_state_dict(module.state_dict(), name="tiny", config=config)
    payload = verbatim.fit(read_field(network), None, MineConfig(kind="verbatim"))
    write_folder(tmp_path / "dna", network=network, kind="verbatim", payload=payload, card="# tiny")
    return tmp_path / "dna"


@pytest.mark.parametrize("file", ["", "model.safetensors"])
def test_a_dna_is_loaded_as_its_network_in_eval_mode(file: str, dna: Path, module: hf.BertModel):
    loaded = dna_ray.load(dna / file)
    assert type(loaded) is hf.BertModel
    assert not loaded.training
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in module.state_dict().items())


def test_a_dtype_may_be_asked_for(dna: Path, module: hf.BertModel):
    loaded, expected = dna_ray.load(dna, dtype=torch.float16), module.half().state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.state_dict().items())


def test_a_dna_without_config_says_what_is_missing(dna: Path):
    (dna / "config.json").write_text(json.dumps({"model_type": "dna", "network": None}))
    with pytest.raises(NetworkError, match="comes without config.json"):
        dna_ray.load(dna)


def test_what_is_no_dna_and_what_is_damaged_is_refused(dna: Path, tmp_path: Path):
    with pytest.raises(InputError, match="no such file, folder or run"):
        dna_ray.load(tmp_path / "nowhere")
    file = dna / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ArtifactError):
        dna_ray.load(dna)


def test_the_package_has_nothing_else_that_comes_later():
    with pytest.raises(AttributeError, match="no attribute 'save'"):
        _ = dna_ray.save

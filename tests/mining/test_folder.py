import dataclasses
import json
import os
import resource
from pathlib import Path

import pytest
from small_networks import pico

from dna_ray.errors import InputError, SpaceError
from dna_ray.mining import verbatim
from dna_ray.mining.config import MineConfig
from dna_ray.mining.dna import read_dna
from dna_ray.mining.field import read_field
from dna_ray.mining.folder import NOTES, write_folder
from dna_ray.networks import Network


@pytest.fixture
def network(tmp_path: Path) -> Network:
    vocabulary = tmp_path / "source" / "vocab.txt"
    vocabulary.parent.mkdir()
    vocabulary.write_text("a\nb\n")
    (vocabulary.parent / "config.json").write_text("not ours")
    config = {"model_type": "bert", "hidden_size": 8}
    files = (vocabulary, vocabulary.parent / "config.json")
    return dataclasses.replace(pico(), config=config, files=files)


def _write(folder: Path, network: Network, card: str = "# pico") -> int:
    payload = verbatim.fit(read_field(network), None, MineConfig(kind="verbatim"))
    return write_folder(folder, network=network, kind="verbatim", payload=payload, card=card)


def test_the_folder_holds_a_model_and_nothing_else(network: Network, tmp_path: Path):
    size = _write(tmp_path / "out" / "dna", network)
    folder = tmp_path / "out" / "dna"
    assert os.listdir(tmp_path / "out") == ["dna"]
    assert sorted(os.listdir(folder)) == ["README.md", "config.json", "model.safetensors", "vocab.txt"]
    assert (folder / "vocab.txt").read_text() == "a\nb\n"
    assert (folder / "README.md").read_text() == "# pico"
    config = json.loads((folder / "config.json").read_text())
    assert config == {"model_type": "dna", "network": {"model_type": "bert", "hidden_size": 8, **NOTES}, **NOTES}
    assert read_dna(folder).nbytes == size == (folder / "model.safetensors").stat().st_size


def test_a_dna_folder_is_replaced_and_anything_else_is_not(network: Network, tmp_path: Path):
    folder = tmp_path / "dna"
    folder.mkdir()
    _write(folder, network, card="first")
    _write(folder, network, card="second")
    assert (folder / "README.md").read_text() == "second"
    other = tmp_path / "source"
    with pytest.raises(InputError, match="source: exists and is no DNA folder"):
        _write(other, network)
    with pytest.raises(InputError, match="exists and is no DNA folder"):
        _write(other / "vocab.txt", network)
    assert sorted(os.listdir(other)) == ["config.json", "vocab.txt"]


def test_no_space_leaves_the_old_folder_whole(network: Network, tmp_path: Path):
    _write(tmp_path / "out" / "dna", network, card="old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 10, limits[1]))
    try:
        with pytest.raises(SpaceError):
            _write(tmp_path / "out" / "dna", network, card="new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path / "out") == ["dna"]
    assert (tmp_path / "out" / "dna" / "README.md").read_text() == "old"


def test_a_place_that_cannot_be_written_to_is_named(network: Network, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/dna: cannot be written"):
        _write(tmp_path / "file" / "dna", network)

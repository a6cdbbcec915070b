import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dna_ray.errors import NetworkError
from dna_ray.networks import from_state_dict, load
from dna_ray.networks.readers import shards_of


def same_weights(network, state_dict) -> bool:
    names = {info.name for info in network.anatomy}
    return names == set(state_dict) and all(
        torch.equal(network.read(name), state_dict[name]) and network.read(name).dtype == state_dict[name].dtype
        for name in names
    )


@pytest.fixture
def weights(zoo) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in zoo("bert").state_dict().items()}


def test_a_folder_is_loaded_with_its_config(zoo, tmp_path):
    module = zoo("bert")
    module.save_pretrained(tmp_path)
    network = load(tmp_path)
    assert same_weights(network, module.state_dict())
    assert network.config["model_type"] == "bert"
    assert network.name == str(tmp_path)


def test_files_in_every_format_give_one_fingerprint(weights, tmp_path):
    save_file(weights, tmp_path / "a.safetensors")
    torch.save(weights, tmp_path / "b.bin")
    torch.save(dict(reversed(weights.items())), tmp_path / "c.pth")
    torch.save({"state_dict": weights, "epoch": 3}, tmp_path / "d.pt")
    torch.save(weights, tmp_path / "e.pth", _use_new_zipfile_serialization=False)
    networks = [load(path) for path in sorted(tmp_path.iterdir())]
    assert all(same_weights(network, weights) for network in networks)
    assert {network.fingerprint for network in networks} == {from_state_dict(weights, name="x").fingerprint}


@pytest.mark.parametrize("change", ["name", "shape", "dtype", "value"])
def test_fingerprint_depends_on_everything(change):
    before = {"fc.weight": torch.zeros(2, 6), "fc.bias": torch.zeros(2)}
    after = {
        "name": {"head.weight": before["fc.weight"], "fc.bias": before["fc.bias"]},
        "shape": before | {"fc.weight": torch.zeros(6, 2)},
        "dtype": before | {"fc.bias": torch.zeros(4, dtype=torch.float16)},
        "value": before | {"fc.weight": -before["fc.weight"]},
    }[change]
    assert from_state_dict(before, name="a").fingerprint != from_state_dict(after, name="a").fingerprint


def test_fingerprint_counts_values_not_storage(zoo):
    tied = zoo("gpt2-lm").state_dict()
    copied = {name: tensor.clone() for name, tensor in tied.items()}
    assert from_state_dict(tied, name="a").fingerprint == from_state_dict(copied, name="a").fingerprint


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_read_as_stored(weights, dtype, tmp_path):
    weights = {name: tensor.to(dtype) for name, tensor in weights.items()}
    save_file(weights, tmp_path / "model.safetensors")
    assert same_weights(load(tmp_path), weights)


def test_integer_and_empty_state_dicts_are_loaded():
    assert from_state_dict({}, name="empty").anatomy.tensors == ()
    network = from_state_dict({"position_ids": torch.arange(4)}, name="ids")
    assert not network.anatomy.by_name["position_ids"].floating


def test_scalars_and_tensors_without_elements_are_loaded(tmp_path):
    weights = {"bn.num_batches_tracked": torch.tensor(7), "fc.weight": torch.zeros(0, 4)}
    save_file(weights, tmp_path / "odd.safetensors")
    assert same_weights(load(tmp_path / "odd.safetensors"), weights)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_are_read_through_their_index(weights, suffix, tmp_path):
    stem = {"safetensors": "model", "bin": "pytorch_model"}[suffix]
    names = sorted(weights)
    weight_map = {name: f"{stem}-{1 + i % 2}.{suffix}" for i, name in enumerate(names)}
    for shard in sorted(set(weight_map.values())):
        part = {name: weights[name] for name in names if weight_map[name] == shard}
        (save_file if suffix == "safetensors" else torch.save)(part, tmp_path / shard)
    index = tmp_path / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert same_weights(load(tmp_path), weights)
    assert load(index).fingerprint == load(tmp_path).fingerprint
    (tmp_path / f"{stem}-2.{suffix}").unlink()
    with pytest.raises(NetworkError, match=rf"{stem}-2\.{suffix}: missing, though"):
        load(tmp_path)


@pytest.mark.parametrize("entry", ["../evil.safetensors", "/etc/passwd", "a/b.safetensors", "..", "", 3])
def test_an_index_that_leads_out_of_its_folder_is_refused(entry, tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": entry}}))
    with pytest.raises(NetworkError, match="refused"):
        shards_of(index)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": ["b"]}}', "\xff"])
def test_a_broken_index_is_one_line(text, tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(text, encoding="latin-1")
    with pytest.raises(NetworkError, match="not an index"):
        load(tmp_path)


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    for shard in ("a.safetensors", "b.safetensors"):
        save_file({"fc.weight": torch.ones(2, 2)}, tmp_path / shard)
    weight_map = {"fc.weight": "a.safetensors", "fc.bias": "b.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(NetworkError, match="'fc.weight' is in a.safetensors too"):
        load(tmp_path)


def test_ties_in_a_pickle_are_found(zoo, tmp_path):
    torch.save(zoo("gpt2-lm").state_dict(), tmp_path / "pytorch_model.bin")
    network = load(tmp_path / "pytorch_model.bin")
    assert network.anatomy.by_name["transformer.wte.weight"].tied_to == "lm_head.weight"


def test_ties_noted_by_safetensors_are_found(zoo, tmp_path):
    from safetensors.torch import save_model

    module = zoo("bert-mlm")
    save_model(module, str(tmp_path / "model.safetensors"))
    network = load(tmp_path / "model.safetensors")
    assert network.fingerprint == from_state_dict(module.state_dict(), name="x").fingerprint
    assert network.anatomy == from_state_dict(module.state_dict(), name="x").anatomy


def test_a_loaded_network_travels_as_paths(tmp_path):
    save_file({"fc.weight": torch.arange(250_000.0).reshape(500, 500)}, tmp_path / "model.safetensors")
    network = load(tmp_path)
    packed = pickle.dumps(network)
    assert len(packed) < 2000
    assert torch.equal(pickle.loads(packed).read("fc.weight"), network.read("fc.weight"))


def test_a_relative_path_is_read_from_any_working_folder(tmp_path, monkeypatch):
    save_file({"fc.weight": torch.ones(2, 2)}, tmp_path / "w.safetensors")
    monkeypatch.chdir(tmp_path)
    network = load("w.safetensors")
    monkeypatch.chdir("/")
    assert network.read("fc.weight").sum() == 4


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_changing_what_was_read_changes_no_later_read(suffix, tmp_path):
    path = tmp_path / f"w.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)({"fc.weight": torch.ones(2, 2)}, path)
    network = load(path)
    network.read("fc.weight").zero_()
    assert network.read("fc.weight").sum() == 4


class Hostile:
    def __reduce__(self):
        return os.system, ("touch /tmp/dna_ray_was_hacked",)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    torch.save({"fc.weight": Hostile()}, tmp_path / "model.bin")
    with pytest.raises(NetworkError, match="refused, since unpickling it could run code"):
        load(tmp_path / "model.bin")
    assert not Path("/tmp/dna_ray_was_hacked").exists()


@pytest.mark.parametrize("suffix", ["safetensors", "bin", "pth"])
@pytest.mark.parametrize("keep", [0, 5, 60, 1000])
def test_a_truncated_file_is_one_line(suffix, keep, tmp_path):
    whole = tmp_path / f"whole.{suffix}"
    part = tmp_path / f"part.{suffix}"
    weights = {"fc.weight": torch.rand(64, 64)}
    (save_file if suffix == "safetensors" else torch.save)(weights, whole)
    part.write_bytes(whole.read_bytes()[:keep])
    with pytest.raises(NetworkError) as caught:
        load(part)
    assert str(part) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(2)], "holds a list, not a state dict"),
        ({"a": torch.ones(2), "epoch": 3}, "'epoch' is not a dense tensor but a int"),
        ({"a": torch.eye(3).to_sparse()}, "sparse_coo tensor"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, "has dtype torch.complex64; supported are"),
    ],
)
def test_what_is_no_state_dict_of_dense_tensors_is_named(content, message, tmp_path):
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(NetworkError, match=message):
        load(tmp_path / "model.pth")


def test_a_dna_is_not_a_network(tmp_path):
    save_file({"x": torch.zeros(3, dtype=torch.uint8)}, tmp_path / "model.safetensors", metadata={"dna": "{}"})
    with pytest.raises(NetworkError, match="is a DNA, not a network; rebuild it first"):
        load(tmp_path)


def test_folders_without_or_with_too_many_weights_say_so(tmp_path):
    with pytest.raises(NetworkError, match="no weights found"):
        load(tmp_path)
    for name in ("a.pth", "b.pth"):
        torch.save({}, tmp_path / name)
    with pytest.raises(NetworkError, match=r"several weights files \(a.pth, b.pth\)"):
        load(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(NetworkError, match="not a weights file"):
        load(tmp_path / "notes.txt")


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_a_broken_config_is_one_line(text, tmp_path):
    save_file({"fc.weight": torch.ones(2, 2)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(NetworkError, match=r"config\.json: not"):
        load(tmp_path)


def test_a_mistyped_path_suggests_the_nearest(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(NetworkError, match=r"no such file or folder; did you mean .*model\.safetensors\?"):
        load(tmp_path / "modle.safetensors")
    with pytest.raises(NetworkError, match="does not exist either"):
        load(str(tmp_path / "nowhere" / "model"))


@pytest.mark.parametrize("name", ["sample:minilmm", "samples:minilm", "minilm"])
def test_a_mistyped_sample_suggests_the_nearest(name):
    with pytest.raises(NetworkError, match="did you mean sample:minilm?"):
        load(name)


@pytest.mark.parametrize("name", ["no-such/network", "bert-base-uncased", "not a name!"])
def test_the_hub_out_of_reach_is_one_line(name, tmp_path):
    with pytest.raises(NetworkError) as caught:
        load(name, cache_dir=tmp_path, local_files_only=True)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_hub_network_in_the_cache_is_found_offline(zoo, tmp_path):
    snapshot = tmp_path / "models--someone--bert" / "snapshots" / ("0" * 40)
    zoo("bert").save_pretrained(snapshot)
    refs = tmp_path / "models--someone--bert" / "refs"
    refs.mkdir()
    (refs / "main").write_text("0" * 40)
    network = load("someone/bert", cache_dir=tmp_path, local_files_only=True)
    assert same_weights(network, zoo("bert").state_dict())
    assert network.name == "someone/bert"

import errno
import json
import stat

import pytest
import torch
import transformers
from safetensors import safe_open

from dna_ray.errors import NetworkError, SpaceError
from dna_ray.networks import build, from_state_dict, load, save


def tensors(network):
    return ((info.name, network.read(info.name)) for info in network.anatomy)


def written(network, folder, **options):
    return save(
        tensors(network), folder, anatomy=network.anatomy, config=network.config, files=network.files, **options
    )


def inputs(config):
    if "image_size" in config or "num_channels" in config:
        size = config.get("image_size", 32)
        return {"pixel_values": torch.linspace(-1, 1, 3 * size * size).reshape(1, 3, size, size)}
    return {"input_ids": torch.tensor([[3, 4, 5, 6]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}


def outputs(module, config):
    with torch.inference_mode():
        return module(**inputs(config))[0]


@pytest.fixture
def network(zoo, describe):
    module = zoo("bert-mlm")
    return from_state_dict(module.state_dict(), name="tiny", config=describe(module))


def test_save_and_load_are_the_identity_for_every_family(zoo_name, zoo, describe, tmp_path):
    module = zoo(zoo_name)
    before = from_state_dict(module.state_dict(), name=zoo_name, config=describe(module))
    after = load(written(before, tmp_path / "out"))
    assert after.anatomy == before.anatomy
    assert after.fingerprint == before.fingerprint
    assert after.config == json.loads(json.dumps(before.config))


def test_transformers_opens_what_was_saved_with_the_same_outputs(zoo_name, zoo, describe, tmp_path):
    module = zoo(zoo_name)
    config = describe(module)
    network = from_state_dict(module.state_dict(), name=zoo_name, config=config)
    folder = written(network, tmp_path / "out")
    opened, report = type(module).from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert torch.equal(outputs(opened, config), outputs(module, config))


@pytest.mark.parametrize("name", ["bert-mlm", "gpt2-lm", "roberta-mlm"])
def test_auto_model_finds_the_body_of_a_network_with_a_tied_head(name, zoo, describe, tmp_path):
    module = zoo(name)
    folder = written(from_state_dict(module.state_dict(), name=name, config=describe(module)), tmp_path / "out")
    opened, report = transformers.AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not {missing for missing in report["missing_keys"] if "pooler" not in missing}
    config = describe(module)
    with torch.inference_mode():
        expected = module(**inputs(config), output_hidden_states=True).hidden_states[-1]
        assert torch.equal(opened(**inputs(config)).last_hidden_state, expected)


@pytest.mark.parametrize(("name", "left_out"), [("bert-mlm", 2), ("gpt2-lm", 1), ("vit", 0)])
def test_weights_that_are_tied_again_are_stored_once(name, left_out, zoo, describe, tmp_path):
    module = zoo(name)
    network = from_state_dict(module.state_dict(), name=name, config=describe(module))
    folder = written(network, tmp_path / "out")
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        assert len(list(file.keys())) == len(network.anatomy.tensors) - left_out


def test_weights_that_nobody_ties_again_are_stored_as_copies(zoo, tmp_path):
    network = from_state_dict(zoo("gpt2-lm").state_dict(), name="bare")  # no config: no class that would tie them
    after = load(written(network, tmp_path / "out"))
    assert after.fingerprint == network.fingerprint
    with safe_open(tmp_path / "out" / "model.safetensors", framework="pt") as file:
        assert {"lm_head.weight", "transformer.wte.weight"} <= set(file.keys())


def test_a_config_that_unties_gets_copies(zoo, describe, tmp_path):
    module = zoo("gpt2-lm")
    config = describe(module) | {"tie_word_embeddings": False}
    folder = written(from_state_dict(module.state_dict(), name="untied", config=config), tmp_path / "out")
    opened, report = type(module).from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert torch.equal(outputs(opened, config), outputs(module, config))


def test_tied_tensors_need_not_be_given_and_order_does_not_matter(network, tmp_path):
    untied = [(info.name, network.read(info.name)) for info in network.anatomy if info.tied_to is None]
    save(reversed(untied), tmp_path / "a", anatomy=network.anatomy, config=network.config)
    written(network, tmp_path / "b")
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.bool])
def test_every_dtype_is_saved_bit_for_bit(dtype, tmp_path):
    weights = {
        "fc.weight": torch.arange(15).reshape(3, 5).to(dtype),
        "fc.bias": torch.ones(5),
        "steps.num_batches_tracked": torch.tensor(3),
        "head.weight": torch.zeros(0, 4),
        "score.weight": torch.rand(4, 3).T,  # not contiguous
    }
    network = from_state_dict(weights, name="dtypes")
    after = load(written(network, tmp_path / "out"))
    assert after.fingerprint == network.fingerprint
    assert all(torch.equal(after.read(name), weights[name]) for name in weights)


def test_large_networks_are_split_with_an_index(network, tmp_path):
    folder = written(network, tmp_path / "out", shard_bytes=2000)
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    assert load(folder).fingerprint == network.fingerprint
    _, report = transformers.BertForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]


def test_an_empty_network_is_saved(tmp_path):
    network = from_state_dict({}, name="empty")
    assert load(written(network, tmp_path / "out")).fingerprint == network.fingerprint


def test_files_are_copied(network, tmp_path):
    (tmp_path / "vocab.txt").write_text("[UNK]")
    folder = save(
        tensors(network),
        tmp_path / "out",
        anatomy=network.anatomy,
        config=network.config,
        files=[tmp_path / "vocab.txt"],
    )
    assert (folder / "vocab.txt").read_text() == "[UNK]"
    assert load(folder).files == (folder / "vocab.txt",)
    assert stat.S_IMODE(folder.stat().st_mode) & 0o700 == 0o700


def test_a_folder_that_exists_is_refused_and_kept(network, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").touch()
    with pytest.raises(NetworkError, match="exists already"):
        written(network, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["precious"]
    (tmp_path / "out" / "precious").unlink()
    written(network, tmp_path / "out")  # an empty one is as good as none


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda given: given[1:], "1 tensors did not come, 'bert.embeddings.LayerNorm.bias'"),
        (lambda given: [*given, ("extra", torch.ones(1))], "'extra' is not in the network's anatomy"),
        (lambda given: [given[0], *given], "came twice"),
        (lambda given: [(given[0][0], given[0][1].half()), *given[1:]], r"came as torch.float16 \(8,\); expected F32"),
        (
            lambda given: [(given[0][0], given[0][1][:3]), *given[1:]],
            r"came as torch.float32 \(3,\); expected F32 \(8,\)",
        ),
    ],
)
def test_wrong_tensors_are_named_and_nothing_is_left_behind(change, message, network, tmp_path):
    with pytest.raises(NetworkError, match=message):
        save(change(list(tensors(network))), tmp_path / "out", anatomy=network.anatomy)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(network, tmp_path):
    def until_full():
        yield next(tensors(network))
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(SpaceError, match="no space left"):
        save(until_full(), tmp_path / "out", anatomy=network.anatomy)
    assert list(tmp_path.iterdir()) == []


def test_a_module_is_built_from_what_was_saved(network, zoo, tmp_path):
    module = build(load(written(network, tmp_path / "out")))
    assert torch.equal(outputs(module, network.config), outputs(zoo("bert-mlm"), network.config))

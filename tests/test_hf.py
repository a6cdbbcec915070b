import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import transformers as hf
from torch import nn

import dna_ray
from dna_ray.errors import ArtifactError, InputError, NetworkError
from dna_ray.mining import KINDS
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import read_field
from dna_ray.mining.folder import write_folder
from dna_ray.networks import load
from dna_ray.verbs.rebuild import rebuild

_TEXT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 30,
    "max_position_embeddings": 12,
}
_VIT: dict[str, Any] = _TEXT | {"image_size": 8, "patch_size": 4}

# A class, its config, and the auto class that opens it: encoder, tied heads, transposed matrices, kernels, statistics.
NETWORKS: dict[str, tuple[Any, Callable[[], Any], Any]] = {
    "bert": (hf.BertModel, lambda: hf.BertConfig(**_TEXT), hf.AutoModel),
    "bert-mlm": (hf.BertForMaskedLM, lambda: hf.BertConfig(**_TEXT), hf.AutoModelForMaskedLM),
    "gpt2": (
        hf.GPT2LMHeadModel,
        lambda: hf.GPT2Config(
            n_embd=16, n_layer=2, n_head=2, vocab_size=30, n_positions=12, bos_token_id=0, eos_token_id=0
        ),
        hf.AutoModelForCausalLM,
    ),
    "vit": (hf.ViTForImageClassification, lambda: hf.ViTConfig(**_VIT), hf.AutoModelForImageClassification),
    "resnet": (
        hf.ResNetForImageClassification,
        lambda: hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[2, 1], layer_type="basic"),
        hf.AutoModelForImageClassification,
    ),
}

Miner = Callable[..., Path]


@pytest.fixture(autouse=True)
def opened_by_transformers(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """Every test here runs after `import dna_ray.hf`, with a temporary folder of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("scratch")))
    import dna_ray.hf

    return dna_ray.hf


@pytest.fixture
def mine(tmp_path: Path) -> Miner:
    """Mines a module, or one of `NETWORKS` by its name, and returns the DNA folder."""

    def mined(module: nn.Module | str, *, kind: str = "verbatim", config: dict[str, Any] | None = None) -> Path:
        source = tmp_path / "source"
        (make(module) if isinstance(module, str) else module).save_pretrained(source)
        if config is not None:
            found = json.loads((source / "config.json").read_text()) | config
            (source / "config.json").write_text(json.dumps({k: v for k, v in found.items() if v is not None}))
        network = load(source)
        payload = KINDS[kind].fit(read_field(network), 60_000, MineConfig(kind=kind))
        write_folder(tmp_path / "dna", network=network, kind=kind, payload=payload, card="# tiny")
        return tmp_path / "dna"

    return mined


def make(name: str) -> Any:
    model_class, config, _ = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return model_class(config()).eval()


def rebuilt(dna: Path) -> Path:
    out = dna.with_name("rebuilt")
    rebuild(str(dna), out=out)
    return out


def assert_equal(module: Any, expected: Any) -> None:
    """Classes, names, dtypes, bits, ties and the buffers that are not saved."""
    assert type(module) is type(expected)
    found, wanted = (dict(m.state_dict()) | dict(m.named_buffers()) for m in (module, expected))
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name
    assert len(list(module.parameters())) == len(list(expected.parameters()))


@pytest.mark.parametrize("kind", ["verbatim", "svd"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_dna_opens_as_the_network_that_it_rebuilds(name: str, kind: str, mine: Miner):
    dna, auto_class = mine(name, kind=kind), NETWORKS[name][2]
    opened = auto_class.from_pretrained(dna)
    assert_equal(opened, auto_class.from_pretrained(rebuilt(dna)))
    assert_equal(opened, dna_ray.load(dna))
    assert not opened.training


@pytest.mark.parametrize("name", NETWORKS)
def test_verbatim_dna_opens_as_the_original(name: str, mine: Miner):
    assert_equal(NETWORKS[name][2].from_pretrained(mine(name)), make(name))


def test_tied_weights_open_tied(mine: Miner):
    opened = hf.AutoModelForCausalLM.from_pretrained(mine("gpt2"))
    assert opened.lm_head.weight is opened.transformer.wte.weight


@pytest.mark.parametrize("auto_class", [hf.AutoModel, hf.AutoModelForSequenceClassification])
def test_what_a_class_misses_or_leaves_out_is_reported_as_for_any_folder(auto_class: Any, mine: Miner):
    dna = mine("bert-mlm")
    opened, report = auto_class.from_pretrained(dna, output_loading_info=True)
    expected, wanted = auto_class.from_pretrained(rebuilt(dna), output_loading_info=True)
    assert report == wanted
    assert report["missing_keys"]
    assert report["unexpected_keys"]
    new = {name for name in opened.state_dict() if name in report["missing_keys"]}
    for name, tensor in expected.state_dict().items():
        assert name in new or torch.equal(opened.state_dict()[name], tensor)


@pytest.mark.parametrize("kind", ["verbatim", "svd"])
def test_weights_are_rebuilt_before_they_are_cast_to_the_dtype_asked_for(kind: str, mine: Miner):
    dna = mine("bert", kind=kind)
    opened = hf.AutoModel.from_pretrained(dna, dtype="bfloat16")
    assert opened.dtype == torch.bfloat16
    assert_equal(opened, hf.AutoModel.from_pretrained(rebuilt(dna), dtype="bfloat16"))
    assert_equal(opened, dna_ray.load(dna, dtype=torch.bfloat16))
    assert torch.get_default_dtype() == torch.float32


def test_a_dna_opens_in_the_dtype_it_is_stored_in_where_the_config_names_none(mine: Miner):
    dna = mine(make("resnet").half(), config={"dtype": None})
    opened = hf.AutoModelForImageClassification.from_pretrained(dna)
    assert opened.config.dtype == opened.dtype == torch.float16
    assert_equal(opened, hf.AutoModelForImageClassification.from_pretrained(rebuilt(dna)))


def test_what_was_opened_saves_as_an_ordinary_folder(mine: Miner, tmp_path: Path):
    opened = hf.AutoModel.from_pretrained(mine("bert", kind="svd"))
    opened.save_pretrained(tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["model_type"] == "bert"
    assert "quantization_config" not in config
    assert_equal(hf.AutoModel.from_pretrained(tmp_path / "saved"), opened)


def test_what_was_opened_can_be_trained_and_cast(mine: Miner):
    opened = hf.AutoModel.from_pretrained(mine("bert"))
    opened(torch.tensor([[1, 2, 3]])).last_hidden_state.sum().backward()
    assert all(p.grad is not None for name, p in opened.named_parameters() if "pooler" not in name)
    assert opened.half().dtype == torch.float16


def test_pipeline_and_tokenizer_open_the_same_folder(mine: Miner, tmp_path: Path):
    (tmp_path / "source").mkdir()
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world"])}
    hf.BertTokenizer(vocab=vocabulary).save_pretrained(tmp_path / "source")
    dna = mine("bert")
    assert hf.AutoTokenizer.from_pretrained(dna)("hello world")["input_ids"] == [2, 5, 6, 3]
    features = hf.pipeline("feature-extraction", model=str(dna))("hello world", return_tensors=True)
    expected = make("bert")(torch.tensor([[2, 5, 6, 3]])).last_hidden_state
    assert torch.equal(features, expected)


def test_settings_given_to_from_pretrained_reach_the_network(mine: Miner):
    dna = mine("bert")
    assert hf.AutoModel.from_pretrained(dna, output_attentions=True).config.output_attentions
    head = hf.AutoModelForSequenceClassification.from_pretrained(dna, num_labels=7).classifier
    assert head.out_features == 7
    config, unused = hf.AutoConfig.from_pretrained(dna, return_unused_kwargs=True, hidden_act="relu", unheard_of=1)
    assert (type(config), config.hidden_act, unused) == (hf.BertConfig, "relu", {"unheard_of": 1})


def test_tensors_in_memory_are_taken_as_they_are(mine: Miner):
    dna, module = mine("bert", kind="svd"), make("bert")
    config = hf.AutoConfig.from_pretrained(dna)
    assert_equal(hf.BertModel.from_pretrained(None, config=config, state_dict=module.state_dict()), module)


def test_a_class_opens_a_dna_by_its_own_name(mine: Miner):
    dna = mine("bert")
    assert_equal(hf.BertModel.from_pretrained(dna), make("bert"))
    assert hf.BertForSequenceClassification.from_pretrained(dna, num_labels=7).classifier.out_features == 7


def test_links_of_the_hubs_cache_are_followed(mine: Miner, tmp_path: Path):
    dna = mine("bert")
    (dna / "model.safetensors").rename(tmp_path / "blob")
    (dna / "model.safetensors").symlink_to(tmp_path / "blob")
    assert_equal(hf.AutoModel.from_pretrained(dna), make("bert"))


def test_weights_named_by_the_networks_config_are_not_looked_for(mine: Miner):
    dna = mine("bert")
    config = json.loads((dna / "config.json").read_text())
    config["network"]["transformers_weights"] = "elsewhere.safetensors"
    (dna / "config.json").write_text(json.dumps(config))
    assert_equal(hf.AutoModel.from_pretrained(dna), make("bert"))


def test_nothing_is_left_in_the_temporary_folder(mine: Miner):
    hf.AutoModel.from_pretrained(mine("bert"))
    assert os.listdir(tempfile.gettempdir()) == []


def test_layers_that_stay_on_disk_find_their_weights(mine: Miner, tmp_path: Path):
    pytest.importorskip("accelerate")
    places = {"embeddings": "cpu", "encoder": "disk", "pooler": "cpu"}
    opened = hf.AutoModel.from_pretrained(mine("bert"), device_map=places, offload_folder=tmp_path / "offload")
    words = torch.tensor([[1, 2, 3]])
    assert torch.equal(opened(words).last_hidden_state, make("bert")(words).last_hidden_state)


def test_a_damaged_dna_is_refused_before_a_weight_is_read(mine: Miner):
    file = mine("bert") / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match="was altered"):
        hf.AutoModel.from_pretrained(file.parent)
    assert os.listdir(tempfile.gettempdir()) == []


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (None, "came without config.json; rebuild it: dna-ray rebuild"),
        ({}, "no class for the network's model_type None"),
        ({"model_type": []}, r"no class for the network's model_type \[\]"),
        ({"model_type": "of-tomorrow"}, "no class for the network's model_type 'of-tomorrow'"),
        ({"model_type": "dna", "network": {"model_type": "bert"}}, "no class for the network's model_type 'dna'"),
    ],
)
def test_a_network_that_transformers_has_no_class_for_is_named(network: Any, message: str, mine: Miner):
    dna = mine("bert")
    (dna / "config.json").write_text(json.dumps({"model_type": "dna", "network": network}))
    with pytest.raises(NetworkError, match=f"{dna}: .*{message}"):
        hf.AutoModel.from_pretrained(dna)


def test_a_class_of_another_network_is_refused(mine: Miner):
    message = "dna: GPT2Model is no class of the network in this DNA, whose model_type is 'bert'"
    with pytest.raises(InputError, match=message):
        hf.GPT2Model.from_pretrained(mine("bert"))


def test_transformers_that_does_not_read_the_rebuilt_weights_is_refused(mine: Miner, opened_by_transformers: Any):
    """As a later transformers might, that copies the list of files."""
    config = hf.AutoConfig.from_pretrained(mine("bert"))
    model = hf.BertModel(config)
    quantizer = opened_by_transformers.DnaQuantizer(opened_by_transformers.DnaQuantizationConfig())
    quantizer.preprocess_model(model, checkpoint_files=[str(Path(config.name_or_path) / "model.safetensors")])
    with pytest.raises(InputError, match="did not read the rebuilt weights"):
        quantizer.postprocess_model(model)


def test_without_the_import_transformers_refuses(mine: Miner):
    program = (
        "import sys, transformers\n"
        "for name in ('AutoModel', 'BertModel', 'GPT2Model'):\n"
        "    try:\n"
        "        getattr(transformers, name).from_pretrained(sys.argv[1])\n"
        "    except ValueError as error:\n"
        "        print(name, 'refused:', str(error).splitlines()[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", program, mine("bert")], capture_output=True, text=True, check=True)
    auto, *named = done.stdout.splitlines()
    assert auto.startswith("AutoModel refused: The checkpoint you are trying to load has model type `dna`")
    assert [line.split()[0] for line in named] == ["BertModel", "GPT2Model"]
    assert all("this is a DNA: `import dna_ray.hf` first" in line for line in named)

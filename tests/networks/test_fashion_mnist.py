import gzip
from pathlib import Path

import numpy as np
import pytest
from tiny_fashion import CLASSES, SIDE, idx, write_fashion

from dna_ray.errors import ArtifactError, TaskError
from dna_ray.networks import fashion_mnist
from dna_ray.networks.idx import read_idx

IMAGES = "train-images-idx3-ubyte.gz"


@pytest.mark.parametrize("zipped", [True, False])
def test_an_array_written_is_the_array_read(tmp_path: Path, zipped: bool):
    array = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    path = tmp_path / ("a.gz" if zipped else "a")
    path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    assert np.array_equal(read_idx(path, axes=3), array)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "magic missing"),
        (idx(np.zeros((2, 3), np.uint8)), "no array of bytes of 3 axes"),
        (b"\0\0\x0d\x03" + bytes(20), "magic 00000d03"),
        (b"\0\0\x08\x03" + bytes(5), "ends within its header"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "4294967295 x 4294967295 x 4294967295"),
        (b"\0\0\x08\x03" + bytes(12), "expected 1 to"),
        (idx(np.zeros((2, 3, 4), np.uint8))[:-1], "holds 24 bytes, and holds 23"),
        (idx(np.zeros((2, 3, 4), np.uint8)) + b"x", "holds 24 bytes, and holds more"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_is_not_what_it_says_is_refused_in_one_line(
    tmp_path: Path, content: bytes, said: str, zipped: bool
):
    path = tmp_path / ("a.gz" if zipped else "a")
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(ArtifactError, match=said) as caught:
        read_idx(path, axes=3)
    assert "\n" not in str(caught.value)


def test_a_file_that_would_unpack_to_more_than_it_says_is_not_unpacked(tmp_path: Path):
    bomb = gzip.compress(idx(np.zeros((1, 2, 2), np.uint8)) + bytes(1 << 26))
    (tmp_path / "a.gz").write_bytes(bomb)
    with pytest.raises(ArtifactError, match="holds 4 bytes, and holds more"):
        read_idx(tmp_path / "a.gz", axes=3)


@pytest.mark.parametrize("cut", [5, 30, 200, -9, -1])
def test_a_gzipped_file_that_is_cut_short_is_refused(tmp_path: Path, cut: int):
    path = write_fashion(tmp_path) / IMAGES
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ArtifactError, match="install it again"):
        fashion_mnist.read("train", tmp_path)


def test_a_gzipped_file_that_was_altered_is_refused(tmp_path: Path):
    path = write_fashion(tmp_path) / IMAGES
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="install it again"):
        fashion_mnist.read("train", tmp_path)


def test_images_and_their_labels_are_read(tmp_path: Path):
    part = fashion_mnist.read("train", write_fashion(tmp_path, train=40))
    assert part.pixels.shape == (40, SIDE, SIDE)
    assert part.labels.tolist() == [n % CLASSES for n in range(40)]
    assert fashion_mnist.installed(tmp_path)


def test_images_without_as_many_labels_are_refused(tmp_path: Path):
    write_fashion(tmp_path, train=40)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(39, np.uint8))))
    with pytest.raises(ArtifactError, match="40 images, but 39 labels"):
        fashion_mnist.read("train", tmp_path)


def test_missing_data_print_the_line_that_installs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DNA_RAY_FASHION_MNIST", str(tmp_path / "nowhere"))
    assert not fashion_mnist.installed()
    with pytest.raises(TaskError, match="run: apt-get install dataset-fashion-mnist") as caught:
        fashion_mnist.read("test")
    assert "nowhere" in str(caught.value)


def test_the_fingerprint_is_of_the_content_and_not_of_its_packing(tmp_path: Path):
    zipped = write_fashion(tmp_path / "zipped")
    plain = write_fashion(tmp_path / "plain", zipped=False)
    other = write_fashion(tmp_path / "other", seed=1)
    assert fashion_mnist.fingerprint(zipped) == fashion_mnist.fingerprint(plain) != fashion_mnist.fingerprint(other)


@pytest.mark.skipif(not fashion_mnist.installed(), reason="apt-get install dataset-fashion-mnist")
def test_debians_package_is_fashion_mnist():
    part = fashion_mnist.read("train")
    assert part.pixels.shape == (60_000, 28, 28)
    assert np.bincount(part.labels).tolist() == [6_000] * 10

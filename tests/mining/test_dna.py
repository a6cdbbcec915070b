import json
import os
import random
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save, save_file
from small_networks import menagerie, network_of, pico

from dna_ray.errors import ArtifactError, SpaceError
from dna_ray.mining import svd, verbatim
from dna_ray.mining.config import MineConfig
from dna_ray.mining.dna import file_size, read_dna, rebuild, verify, write_dna
from dna_ray.mining.field import read_field
from dna_ray.mining.kind import Payload
from dna_ray.networks import Network

KINDS = {"verbatim": verbatim.KIND, "svd": svd.KIND}
ODD = Payload(
    {"x": [1, 2.5, None], "name": 'quotes " and \\ and ü'},
    {
        "b": np.arange(6, dtype=np.float16).reshape(2, 3),
        "a.scalar": np.array(3, np.int64),
        "c": np.empty((0, 4), np.float32),
        "big": np.arange(5, dtype=">u4"),
    },
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    network = pico()
    payload = svd.fit(read_field(network), 300, MineConfig(kind="svd"))
    write_dna(tmp_path / "pico.safetensors", network=network, kind="svd", payload=payload)
    return tmp_path / "pico.safetensors"


@pytest.mark.parametrize("payload", [ODD, Payload({}, {})], ids=["odd", "empty"])
@pytest.mark.parametrize("network", [pico(), menagerie()], ids=["pico", "menagerie"])
def test_dna_and_back_is_the_identity(network: Network, payload: Payload, tmp_path: Path):
    size = write_dna(tmp_path / "x", network=network, kind="svd", payload=payload)
    dna = read_dna(tmp_path / "x")
    assert dna.anatomy == network.anatomy
    assert (dna.kind, dna.header.network, dna.header.fingerprint) == ("svd", network.name, network.fingerprint)
    assert dna.payload.params == payload.params
    assert set(dna.payload.sections) == set(payload.sections)
    for name, section in payload.sections.items():
        found = dna.payload.sections[name]
        assert found.shape == section.shape
        assert found.dtype == section.dtype.newbyteorder("=")
        assert np.array_equal(found, section)
    stat = (tmp_path / "x").stat()
    assert stat.st_size == size == dna.nbytes == file_size(network=network, kind="svd", payload=payload)
    assert stat.st_mode & 0o777 == 0o644


def test_the_file_is_byte_by_byte_what_the_official_writer_makes(file: Path):
    with safe_open(file, framework="numpy") as container:
        metadata = container.metadata()
    assert list(metadata) == ["dna"]
    assert file.read_bytes() == save(load_file(file), metadata)


def test_the_same_arguments_give_the_same_bytes(file: Path, tmp_path: Path):
    dna = read_dna(file)
    write_dna(tmp_path / "again", network=pico(), kind="svd", payload=dna.payload)
    assert (tmp_path / "again").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("length", range(0, 40, 3))
def test_the_size_is_foretold_for_every_length_of_a_name(length: int, tmp_path: Path):
    network = network_of({"a": torch.zeros(3, 3)}, name="n" * (length + 1))
    payload = Payload({}, {"s": np.zeros(length, np.uint8)})
    write_dna(tmp_path / "x", network=network, kind="svd", payload=payload)
    assert (tmp_path / "x").stat().st_size == file_size(network=network, kind="svd", payload=payload)


def test_verify_rebuilds_every_tensor(file: Path):
    assert [name for name, _ in rebuild(verify(file, KINDS), KINDS)] == [t.name for t in pico().anatomy]


def test_sections_that_do_not_make_the_tensors_are_refused(tmp_path: Path):
    write_dna(tmp_path / "x", network=pico(), kind="svd", payload=Payload({}, {}))
    with pytest.raises(ArtifactError, match="section 'svd.ranks' is missing"):
        verify(tmp_path / "x", KINDS)
    with pytest.raises(ArtifactError, match="does not make tensor '0.weight'"):
        verify(tmp_path / "x", {"svd": type(svd.KIND)(svd.fit, lambda payload, anatomy: iter(()))})


def _mutants(data: bytes, count: int) -> Iterator[bytes]:
    """Flips of bits, truncations, splices, and edits of the header that keep it JSON."""
    rng = random.Random(0)
    header_end = 8 + int.from_bytes(data[:8], "little")
    digits = [i for i in range(8, header_end) if chr(data[i]).isalnum()]
    for i in range(count):
        mutant = bytearray(data)
        at, other = rng.randrange(len(data)), rng.randrange(len(data))
        match i % 8:
            case 0 | 1:
                mutant[at] ^= 1 << rng.randrange(8)
            case 2:
                mutant[rng.randrange(8 if i % 3 else header_end)] ^= 1 << rng.randrange(8)
            case 3:
                mutant = mutant[:at]
            case 4:
                mutant[at:at] = data[other : other + rng.randrange(1, 64)]
            case 5:
                length = rng.randrange(1, 64)
                mutant[at : at + length] = data[other : other + length]
            case 6:
                for _ in range(rng.randrange(1, 4)):
                    mutant[rng.choice(digits)] = ord(rng.choice("0123456789abcdef"))
            case 7:
                del mutant[at : at + rng.randrange(1, 64)]
        yield bytes(mutant)


def test_twenty_thousand_mutants_are_refused(file: Path, tmp_path: Path):
    data = file.read_bytes()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with (tmp_path / "mutant").open("wb", buffering=0) as stream:
        for mutant in _mutants(data, 20_000):
            if mutant == data:
                continue
            stream.seek(0)
            stream.write(mutant)
            stream.truncate()
            with pytest.raises(ArtifactError) as caught:
                read_dna(tmp_path / "mutant")
            assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


@pytest.mark.parametrize("extra", [b"\0", b" ", b"x" * 100])
def test_trailing_bytes_are_refused(file: Path, extra: bytes):
    file.write_bytes(file.read_bytes() + extra)
    with pytest.raises(ArtifactError):
        read_dna(file)


def test_a_table_in_other_words_is_refused(file: Path):
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    table = json.dumps(json.loads(data[8 : 8 + length]), indent=1).encode()
    file.write_bytes(len(table).to_bytes(8, "little") + table + data[8 + length :])
    with pytest.raises(ArtifactError, match="table was altered"):
        read_dna(file)


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path):
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ArtifactError, match="ordinary safetensors file, not a DNA"):
        read_dna(tmp_path)


@pytest.mark.parametrize("size", [0, 7, 8, 9, 10_000])
@pytest.mark.parametrize("byte", [b"\0", b"\xff", b"{"])
def test_bytes_that_are_no_safetensors_are_refused(size: int, byte: bytes, tmp_path: Path):
    (tmp_path / "x").write_bytes(byte * size)
    with pytest.raises(ArtifactError, match="not a safetensors file"):
        read_dna(tmp_path / "x")


def test_a_bomb_is_refused_before_anything_is_allocated(tmp_path: Path):
    network = network_of({"a": torch.zeros(1).expand(1 << 20, 1 << 16)})
    write_dna(tmp_path / "x", network=network, kind="svd", payload=Payload({}, {}))
    with pytest.raises(ArtifactError, match="declares tensors of 274,877,906,944 bytes"):
        read_dna(tmp_path / "x")


def test_a_sparse_file_over_the_limit_is_refused_unread(file: Path):
    os.truncate(file, 1 << 40)
    with pytest.raises(ArtifactError, match="1,099,511,627,776 bytes, the limit is"):
        read_dna(file)


@pytest.mark.parametrize("place", ["missing", "empty folder", "link", "dangling link", "pipe", "NUL"])
def test_what_is_no_file_is_refused(place: str, file: Path, tmp_path: Path):
    path = tmp_path / "place"
    match place:
        case "empty folder":
            path.mkdir()
        case "link":
            path.symlink_to(file)
        case "dangling link":
            path.symlink_to(tmp_path / "nowhere")
        case "pipe":
            os.mkfifo(path)
        case "NUL":
            path = Path("a\0b")
    with pytest.raises(ArtifactError, match="not a file|cannot be read|not a path"):
        read_dna(path)


def test_no_space_leaves_nothing_behind_and_the_old_file_whole(file: Path):
    old = file.read_bytes()
    payload = Payload({}, {"s": np.zeros(1 << 20, np.uint8)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(SpaceError, match="pico.safetensors: no space left"):
            write_dna(file, network=pico(), kind="svd", payload=payload)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(file.parent) == [file.name]
    assert file.read_bytes() == old

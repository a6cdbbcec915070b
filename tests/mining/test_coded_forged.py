"""Whatever a coded DNA says whose checksums are right: it is refused in one line, or it is some network."""

import tracemalloc
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_networks import network_of

from dna_ray.errors import ArtifactError
from dna_ray.mining import coded
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import read_field
from dna_ray.mining.kind import Payload
from dna_ray.networks import Anatomy, Network

SECTIONS = ("lengths", "prices", "moves", "rows", "cols", "middles", "bases", "streams")
LARGEST = 64 << 20  # bytes that are allocated for a network of a few kilobytes


def _network() -> Network:
    """Two lengths of row, a transform, an outlier beyond every table, a row with low bits of their own."""
    generator = torch.Generator().manual_seed(0)
    tall = torch.randn(300, 1, generator=generator) @ torch.randn(1, 6, generator=generator)
    wide = torch.randn(8, 12, generator=generator)
    wide[3, 3], wide[5] = 300, 900 * wide[5]
    return network_of(
        {
            "bias": torch.randn(12, generator=generator),
            "tall": tall + 0.01 * torch.randn(300, 6, generator=generator),
            "white": torch.randn(20, 6, generator=generator),
            "wide": wide,
        },
        kinds={"bias": "bias"},
    )


@cache
def _whole() -> tuple[Payload, Anatomy]:
    payload = coded.fit(read_field(_network()), 1400, MineConfig(kind="coded", effort=8))
    assert payload.params["turned"] == [0, -1, -1]
    assert {f"coded.{name}" for name in SECTIONS} < set(payload.sections)
    return payload, _network().anatomy


def _ends_well(payload: Payload, anatomy: Anatomy) -> bool:
    """Whether it is a network; False where it is refused. Whatever else is raised, goes through."""
    found, refusal = {}, ""
    try:
        found = dict(coded.decode(payload, anatomy))
    except ArtifactError as error:
        refusal = str(error)
    assert "\n" not in refusal
    if refusal:
        return False
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {t.name: t.shape for t in anatomy}
    assert all(torch.isfinite(tensor).all() for tensor in found.values())
    return True


def _with(section: str, values: NDArray[Any]) -> Payload:
    payload, _ = _whole()
    return Payload(payload.params, {**payload.sections, section: values})


def _flipped(section: NDArray[Any], every: int) -> Iterator[NDArray[Any]]:
    for bit in range(0, 8 * section.nbytes, every):
        raw = np.frombuffer(section.tobytes(), np.uint8).copy()
        raw[bit // 8] ^= np.uint8(1 << bit % 8)
        yield raw.view(section.dtype)


def test_what_was_written_is_a_network():
    assert _ends_well(*_whole())


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_with_a_flipped_bit_is_refused_or_a_network(name: str):
    payload, anatomy = _whole()
    section = payload.sections[f"coded.{name}"]
    every = max(1, 8 * section.nbytes // 150) | 1  # odd, so that each bit of a byte has its turn
    for mutant in _flipped(section, every):
        _ends_well(_with(f"coded.{name}", mutant), anatomy)


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_cut_anywhere_or_with_a_tail_is_refused(name: str):
    payload, anatomy = _whole()
    section = payload.sections[f"coded.{name}"]
    for length in range(0, len(section), max(1, len(section) // 60)):
        assert not _ends_well(_with(f"coded.{name}", section[:length]), anatomy)
    assert not _ends_well(_with(f"coded.{name}", np.concatenate([section, section])), anatomy)


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_that_is_missing_or_of_another_dtype_is_refused(name: str):
    payload, anatomy = _whole()
    section = payload.sections[f"coded.{name}"]
    others = {key: values for key, values in payload.sections.items() if key != f"coded.{name}"}
    assert not _ends_well(Payload(payload.params, others), anatomy)
    assert not _ends_well(_with(f"coded.{name}", section.astype(np.float64)), anatomy)
    assert not _ends_well(_with(f"coded.{name}", section.astype(">u8")), anatomy)


@pytest.mark.parametrize("name", SECTIONS)
@pytest.mark.parametrize("byte", [0x00, 0x01, 0x7F, 0x80, 0xFF])
def test_a_section_of_one_byte_over_and_over_is_refused_or_a_network(name: str, byte: int):
    payload, anatomy = _whole()
    section = payload.sections[f"coded.{name}"]
    _ends_well(_with(f"coded.{name}", np.full(section.nbytes, byte, np.uint8).view(section.dtype)), anatomy)


def test_sections_of_noise_are_refused_or_a_network():
    payload, anatomy = _whole()
    rng = np.random.default_rng(0)
    for turn in range(240):
        section = payload.sections[name := f"coded.{SECTIONS[turn % len(SECTIONS)]}"]
        raw = np.frombuffer(section.tobytes(), np.uint8).copy()
        start = int(rng.integers(len(raw)))
        raw[start : start + int(rng.integers(1, 20))] = rng.integers(0, 256)
        _ends_well(_with(name, raw.view(section.dtype)), anatomy)


FORGED: list[Mapping[str, Any]] = [
    *({"turned": value} for value in (None, [], [0], "0--", {}, [0, -1], [0, -1, -1, -1], [0, True, -1])),
    *({"turned": value} for value in ([0, -1.0, -1], [0, -2, -1], [1, -1, -1], [0, 2, -1], [0, -1, 0], [None] * 3)),
    *({"turned": [0, -1, value]} for value in (1 << 40, 1 << 62, 1 << 200)),
    *({"step": value} for value in (None, 0.0, -1.0, 1, "1", True, 1e-31, 1e31, float("nan"), float("inf"))),
    *({"states": value} for value in (None, 0, 3, 512, 1 << 80, 8.0, "8", True, [8])),
    *({"words": value} for value in (None, [], 3, [1], [1, -1], [1.0, 2.0], [True, True], ["1", "2"], [1, 2, 3])),
    *({"words": [value, 0]} for value in (0, 1, 1 << 40, 1 << 62, 1 << 200)),
]


@pytest.mark.parametrize("changed", FORGED, ids=[f"{i}" for i in range(len(FORGED))])
def test_params_that_cannot_be_are_refused(changed: Mapping[str, Any]):
    payload, anatomy = _whole()
    tracemalloc.start()
    try:
        assert not _ends_well(Payload({**payload.params, **changed}, payload.sections), anatomy)
        assert tracemalloc.get_traced_memory()[1] < LARGEST
    finally:
        tracemalloc.stop()


def test_other_params_that_could_be_are_refused_or_a_network():
    payload, anatomy = _whole()
    first, second = payload.params["words"]
    changes: list[Mapping[str, Any]] = [
        *({"states": states} for states in (4, 16, 256)),
        *({"step": payload.params["step"] * factor} for factor in (0.5, 1.01, 2.0, 1e3, 1e-3)),
        *({"step": step} for step in (1.1e-30, 9e29)),
        *({"words": [first + n, second - n]} for n in (-first, -1, 1, second)),
        *({"turned": turned} for turned in ([-1, 0, -1], [0, 0, -1], [-1, -1, -1])),
    ]
    for changed in changes:
        _ends_well(Payload({**payload.params, **changed}, payload.sections), anatomy)


@pytest.mark.parametrize("shape", [(2, 3_000_000), (5000, 9000), (6, 7)])
def test_a_transform_that_is_larger_than_what_it_turns_is_refused_before_it_is_made(shape: tuple[int, int]):
    payload, _ = _whole()
    anatomy = network_of({"a": torch.zeros(1).expand(shape)}).anatomy
    tracemalloc.start()
    try:
        forged = Payload({**payload.params, "turned": [0]}, payload.sections)
        assert not _ends_well(forged, anatomy)
        assert tracemalloc.get_traced_memory()[1] < LARGEST
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(300, 7), (301, 6), (6, 300), (3, 6)])
def test_sections_for_another_shape_are_refused(shape: tuple[int, int]):
    payload, anatomy = _whole()
    tensors = {info.name: torch.zeros(info.shape) for info in anatomy} | {"tall": torch.zeros(shape)}
    assert not _ends_well(payload, network_of(tensors, kinds={"bias": "bias"}).anatomy)

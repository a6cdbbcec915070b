from dataclasses import replace
from pathlib import Path

import pytest
import small_subjects as small
import torch

from dna_ray.errors import ArtifactError
from dna_ray.evolution.judging.evaluator import Evaluator
from dna_ray.evolution.space import Space
from dna_ray.evolution.sparsity.pruner import Pruned, Pruner
from dna_ray.evolution.sparsity.sparse import load_masks, save_masks, sparsified
from dna_ray.evolution.subject.subject import Subject, prepare
from dna_ray.networks import fingerprint_of, load, save


@pytest.fixture(params=small.KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def pruned_by(agent: object, of: Subject, space: Space) -> Pruned:
    return Pruner(of.layers, of.matrices, of.statistics).prune(agent, space.kept(agent))  # type: ignore[arg-type]


def test_a_sparse_network_is_saved_as_an_ordinary_folder(kind: str, tmp_path: Path):
    of = small.subject(kind)
    space = small.space(of, 0.6)
    agent, before = small.agents(space)[1], small.state(of)
    pruned = pruned_by(agent, of, space)
    sparse = sparsified(of, agent, pruned)
    folder = save(
        ((info.name, sparse.read(info.name)) for info in sparse.anatomy),
        tmp_path / "sparse",
        anatomy=sparse.anatomy,
        config=sparse.config,
        files=sparse.files,
    )
    again = load(folder)
    assert small.same(small.state(of), before)
    assert again.fingerprint == sparse.fingerprint == fingerprint_of(again.anatomy, again.read)
    assert again.fingerprint != of.network.fingerprint
    for info in again.anatomy:
        if info.name in pruned.masks:
            assert torch.equal(
                again.read(info.name).reshape(pruned.masks[info.name].shape) != 0, pruned.masks[info.name]
            )
        elif info.kind != "buffer":
            assert torch.equal(again.read(info.name), of.network.read(info.name))


@pytest.mark.parametrize("repair", ["none", "scale", "batch-norm"])
def test_what_is_saved_answers_as_was_evaluated(kind: str, repair: str):
    of = small.subject(kind)
    space = small.space(of, 0.6)
    agent = replace(small.agents(space)[1], repair=repair)
    network = sparsified(of, agent, pruned_by(agent, of, space))
    again = prepare(network, small.settings())
    with of.replaced(pruned_by(agent, of, space).matrices, repair=repair):
        expected = of.answer(of.search).features
    assert torch.equal(again.answer(of.search).features, expected)


def test_masks_and_their_agent_come_back(kind: str, tmp_path: Path):
    of = small.subject(kind)
    space = small.space(of)
    agent = small.agents(space)[1]
    masks = pruned_by(agent, of, space).masks
    path = save_masks(tmp_path / "masks.safetensors", agent, masks)
    found, read = load_masks(path)
    assert found == agent
    assert small.same(read, masks)
    assert path.stat().st_size < sum(mask.numel() for mask in masks.values()) / 8 + 20_000


def test_a_file_without_masks_is_refused(tmp_path: Path):
    (tmp_path / "other").write_bytes(b"nothing of the sort")
    with pytest.raises(ArtifactError, match="holds no masks"):
        load_masks(tmp_path / "other")
    with pytest.raises(ArtifactError, match="holds no masks"):
        load_masks(tmp_path / "missing")


def test_masks_are_those_that_were_evaluated(kind: str):
    of = small.subject(kind)
    space = small.space(of)
    agent = small.agents(space)[0]
    kept = sum(int(mask.sum()) for mask in pruned_by(agent, of, space).masks.values())
    assert Evaluator(of, space).evaluate([agent])[0].kept == kept

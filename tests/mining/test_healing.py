"""Healing of a tiny BERT, in this process."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from healing_fixture import STEPS, Ward, make_ward

from dna_ray.errors import ArtifactError
from dna_ray.mining import checkpoints, coded, healing
from dna_ray.mining.config import MineConfig
from dna_ray.mining.dna import read_dna
from dna_ray.mining.healing import Healed, HealJob

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    return make_ward(tmp_path_factory.mktemp("ward"))


def _healed(job: HealJob, **how: object) -> list[Healed]:
    return list(healing.heal(job, device=CPU, **how))  # type: ignore[arg-type]


def test_the_network_comes_nearer_to_the_original(ward: Ward):
    job = ward.job("nearer", steps=4 * STEPS)
    steps = _healed(job)
    first, last = steps[: STEPS // 2], steps[-STEPS // 2 :]
    assert sum(step.loss for step in last) < 0.9 * sum(step.loss for step in first)
    assert steps[-1].last
    assert [step.number for step in steps] == list(range(1, 4 * STEPS + 1))


def test_it_starts_as_far_from_the_original_as_the_file(ward: Ward):
    student = ward.student("start")
    student.look(ward.team)
    rebuilt, seen = dict(coded.decode(ward.payload, ward.field.anatomy)), dict(student.module.named_parameters())
    for name in student.latents:
        original = ward.field.read(name)
        far, file_far = (float((each - original).square().mean()) for each in (seen[name].detach(), rebuilt[name]))
        assert far == pytest.approx(file_far, rel=0.1), name


def test_tables_of_embeddings_do_not_learn(ward: Ward):
    student = ward.student("tables")
    assert not any("embeddings" in name for name in student.latents)
    assert any("LayerNorm" in name for name in student.vectors)


def test_stopping_saves_and_the_next_run_ends_with_the_same_bits(ward: Ward):
    straight, broken = ward.job("straight"), ward.job("broken")
    _healed(straight)
    seen = _healed(broken, stopping=lambda: len(checkpoints.saved_steps(broken.checkpoints)) > 0)
    assert [step.number for step in seen] == [1, 2, 3, 4], "it stops where it would round afresh"
    assert seen[-1].stopped
    assert healing.result(broken) is None
    _healed(broken)
    one, other = healing.result(straight), healing.result(broken)
    assert one is not None
    assert other is not None
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_is_finished_is_not_healed_again(ward: Ward):
    job = ward.job("finished")
    _healed(job)
    assert _healed(job) == []


def test_a_checkpoint_of_other_texts_is_refused(ward: Ward):
    job = ward.job("texts")
    tokens = replace(job.tokens, ids=job.tokens.ids[1:])
    with pytest.raises(ArtifactError, match="another plan"):
        _healed(replace(job, tokens=tokens))


def test_the_healed_network_fits_the_same_budget(ward: Ward):
    job = ward.job("budget")
    _healed(job)
    healed = healing.result(job)
    assert healed is not None
    moved = replace(ward.field, read=lambda name: healed.get(name, ward.field.read(name)))
    before = read_dna(job.start).payload
    config = MineConfig(effort=8)
    fed = healing.feedback(job)

    def feedback(number: int) -> np.ndarray | None:
        matrix = fed.get(ward.field.anatomy.matrices[number].name)
        return None if matrix is None else matrix.numpy()

    after = coded.refit(moved, before.nbytes, config, before, feedback)
    assert 0.99 * before.nbytes <= after.nbytes <= before.nbytes


def test_each_worker_reads_its_part_of_the_same_texts(ward: Ward):
    job = ward.job("parts")
    whole = healing._texts(job, 3, ward.team).ids
    parts = [healing._texts(job, 3, ward.worker(rank, of=2)).ids for rank in range(2)]
    assert sorted(whole) == sorted(parts[0] + parts[1])

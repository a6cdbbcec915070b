"""Two processes that heal together over gloo, without Ray."""

import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

sys.path.insert(0, str(Path(__file__).parents[1] / "mining"))  # spawned processes import this file, and not conftest

from healing_fixture import Ward, make_ward  # noqa: E402

from dna_ray.distributed.team import TorchTeam  # noqa: E402
from dna_ray.mining import healing  # noqa: E402
from dna_ray.mining.healing import HealJob  # noqa: E402

STEPS = 2


def _heal(rank: int, folder: Path, job: HealJob) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=(folder / "meeting").as_uri(), rank=rank, world_size=2)
    steps = list(healing.heal(job, device=torch.device("cpu"), team=TorchTeam(torch.device("cpu"))))
    torch.save([(step.loss, step.cosine) for step in steps], folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    return make_ward(tmp_path_factory.mktemp("ward"))


def test_two_workers_heal_as_one_process_would(ward: Ward, tmp_path: Path):
    alone, together = ward.job("alone", steps=STEPS), ward.job("together", steps=STEPS)
    losses = [(step.loss, step.cosine) for step in healing.heal(alone, device=torch.device("cpu"))]
    mp.spawn(_heal, (tmp_path, together), nprocs=2)
    seen = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    assert seen[0] == seen[1]
    for one, two in zip(losses, seen[0], strict=True):
        assert two == pytest.approx(one, rel=2e-2)  # bfloat16 rounds otherwise in other batches, and codes follow
    one, two = healing.result(alone), healing.result(together)
    assert one is not None
    assert two is not None
    assert all(torch.allclose(one[name], two[name], atol=1e-2) for name in one)

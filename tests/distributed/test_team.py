"""Two processes that train together over gloo, without Ray."""

import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

sys.path.insert(0, str(Path(__file__).parents[1] / "mining"))  # spawned processes import this file, and not conftest

from sine_fixture import Bench, bench  # noqa: E402

from dna_ray.distributed.team import TorchTeam  # noqa: E402
from dna_ray.mining.blocks import Block  # noqa: E402
from dna_ray.mining.config import MineConfig  # noqa: E402
from dna_ray.mining.fit import Training, fit, loss_of, seed_of  # noqa: E402

STEPS = 3
CONFIG = MineConfig(kind="hierarchical", coordinates="index", dtype="float32")


def _train(rank: int, folder: str) -> None:
    """One of two workers: trains, and saves what it has then."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    ready = bench(CONFIG)
    training = ready.training()
    team = TorchTeam(torch.device("cpu"))
    steps = list(fit(training, ready.sampler(rank, of=2), replace(ready.schedule, steps=STEPS), team=team))
    torch.save(
        {
            "state": training.functions.state_dict(),
            "losses": [step.loss for step in steps],
            "agreed": team.agree(7 + rank),
        },
        f"{folder}/{rank}.pt",
    )
    dist.destroy_process_group()


def _in_one_process(ready: Bench) -> tuple[Training, list[float]]:
    """The same steps by hand, on the blocks that both workers see."""
    training, losses = ready.training(), []
    schedule = replace(ready.schedule, steps=STEPS)
    samplers = [ready.sampler(rank, of=2) for rank in range(2)]
    parameters = list(training.functions.parameters())
    for step in range(1, STEPS + 1):
        seeds = [seed_of(schedule.seed, step, rank) for rank in range(2)]
        blocks = [s.sample(torch.Generator().manual_seed(seed)) for s, seed in zip(samplers, seeds, strict=True)]
        joined = Block(*(torch.cat([getattr(b, name) for b in blocks], 1) for name in Block.__dataclass_fields__))
        loss = loss_of(training.functions, joined)
        loss.backward()
        losses.append(loss.item())
        torch.nn.utils.clip_grad_norm_(parameters, schedule.clip_norm)
        for group in training.optimizer.param_groups:
            group["lr"] = schedule.rate(step) * group["scale"]
        training.optimizer.step()
        training.optimizer.zero_grad()
    return training, losses


def test_two_workers_train_as_one_process_would_on_the_points_of_both(tmp_path: Path):
    mp.spawn(_train, args=(str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert first["agreed"] == second["agreed"] == 7
    assert first["losses"] == second["losses"]
    training, losses = _in_one_process(bench(CONFIG))
    assert torch.allclose(torch.tensor(first["losses"]), torch.tensor(losses), rtol=1e-4)
    for name, value in training.functions.state_dict().items():
        assert torch.equal(first["state"][name], second["state"][name])  # not a bit apart
        assert torch.allclose(first["state"][name], value, rtol=1e-3, atol=1e-4)

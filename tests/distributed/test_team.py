"""Two processes that train together over gloo, without Ray."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "mining"))  # spawned processes import this file, and not conftest

from sine_fixture import Bench, bench  # noqa: E402

from dna_ray.distributed.team import TorchTeam  # noqa: E402
from dna_ray.mining import checkpoints  # noqa: E402
from dna_ray.mining.blocks import Block  # noqa: E402
from dna_ray.mining.config import MineConfig  # noqa: E402
from dna_ray.mining.fit import Schedule, Training, fit, loss_of, seed_of  # noqa: E402

STEPS, SAVED = 4, 2
CONFIGS = {
    "index": MineConfig(kind="hierarchical", coordinates="index", dtype="float32"),
    "learned": MineConfig(kind="hierarchical", dtype="float32"),
}


def _schedule(ready: Bench) -> Schedule:
    """So short a gradient that it is clipped in every step."""
    return replace(ready.schedule, steps=STEPS, clip_norm=1e-3)


def _train(rank: int, folder: Path, config: MineConfig) -> None:
    """One of two workers: trains, then again from the middle on, and saves what it has then."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=(folder / "meeting").as_uri(), rank=rank, world_size=2)
    ready, team = bench(config), TorchTeam(torch.device("cpu"))
    straight, losses = ready.training(rank, of=2), []
    for step in fit(straight, ready.sampler(rank, of=2), _schedule(ready), team=team):
        losses.append(step.loss)
        if step.number == SAVED:
            checkpoints.save_training(folder / "middle", straight, plan="p", team=team)
    checkpoints.save_training(folder / "straight", straight, plan="p", team=team)
    again = ready.training(rank, of=2)
    checkpoints.resume(folder / "middle", SAVED, again, plan="p")
    list(fit(again, ready.sampler(rank, of=2), _schedule(ready), team=team))
    checkpoints.save_training(folder / "again", again, plan="p", team=team)
    common = {"network": straight.functions.network.state_dict(), "places": straight.functions.shared_places()}
    torch.save({"common": common, "losses": losses, "agreed": team.agree(7 + rank)}, folder / f"{rank}.pt")
    dist.destroy_process_group()


def _in_one_process(ready: Bench) -> tuple[Training, list[float]]:
    """The same steps by hand, on the blocks that both workers see."""
    training, losses, schedule = ready.training(), [], _schedule(ready)
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


@pytest.fixture(scope="module", params=CONFIGS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[MineConfig, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    mp.spawn(_train, args=(folder, CONFIGS[request.param]), nprocs=2)
    return CONFIGS[request.param], folder


def test_two_workers_train_as_one_process_would_on_the_points_of_both(trained: tuple[MineConfig, Path]):
    config, folder = trained
    training, losses = _in_one_process(bench(config))
    found = torch.load(folder / "0.pt")["losses"]
    assert torch.allclose(torch.tensor(found), torch.tensor(losses), rtol=1e-4)
    state = checkpoints.functions_state(folder / "straight", STEPS)
    for name, value in training.functions.state_dict().items():
        assert torch.allclose(state[name], value, rtol=1e-3, atol=1e-4)


def test_what_both_hold_is_not_a_bit_apart(trained: tuple[MineConfig, Path]):
    first, second = (torch.load(trained[1] / f"{rank}.pt") for rank in range(2))
    assert first["agreed"] == second["agreed"] == 7
    assert first["losses"] == second["losses"]
    for one, other in zip(_tensors(first["common"]), _tensors(second["common"]), strict=True):
        assert torch.equal(one, other)


def test_resumed_together_they_end_with_the_same_bits(trained: tuple[MineConfig, Path]):
    assert _same_bits(trained[1] / "straight", trained[1] / "again")


def test_one_process_goes_on_from_the_checkpoint_of_two(trained: tuple[MineConfig, Path]):
    config, folder = trained
    alone = bench(config).training()
    checkpoints.resume(folder / "straight", STEPS, alone, plan="p")
    checkpoints.save_training(folder / "alone", alone, plan="p")
    assert _same_bits(folder / "straight", folder / "alone")


def _tensors(common: dict[str, object]) -> list[Tensor]:
    return [*common["network"].values(), *common["places"]]  # type: ignore[attr-defined, misc]


def _same_bits(one: Path, other: Path) -> bool:
    """Of everything in the last checkpoint."""
    first, second = (load_file(folder / f"step-{STEPS:09d}.safetensors") for folder in (one, other))
    assert any(name.startswith("optimizer.") for name in first)
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())

"""A tiny BERT whose codes are to be healed, and what it reads."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import BertConfig, BertModel

from dna_ray.mining import checkpoints, coded, healing
from dna_ray.mining.config import MineConfig
from dna_ray.mining.dna import write_dna
from dna_ray.mining.field import Field, read_field
from dna_ray.mining.fit import ALONE, Team
from dna_ray.mining.healing import HealingPlan, HealJob
from dna_ray.mining.kind import Payload
from dna_ray.mining.student import Student, start_state
from dna_ray.networks import Network, load
from dna_ray.tasks import TaskSettings
from dna_ray.tasks.features import Tokens
from dna_ray.tasks.sensitivity import PARTS, Sensitivity, combined, sums_of

STEPS, RATIO = 6, 12
BERT = BertConfig(
    hidden_size=48,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=96,
    vocab_size=100,
    max_position_embeddings=32,
)


@dataclass
class Worker:
    """A member of a team that adds nothing up: who it is, is all that it knows."""

    rank: int
    size: int

    def add(self, tensors: list[torch.Tensor]) -> None:
        pass

    def agree(self, number: int) -> int:
        return number


@dataclass
class Ward:
    """The network, its coded payload, and jobs that heal it."""

    folder: Path
    network: Network
    field: Field
    payload: Payload
    known: dict[str, Sensitivity]
    tokens: Tokens
    team: Team = ALONE

    def job(self, name: str, *, steps: int = STEPS) -> HealJob:
        """A job of its own, laid out."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        write_dna(folder / "start.safetensors", network=self.network, kind="coded", payload=self.payload)
        job = HealJob(
            network=self.folder / "original",
            start=folder / "start.safetensors",
            checkpoints=folder / "checkpoints",
            tokens=self.tokens,
            plan=HealingPlan(steps=steps, texts=8),
        )
        healing.lay_out(job, start_state(self.field, self.payload, self.known))
        return job

    def student(self, name: str) -> Student:
        """The student of a new job at its start."""
        job = self.job(name)
        tensors, _ = checkpoints.read(job.checkpoints, 0)
        return Student(self.network, job.start, tensors, healing.feedback(job), device=torch.device("cpu"))

    def worker(self, rank: int, *, of: int) -> Team:
        return Worker(rank, of)


def make_ward(folder: Path) -> Ward:
    """A random network; calibrated and coded."""
    torch.manual_seed(0)
    BertModel(BERT).save_pretrained(folder / "original")
    network = load(folder / "original")
    field = read_field(network)
    lengths = torch.randint(5, 12, (60,)).tolist()
    tokens = Tokens(tuple(tuple(torch.randint(1, BERT.vocab_size, (n,)).tolist()) for n in lengths), 0)
    settings = TaskSettings(batch_size=20)
    known = combined(network, [sums_of(network, tokens, part, settings) for part in range(PARTS)])
    budget = network.anatomy.fp32_bytes // RATIO
    payload = coded.fit(field, budget, MineConfig(effort=8), known=known)
    return Ward(folder, network, field, payload, dict(known), tokens)

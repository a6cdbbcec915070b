"""A small network, its plan and everything that training needs of it."""

from dataclasses import dataclass

import torch
from small_networks import stack

from dna_ray.mining import sines, start
from dna_ray.mining.blocks import BlockSampler
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import Field, read_field
from dna_ray.mining.fit import Schedule, Training, prepare
from dna_ray.mining.functions import assemble
from dna_ray.mining.holding import holding
from dna_ray.mining.plan import SinePlan
from dna_ray.mining.siren import Precision
from dna_ray.mining.tiles import Tile, cut, shard, tiles


@dataclass(frozen=True)
class Bench:
    """A field with a plan, from which any number of equal trainings start."""

    field: Field
    config: MineConfig
    shape: SinePlan

    @property
    def schedule(self) -> Schedule:
        return sines.schedule_for(self.shape, self.field.anatomy, self.config)

    @property
    def tiles(self) -> list[Tile]:
        return tiles(self.shape.bands(self.field.anatomy), side=16)

    def training(self, rank: int = 0, *, of: int = 1) -> Training:
        """At the start, with the places that this rank holds."""
        held = holding(self.tiles, self.field.anatomy, rank, of=of)
        whole, own = (
            assemble(self.shape, self.field.anatomy, Precision(), seed=self.config.seed, held=part)
            for part in (None, held)
        )
        sines.start_functions(whole, self.shape, self.field, start.statistics(self.field))
        parts = own.parts()
        own.load_state_dict(
            {name: parts[name].of(value) if name in parts else value for name, value in whole.state_dict().items()}
        )
        return prepare(own)

    def sampler(self, rank: int = 0, *, of: int = 1) -> BlockSampler:
        return sines.sampler_for(
            cut(self.field, [self.tiles[i] for i in shard(self.tiles, rank, of=of)]),
            self.shape,
            self.field.anatomy,
            start.statistics(self.field),
            self.schedule,
            device=torch.device("cpu"),
            workers=of,
        )


def bench(config: MineConfig, *, layers: int = 2) -> Bench:
    field = read_field(stack(layers))
    return Bench(field, config, sines.plan_for(field, 3000, config))

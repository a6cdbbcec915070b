"""What training and rebuilding will cost: operations, memory and disk, from shapes alone."""

from dataclasses import dataclass
from itertools import pairwise

from dna_ray.mining import groups, sines
from dna_ray.mining.config import MineConfig
from dna_ray.mining.plan import SinePlan
from dna_ray.networks import Anatomy

_OVERHEAD = 100 * 2**20  # bytes of a worker beyond tiles, functions and one batch


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """An estimate for one sine kind.

    Attributes:
        functions: Number of functions.
        parameters: Of one function.
        places: Numbers that say where rows and columns are.
        steps: Steps of training.
        points: Coordinates that a step sees, over all workers.
        training_flops: Operations of the products of all training, forward and backward.
        rebuild_flops: Operations of a rebuild.
        worker_bytes: Memory of one worker above that of an idle one.
        disk_bytes: Tile store and checkpoints.
    """

    functions: int
    parameters: int
    places: int
    steps: int
    points: int
    training_flops: float
    rebuild_flops: float
    worker_bytes: int
    disk_bytes: int


def cost(shape: SinePlan, anatomy: Anatomy, config: MineConfig, *, workers: int) -> Cost:
    """What this plan costs with so many workers; 0 workers are one process."""
    team = max(1, workers)
    count = groups.count(shape.bands(anatomy))
    schedule = sines.schedule_for(shape, anatomy, config)
    points = count * schedule.blocks * schedule.side**2
    places = 0 if shape.dims is None else shape.place_dim * sum(sum(i.matrix_shape) for i in anatomy.matrices)
    each = sum(_point_flops(widths) for widths in shape.widths)
    tiles = 4 * anatomy.weights
    trained = 4 * (places + count * shape.parameters())
    return Cost(
        functions=count,
        parameters=shape.parameters(),
        places=places,
        steps=schedule.steps,
        points=points,
        training_flops=3.0 * each * points * schedule.steps,
        rebuild_flops=1.0 * each * anatomy.weights,
        worker_bytes=tiles // team + 4 * trained + 4 * _activations(shape, points) // team + _OVERHEAD,
        disk_bytes=tiles + (1 + 3 * 2) * trained,
    )


def _point_flops(widths: tuple[int, ...]) -> int:
    """Operations of one point of one band: a first layer is shared by rows and columns, its sum is a product of 2h."""
    if len(widths) == 1:
        return 4 * widths[0]
    return 6 * widths[0] + sum(2 * n * m for n, m in pairwise(widths)) + 2 * widths[-1]


def _activations(shape: SinePlan, points: int) -> int:
    """Numbers that a step keeps for its backward pass: sine and cosine of every unit, where points are materialised."""
    deep = sum(2 * sum(widths) for widths in shape.widths if len(widths) > 1)
    return points * (deep + 4)

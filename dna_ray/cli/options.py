"""Options that set a field of a recipe: each shows the dataclass's default, and has no value unless it is given."""

import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from dna_ray.evolution.comparison.config import METHODS, OURS, ComparisonConfig
from dna_ray.evolution.subject.subject_settings import SIGNAL_NAMES
from dna_ray.mining.config import (
    CALIBRATIONS,
    COORDINATES,
    DEFAULT_RATIO,
    GROUPS,
    KIND_NAMES,
    PRODUCT_DTYPES,
    MineConfig,
)
from dna_ray.models.precision import PRECISIONS
from dna_ray.recipe import CompareEvolutionWhat, CompareWhat, EvolveHow, MineHow, MineWhat, default_of
from dna_ray.tasks.config import TASK_NAMES

Command = TypeVar("Command", bound=Callable[..., Any])
TYPES: dict[type, Any] = {int: click.INT, float: click.FLOAT, str: click.STRING}


class Near(click.Choice[str]):
    """A choice that suggests the nearest."""

    def get_invalid_choice_message(self, value: str, ctx: click.Context | None) -> str:
        from difflib import get_close_matches

        near = get_close_matches(value, self.choices, n=1)
        return f"{value!r} is not known; " + (
            f"did you mean {near[0]!r}?" if near else f"choose {', '.join(self.choices)}"
        )


def field_option(
    config: type, name: str, help: str, *, choices: Sequence[str] = (), default: str = ""
) -> Callable[[Command], Command]:
    """The option `--name` for a field of `config`.

    Args:
        default: What the help says of the default where the field's own says too little.
    """
    shown = default or str(default_of(config, name)).lower()
    option = "--" + name.replace("_", "-")
    said = f"{help}  [default: {shown}]"
    if typing.get_type_hints(config)[name] is bool:
        return click.option(f"{option}/--no-{name.replace('_', '-')}", name, default=None, help=said)
    kind = Near(choices) if choices else TYPES[_plain_type(typing.get_type_hints(config)[name])]
    return click.option(option, name, type=kind, default=None, help=said)


def options(several: Iterable[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order in which `--help` lists them."""

    def decorate(command: Command) -> Command:
        for option in reversed(list(several)):
            command = option(command)
        return command

    return decorate


def _plain_type(hint: Any) -> type:
    """int | None -> int."""
    return next(each for each in (*typing.get_args(hint), hint) if each in TYPES)


KIND = field_option(MineConfig, "kind", "How the DNA represents the weights.", choices=KIND_NAMES)

KINDS = click.option(
    "--kinds",
    default=None,
    help=f"Kinds of DNA to compare, with commas.  [default: {','.join(default_of(CompareWhat, 'kinds'))}]",
)

RATIOS = click.option(
    "--ratios", default=None, help="Sweep: mine every kind at each of these ratios, with commas.  [default: one size]"
)

YARDSTICKS = click.option(
    "--yardsticks/--no-yardsticks",
    "yardsticks",
    default=None,
    help="Also round to nearest at 8 to 2 bits, and nncodec where known.  [default: in a sweep]",
)

WHAT = (
    field_option(MineConfig, "ratio", "Bytes of the fp32 weights / bytes of the file.", default=f"{DEFAULT_RATIO:g}"),
    field_option(MineConfig, "bytes", "Bytes of the file, instead of a ratio.", default="by the ratio"),
    field_option(
        MineConfig, "r2", "The smallest file that reaches this R2, instead of a size (coded).", default="none"
    ),
    field_option(MineConfig, "snr", "The same in dB.", default="none"),
    field_option(MineConfig, "effort", "States of the trellis, 4 to 256: more take longer, and less bytes (coded)."),
    field_option(
        MineConfig,
        "calibrate",
        "Weigh errors by what they do to this task on calibration texts (coded).",
        choices=CALIBRATIONS,
        default="data-free",
    ),
    field_option(MineConfig, "calibration_texts", "How many texts that is."),
    field_option(
        MineConfig,
        "heal",
        "Calibrate, then learn to do this task again, with the codes in the loop (coded).",
        choices=CALIBRATIONS,
        default="no",
    ),
    field_option(MineConfig, "steps", "Steps of healing."),
    field_option(MineConfig, "groups", "A function a layer and kind of tensor, or one for all.", choices=GROUPS),
    field_option(MineConfig, "coordinates", "Trained places of rows and columns, or indices.", choices=COORDINATES),
    field_option(MineConfig, "place_dim", "Dimensions of a trained place.", default="by the budget"),
    field_option(
        MineConfig, "place_bits", "Bits of a coordinate of a trained place, 1 to 8.", default="the smallest error"
    ),
    field_option(MineConfig, "hidden_dim", "Units in a hidden layer.", default="by the budget"),
    field_option(MineConfig, "num_layers", "Hidden sine layers.", default="1 learned, 3 index"),
    field_option(MineConfig, "omega", "Frequency scale of the sines, in radians."),
    field_option(MineConfig, "epochs", "Passes over all weights; may be fractional."),
    field_option(
        MineConfig, "batch_size", "Points of each function in a step, over all workers.", default="by their size"
    ),
    field_option(MineConfig, "lr", "Peak learning rate.", default="by the kind of functions"),
    field_option(MineConfig, "clip_norm", "Largest norm of a step's gradient."),
    field_option(MineConfig, "patience", "Epochs without improvement before training stops; 0 never stops."),
    field_option(MineConfig, "dtype", "Of the products; auto is bfloat16 where fast.", choices=PRODUCT_DTYPES),
    field_option(MineConfig, "seed", "Of every random number."),
    field_option(MineWhat, "task", f"Judge of the result: {', '.join(TASK_NAMES)}, module:function, or none."),
    field_option(MineWhat, "texts", "File with a text a line to judge on.", default="the sample's"),
    field_option(MineWhat, "limit", "Texts or images to judge on."),
)

HOW = (
    field_option(MineHow, "workers", "Training workers on Ray; 0 trains in this process."),
    field_option(MineHow, "threads", "Threads of each worker."),
    field_option(MineHow, "device", "auto, cpu, cuda, or what torch knows."),
    field_option(MineHow, "address", "Ray cluster to run on.", default="a local one"),
    field_option(MineHow, "insecure", "Also on one that others can reach without a token."),
    field_option(MineHow, "elastic", "Go on with fewer workers when some are lost."),
    field_option(MineHow, "compile", "Compile the sines with torch.compile (GPUs; CPUs have kernels in C++)."),
    field_option(MineHow, "checkpoint_every", "Seconds between checkpoints."),
    field_option(MineHow, "tracking", "URI of an MLflow server.", default="the database beside the runs"),
    field_option(MineHow, "out", "Folder for the result.", default="in the run folder"),
    field_option(MineHow, "run_dir", "Folder of this run.", default="runs/<verb>-<network>-<id>"),
)

_SPARSITIES, _RUNGS = (
    ",".join(f"{each:g}" for each in default_of(ComparisonConfig, name)) for name in ("sparsities", "rungs")
)

# Of `compare --evolution`.
EVOLUTION = (
    click.option(
        "--evolution", is_flag=True, help="Compare ways to make a network sparse; the options below are of it."
    ),
    click.option("--sparsities", default=None, help=f"Shares of zeros, with commas.  [default: {_SPARSITIES}]"),
    click.option("--methods", default=None, help=f"With commas, {OURS} among them.  [default: all {len(METHODS)}]"),
    field_option(
        CompareEvolutionWhat, "images", "Folder of a folder of images for each class.", default="the network's own"
    ),
    field_option(ComparisonConfig, "seeds", "Of each method at each sparsity; each draws its own data."),
    field_option(ComparisonConfig, "evaluations", "Of each search; failed ones count."),
    field_option(ComparisonConfig, "signal", f"What searches minimise: {', '.join(SIGNAL_NAMES)}, or module:function."),
    field_option(ComparisonConfig, "batch", "Agents that race together."),
    field_option(ComparisonConfig, "calibration", "Texts or images that statistics are of."),
    field_option(ComparisonConfig, "minibatch", "Texts or images in a minibatch of the race."),
    click.option("--rungs", default=None, help=f"Minibatches seen after each round.  [default: {_RUNGS}]"),
    click.option("--exclude", default=None, help="Tensors that stay dense, with commas; * for any.  [default: none]"),
    field_option(ComparisonConfig, "precision", "Of the products in races.", choices=PRECISIONS),
    field_option(EvolveHow, "task_timeout", "Seconds a task of your own may take; no promise then.", default="none"),
)

LAYERS = (
    click.option("--recipe", type=click.Path(dir_okay=False), help="YAML to start from; options win over it."),
    click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Set a key of the recipe: what.ratio=44."),
)

RUNNING = (
    click.option("--fresh", is_flag=True, help="Start over; what is there is set aside."),
    click.option("--dry-run", is_flag=True, help="Only say what would be done, and what it takes."),
    click.option("--print-config", is_flag=True, help="Only print the resolved recipe."),
)

"""The verb that trains the small networks which others are tried on."""

from dataclasses import replace
from pathlib import Path

import click

from dna_ray.cli.options import field_option, options
from dna_ray.cli.output import Output
from dna_ray.cli.progress import Display
from dna_ray.cli.root import cli
from dna_ray.cli.verb import verb
from dna_ray.models.precision import PRECISIONS
from dna_ray.models.samples import TRAINED, sample_of
from dna_ray.models.training_config import TrainingConfig

_SAMPLES = "the sample's"
HOW = (
    field_option(TrainingConfig, "epochs", "Times that every image is seen.", default=_SAMPLES),
    field_option(TrainingConfig, "batch", "Images in a step.", default=_SAMPLES),
    field_option(TrainingConfig, "rate", "The highest learning rate.", default=_SAMPLES),
    field_option(TrainingConfig, "precision", "Of the products.", choices=PRECISIONS, default=_SAMPLES),
    field_option(TrainingConfig, "seed", "Of every random number.", default=_SAMPLES),
)


@verb(cli, patient=True)
@click.argument("architecture", metavar="|".join(sample.architecture.name for sample in TRAINED.values()))
@click.option("--width", type=float, help=f"What the channels of the paper are multiplied by.  [default: {_SAMPLES}]")
@options(HOW)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder to make.  [default: a sample's]")
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda, or what torch knows.")
@click.option("--threads", type=click.IntRange(1), help="Of torch.  [default: as many as processors]")
@click.option("--fresh", is_flag=True, help="Start over.")
def train_small(
    output: Output,
    progress: Display,
    architecture: str,
    width: float | None,
    out: Path | None,
    device: str,
    threads: int | None,
    fresh: bool,
    **given: object,
) -> None:
    """Train a small network on Fashion-MNIST.

    It becomes sample:resnet18-fashion, sample:vgg16bn-fashion or sample:mobilenetv2-fashion, or the folder --out.
    The same command goes on where it was stopped.

    \b
    apt-get install dataset-fashion-mnist
    dna-ray train-small resnet18
    dna-ray evolve sample:resnet18-fashion --sparsity 0.6
    """
    from dna_ray.verbs.train_small import train_small as work

    name = sample_of(architecture)
    known = TRAINED[name]
    changes = {key: value for key, value in given.items() if value is not None}
    result = work(
        name,
        architecture=known.architecture if width is None else replace(known.architecture, width=width),
        training=replace(known.training, **changes),  # type: ignore[arg-type]  # names and types are the options'
        out=out,
        device=device,
        threads=threads,
        fresh=fresh,
        progress=progress,
    )
    output.show(result)

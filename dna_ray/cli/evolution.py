"""The verbs that make networks sparse: evolve, and what is done with the agents that it finds."""

from pathlib import Path
from typing import Any

import click

from dna_ray.cli.mining import start
from dna_ray.cli.options import LAYERS, RUNNING, field_option, options
from dna_ray.cli.output import Output
from dna_ray.cli.progress import Display
from dna_ray.cli.root import cli
from dna_ray.cli.verb import verb
from dna_ray.evolution.config import METHODS, EvolveConfig
from dna_ray.evolution.subject.subject_settings import SIGNAL_NAMES
from dna_ray.models.precision import PRECISIONS
from dna_ray.recipe import EvolveHow, EvolveWhat, default_of

_RUNGS = ",".join(map(str, default_of(EvolveConfig, "rungs")))

WHAT = (
    field_option(EvolveConfig, "sparsity", "Share of the weights that become zero."),
    field_option(EvolveConfig, "skip", "Share of the multiply-adds that zeros save at least.", default="any"),
    field_option(EvolveConfig, "method", "Of the search.", choices=METHODS),
    field_option(EvolveConfig, "signal", f"What it minimises: {', '.join(SIGNAL_NAMES)}, or module:function."),
    field_option(EvolveConfig, "population_size", "Agents that count as the population."),
    field_option(EvolveConfig, "generations", "Evaluations = generations x population size."),
    field_option(EvolveConfig, "novelty_weight", "How much being different is worth to a parent."),
    field_option(EvolveConfig, "mutation_rate", "Share of the layers that a mutation changes."),
    field_option(EvolveConfig, "elite_size", "The best agents, of which half of the parents come."),
    field_option(EvolveConfig, "batch", "Agents that race together."),
    field_option(EvolveConfig, "lag", "Batches under way at most; decides the lineage, workers do not."),
    field_option(EvolveConfig, "calibration", "Texts or images that statistics are of."),
    field_option(EvolveConfig, "minibatch", "Texts or images in a minibatch of the race."),
    click.option("--rungs", default=None, help=f"Minibatches seen after each round.  [default: {_RUNGS}]"),
    click.option("--exclude", default=None, help="Tensors that stay dense, with commas; * for any.  [default: none]"),
    field_option(EvolveConfig, "precision", "Of the products in races.", choices=PRECISIONS),
    field_option(EvolveConfig, "seed", "Of every random number."),
    field_option(EvolveWhat, "texts", "File with a text a line, for --signal cosine.", default="the sample's"),
    field_option(EvolveWhat, "images", "Folder of a folder of images for each class.", default="the network's own"),
    field_option(EvolveWhat, "limit", "Texts or images that the champion is judged on."),
)

HOW = (
    field_option(EvolveHow, "workers", "Evaluators on Ray; 0 evaluates in this process."),
    field_option(EvolveHow, "threads", "Threads of each."),
    field_option(EvolveHow, "device", "cpu, cuda, or what torch knows."),
    field_option(EvolveHow, "task_timeout", "Seconds a task of your own may take; no promise then.", default="none"),
    field_option(EvolveHow, "address", "Ray cluster to run on.", default="a local one"),
    field_option(EvolveHow, "insecure", "Also on one that others can reach without a token."),
    field_option(EvolveHow, "tracking", "URI of an MLflow server.", default="the database beside the runs"),
    field_option(EvolveHow, "run_dir", "Folder of this run.", default="runs/<verb>-<network>-<id>"),
)


@verb(cli, patient=True)
@click.argument("network", required=False)
@options((*WHAT, *HOW, *LAYERS, *RUNNING))
def evolve(output: Output, progress: Display, **given: Any) -> None:
    """Evolve sparsity agents on NETWORK.

    Which weights may go, and by which rule? Every agent is recorded.
    The same command continues a run that was stopped.

    \b
    dna-ray evolve sample:minilm --sparsity 0.6
    dna-ray evolve ./my-bert --signal cosine --texts texts.txt
    """
    start("evolve", output, progress, **given)


@verb(cli)
@click.argument("agent")
@click.argument("network")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to make.")
def apply(output: Output, progress: Display, agent: str, network: str, out: Path) -> None:
    """Make NETWORK as sparse as AGENT says.

    Writes an ordinary Hugging Face folder, and says what got faster, measured.
    AGENT is the start of an id, or a run, which stands for its champion."""
    from dna_ray.verbs.apply import apply as work

    output.show(work(agent, network, out=out, progress=progress))


@verb(cli)
@click.argument("agent")
def bounds(output: Output, progress: Display, agent: str) -> None:
    """Show each bound of AGENT beside its measurement.

    AGENT is the start of an id, or a run, which stands for its champion."""
    from dna_ray.verbs.bounds import bounds as work

    output.show(work(agent, progress=progress))

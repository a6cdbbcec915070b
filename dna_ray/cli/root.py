"""The group that all verbs belong to."""

import click

from dna_ray import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="dna-ray")
def cli() -> None:
    """Mine the weights of trained networks into DNA: compact functions from coordinates to weights.

    \b
    dna-ray mine sample:minilm --ratio 22     network -> DNA, on a local Ray cluster
    dna-ray status RUN                        how a run is doing
    dna-ray rebuild DNA --out FOLDER          DNA -> an ordinary Hugging Face folder

    Where a verb takes a RUN, a path or the start of a name or id will do. Runs lie in ./runs, or in DNA_RAY_HOME.
    """

"""The verbs that read what was recorded, and look at the machine: status, lineage, track, ui, doctor."""

import click

from dna_ray.cli.output import Output
from dna_ray.cli.progress import Display
from dna_ray.cli.root import cli
from dna_ray.cli.verb import verb


@verb(cli)
@click.argument("run")
def status(output: Output, progress: Display, run: str) -> None:
    """Show how RUN is doing.

    Counts, figures, DNA, and how far MLflow is."""
    from dna_ray.verbs.status import status as work

    output.show(work(run))


@verb(cli)
@click.argument("x")
def lineage(output: Output, progress: Display, x: str) -> None:
    """Show ancestors and descendants of X.

    X is a DNA, a run, a network, or the start of an id, an agent's too."""
    from dna_ray.verbs.lineage import lineage as work

    output.show(work(x))


@cli.group()
def track() -> None:
    """The records in MLflow."""


@verb(track)
@click.argument("run")
@click.option("--tracking", default=None, help="URI of an MLflow server.  [default: as the run recorded]")
def sync(output: Output, progress: Display, run: str, tracking: str | None) -> None:
    """Complete MLflow from the journal of RUN.

    Repeating it doubles nothing."""
    from dna_ray.verbs.track import sync as work

    with progress.stage("sync to MLflow"):
        result = work(run, uri=tracking)
    output.show(result)


@verb(cli)
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="On 127.0.0.1.")
def ui(output: Output, progress: Display, port: int) -> None:
    """Open the MLflow UI on the runs.

    It listens on this machine only, until Ctrl-C."""
    from dna_ray.verbs.ui import ui as work

    def ready(url: str) -> None:
        if output.as_json:
            output.emit({"url": url})
        else:
            click.echo(url)
        output.say("Ctrl-C ends it")

    work(port=port, ready=ready)


@verb(cli)
@click.option("--address", default=None, help="A cluster: http://HEAD:8265, or on one of its machines auto.")
@click.option("--insecure", is_flag=True, help="Also look at one that others can reach without a token.")
def doctor(output: Output, progress: Display, address: str | None, insecure: bool) -> int:
    """Check whether this machine is fit, or a cluster.

    Versions, processors, memory, disk, and what Ray and MLflow need; of a cluster also its token, its
    ports, and whether all nodes share the folder of the runs, DNA_RAY_HOME. Exit code 0: fit."""
    from dna_ray.verbs.doctor import doctor as work

    result = work(address=address, insecure=insecure, progress=progress)
    output.show(result)
    return result.exit_code

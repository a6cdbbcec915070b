"""The verbs that look at a network or a DNA: inspect, verify, rebuild, evaluate."""

from pathlib import Path

import click

from dna_ray.cli.output import Output
from dna_ray.cli.progress import Display
from dna_ray.cli.root import cli
from dna_ray.cli.verb import verb
from dna_ray.tasks.config import TASK_NAMES, TaskSettings


@verb(cli)
@click.argument("x")
def inspect(output: Output, progress: Display, x: str) -> None:
    """Show what is in X.

    X is a network, a DNA, of which only the header is read, or a run."""
    from dna_ray.verbs.inspect import inspect as work

    with progress.stage("read"):
        result = work(x)
    output.show(result)


@verb(cli)
@click.argument("x")
def verify(output: Output, progress: Display, x: str) -> int:
    """Check whether X is whole.

    X is a DNA, a run or a network. Exit code 0: whole, 5: damaged, 9: could not check."""
    from dna_ray.verbs.verify import verify as work

    with progress.stage("check"):
        result = work(x)
    output.show(result)
    return result.exit_code


@verb(cli)
@click.argument("dna")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to make.")
def rebuild(output: Output, progress: Display, dna: str, out: Path) -> None:
    """Rebuild DNA into a model folder.

    An ordinary Hugging Face folder, which opens without this package."""
    from dna_ray.verbs.rebuild import rebuild as work

    output.show(work(dna, out=out, progress=progress))


@verb(cli)
@click.argument("x")
@click.option("--task", default="auto", help=f"{', '.join(TASK_NAMES)}, module:function, or auto.  [default: auto]")
@click.option("--original", default=None, help="The network to hold it against.  [default: as the DNA says]")
@click.option("--texts", type=click.Path(dir_okay=False, path_type=Path), help="File with a text a line.")
@click.option("--images", type=click.Path(file_okay=False, path_type=Path), help="Folder of a folder for each class.")
@click.option("--limit", type=int, default=TaskSettings().limit, show_default=True, help="Texts or images.")
@click.option("--device", default=TaskSettings().device, show_default=True, help="Where the networks run.")
def evaluate(
    output: Output,
    progress: Display,
    x: str,
    task: str,
    original: str | None,
    texts: Path | None,
    images: Path | None,
    limit: int,
    device: str,
) -> None:
    """Score X, with standard errors.

    X is a DNA, a run or a network."""
    from dna_ray.verbs.evaluate import evaluate as work

    settings = TaskSettings(texts=texts, images=images, limit=limit, device=device)
    output.show(work(x, task=task, original=original, settings=settings, progress=progress))

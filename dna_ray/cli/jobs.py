"""The verb that takes a recipe to a cluster: submit."""

import os
from pathlib import Path

import click

from dna_ray.cli.options import LAYERS
from dna_ray.cli.output import Output
from dna_ray.cli.progress import Display
from dna_ray.cli.root import cli
from dna_ray.cli.verb import verb


@verb(cli)
@click.argument("recipe", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--address",
    required=True,
    envvar="RAY_API_SERVER_ADDRESS",
    help="URL of the dashboard of the cluster's head, such as http://HEAD:8265; or RAY_API_SERVER_ADDRESS.",
)
@LAYERS[1]
@click.option(
    "--working-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with code of your own that the job needs.  [default: none]",
)
@click.option("--retries", type=click.IntRange(0), default=2, show_default=True, help="Of a job that was lost.")
@click.option("--no-wait", is_flag=True, help="Do not follow the job.")
@click.option("--insecure", is_flag=True, help="Also use a cluster that others can reach without a token.")
def submit(
    output: Output,
    progress: Display,
    recipe: Path,
    address: str,
    sets: tuple[str, ...],
    working_dir: Path | None,
    retries: int,
    no_wait: bool,
    insecure: bool,
) -> int:
    """Run RECIPE as a job of a Ray cluster.

    Looks at the cluster first. The exit code is the job's.
    The same command follows a job that is at work; Ctrl-C leaves it at work.

    \b
    dna-ray submit jobs/recipes/minilm.yaml --address http://HEAD:8265
    """
    from dna_ray.recipe import resolve
    from dna_ray.recipe.file import verb_of
    from dna_ray.verbs.submit import submit as work

    def show(line: str) -> None:
        progress.close()  # the job's own progress takes its place
        click.echo(line, err=output.as_json)

    result = work(
        resolve(verb_of(recipe), recipe=recipe, environment=os.environ, sets=sets),
        address=address,
        working_dir=working_dir,
        retries=retries,
        wait=not no_wait,
        as_json=output.as_json,
        insecure=insecure,
        show=show,
        progress=progress,
    )
    output.show(result)
    return result.exit_code

"""The verbs that run a recipe: mine, compare, run, resume."""

import inspect
import os
from pathlib import Path
from typing import Any

import click

from dna_ray.cli.options import EVOLUTION, HOW, KIND, KINDS, LAYERS, RATIOS, RUNNING, WHAT, YARDSTICKS, options
from dna_ray.cli.output import Output
from dna_ray.cli.progress import Display
from dna_ray.cli.root import cli
from dna_ray.cli.verb import verb
from dna_ray.errors import RecipeError
from dna_ray.recipe import (
    AnyRecipe,
    CompareEvolutionRecipe,
    CompareRecipe,
    EvaluateRecipe,
    EvolveRecipe,
    in_folder,
    resolve,
    to_mapping,
    to_yaml,
)
from dna_ray.recipe.shape import keys


@verb(cli, patient=True)
@click.argument("network", required=False)
@options((KIND, *WHAT, *HOW, *LAYERS, *RUNNING))
def mine(output: Output, progress: Display, **given: Any) -> None:
    """Mine NETWORK into DNA.

    NETWORK is a hub name, a folder, a weights file, or sample:minilm.
    The same command continues a run that was stopped.

    \b
    dna-ray mine sample:minilm --ratio 22
    dna-ray mine ./my-bert --kind svd --bytes 4000000 --out my-bert-dna
    """
    start("mine", output, progress, **given)


@verb(cli, patient=True)
@click.argument("network", required=False)
@options((KINDS, RATIOS, YARDSTICKS, *WHAT, *HOW, *EVOLUTION, *LAYERS, *RUNNING))
def compare(output: Output, progress: Display, *, evolution: bool, **given: Any) -> None:
    """Compare kinds of DNA at equal size, or with --evolution ways to make a network sparse.

    Mines NETWORK into each, and puts their figures into one table beside the Gaussian reference.
    A sweep also draws their curves of rate and distortion.
    With --evolution: methods with and without search, at equal sparsity, data and evaluations.

    \b
    dna-ray compare sample:minilm --ratio 22
    dna-ray compare sample:minilm --ratios 8,16,22,32,44 --kinds coded,svd
    dna-ray compare sample:minilm --evolution --sparsities 0.6,0.8 --seeds 3
    """
    name = _kind_of_comparison(given["recipe"], evolution=evolution)
    start(name, output, progress, **_options_of(name, given))


@verb(cli, patient=True)
@click.argument("recipe", type=click.Path(dir_okay=False))
@options((LAYERS[1], *RUNNING))
def run(output: Output, progress: Display, recipe: str, **given: Any) -> None:
    """Run a RECIPE, a YAML file.

    It says verb, what and how; `mine --print-config` prints one.
    The verb is mine, compare, evolve or evaluate.

    \b
    dna-ray run jobs/recipes/minilm.yaml --set what.ratio=44"""
    from dna_ray.recipe.file import verb_of

    start(verb_of(Path(recipe)), output, progress, recipe=recipe, **given)


@verb(cli, patient=True)
@click.argument("run")
def resume(output: Output, progress: Display, run: str) -> None:
    """Go on with RUN.

    RUN is a folder, or the start of the name or id of one."""
    from dna_ray.tracking.store import home
    from dna_ray.verbs import runs

    folder = runs.find(run, home=home())
    recipe = runs.recorded_recipe(folder)
    _work(in_folder(recipe, str(folder.path)), output, progress, fresh=False)


def _kind_of_comparison(recipe: str | None, *, evolution: bool) -> str:
    """The verb that its recipes have."""
    from dna_ray.recipe.file import verb_of

    name = CompareEvolutionRecipe.verb
    return name if evolution or (recipe and verb_of(Path(recipe)) == name) else CompareRecipe.verb


def _options_of(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Those that this kind of comparison has.

    Raises:
        RecipeError: Another one was given.
    """
    known = {*keys(name), *inspect.signature(start).parameters}
    for option, value in given.items():
        if option not in known and value is not None:
            with_or_without = "without" if name == CompareEvolutionRecipe.verb else "only with"
            raise RecipeError(f"option --{option.replace('_', '-')} goes {with_or_without} --evolution")
    return {option: value for option, value in given.items() if option in known}


def start(
    name: str,
    output: Output,
    progress: Display,
    *,
    recipe: str | None,
    sets: tuple[str, ...],
    fresh: bool,
    dry_run: bool,
    print_config: bool,
    **flags: Any,
) -> None:
    """Resolves the recipe of a verb and runs it, or shows what it would do."""
    resolved = resolve(name, recipe=Path(recipe) if recipe else None, environment=os.environ, sets=sets, flags=flags)
    if print_config:
        _print_config(resolved, output)
    elif dry_run:
        _plan(resolved, output, progress)
    else:
        _work(resolved, output, progress, fresh=fresh)


def _print_config(recipe: AnyRecipe, output: Output) -> None:
    if output.as_json:
        output.emit({"recipe": to_mapping(recipe)})
    else:
        click.echo(to_yaml(recipe), nl=False)


def _plan(recipe: AnyRecipe, output: Output, progress: Display) -> None:
    if isinstance(recipe, EvaluateRecipe):
        raise RecipeError("evaluate writes nothing, so there is nothing to plan; run it without --dry-run")
    if isinstance(recipe, CompareEvolutionRecipe):
        from dna_ray.verbs.compare_evolution import plan as plan_evolution

        output.show(plan_evolution(recipe, progress=progress))
    elif isinstance(recipe, CompareRecipe):
        from dna_ray.verbs.compare import plan as plan_compare

        output.show(plan_compare(recipe, progress=progress))
    elif isinstance(recipe, EvolveRecipe):
        from dna_ray.verbs.evolve import plan as plan_evolve

        output.show(plan_evolve(recipe, progress=progress))
    else:
        from dna_ray.verbs.mine import plan as plan_mine

        output.show(plan_mine(recipe, progress=progress))


def _work(recipe: AnyRecipe, output: Output, progress: Display, *, fresh: bool) -> None:
    if isinstance(recipe, EvaluateRecipe):
        from dna_ray.verbs.evaluate import evaluate_recipe

        output.show(evaluate_recipe(recipe, progress=progress))
    elif isinstance(recipe, CompareEvolutionRecipe):
        from dna_ray.verbs.compare_evolution import compare_evolution

        output.show(compare_evolution(recipe, progress=progress, fresh=fresh))
    elif isinstance(recipe, CompareRecipe):
        from dna_ray.verbs.compare import compare as compare_verb

        output.show(compare_verb(recipe, progress=progress, fresh=fresh))
    elif isinstance(recipe, EvolveRecipe):
        from dna_ray.verbs.evolve import evolve as evolve_verb

        output.show(evolve_verb(recipe, progress=progress, fresh=fresh))
    else:
        from dna_ray.verbs.mine import mine as mine_verb

        output.show(mine_verb(recipe, progress=progress, fresh=fresh))

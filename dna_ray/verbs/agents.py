"""Agents by their names: the start of an id, or a run, which stands for its champion."""

from dataclasses import dataclass
from pathlib import Path

from dna_ray.errors import ArtifactError, InputError
from dna_ray.evolution.agent import Agent
from dna_ray.evolution.space import Space
from dna_ray.evolution.sparsity.budget import in_weights
from dna_ray.evolution.sparsity.work import work_limit
from dna_ray.evolution.subject.subject import Subject, prepare
from dna_ray.evolution.subject.subject_settings import SubjectSettings
from dna_ray.networks import Network
from dna_ray.recipe import EvolveRecipe
from dna_ray.tasks.config import TaskSettings
from dna_ray.tracking import journal
from dna_ray.verbs import runs
from dna_ray.verbs.runs import RunFolder

_EVOLUTION = f"{EvolveRecipe.verb}-"  # how the folders of its runs begin


@dataclass(frozen=True, slots=True)
class Found:
    """An agent, and the run that it lived in."""

    agent: Agent
    run: RunFolder
    recipe: EvolveRecipe


def find(name: str, *, home: Path) -> Found:
    """The agent that `name` names.

    Raises:
        InputError: No agent, or more than one, is called that.
        ArtifactError: A journal is damaged.
    """
    known = {path: runs.read_run(path) for path in _evolutions(home)}
    if runs.is_run(Path(name)):
        known[Path(name)] = runs.read_run(Path(name))
    named = name.startswith(_EVOLUTION)  # or else it may be the start of an id
    matching = [run for path, run in known.items() if path == Path(name) or (named and run.name.startswith(name))]
    if len(matching) == 1:
        return _champion(matching[0])
    agents: dict[str, Found] = {}
    for run in known.values():
        for event in journal.read(run.path):
            if event["event"] == "told":
                for each in event["agents"]:
                    if name and each["id"].startswith(name):
                        agents[each["id"]] = Found(Agent.from_json(each), run, _recipe(run))
    if len(agents) == 1:
        return next(iter(agents.values()))
    if agents:
        raise InputError(f"{name!r} names {len(agents)} agents in {home}, such as {min(agents)[:12]}; give more of it")
    raise InputError(f"{name!r}: no agent or run of evolve in {home} is called so; `dna-ray status RUN` shows a run's")


def subject_of(recipe: EvolveRecipe, network: Network) -> tuple[Subject, Space]:
    """What agents of a recipe are judged by, and where they live, on `network`.

    Raises:
        TaskError, NetworkError: The network cannot be calibrated or judged.
        RecipeError: So many zeros cannot be, or cannot save so many multiply-adds.
    """
    config = recipe.what.config
    subject = prepare(network, _settings_of(recipe))
    budget = in_weights(subject.layers, config.sparsity)
    return subject, Space(
        layers=subject.layers,
        budget=budget,
        work=work_limit(subject.layers, budget, dense=subject.multiply_adds, skip=config.skip),
        repairs=subject.repairs,
        mutation_rate=config.mutation_rate,
        curves=subject.curves(),
    )


def _settings_of(recipe: EvolveRecipe) -> SubjectSettings:
    """What agents of a recipe are judged by."""
    what, config = recipe.what, recipe.what.config
    texts, images = (None if each is None else Path(each) for each in (what.texts, what.images))
    return SubjectSettings(
        signal=config.signal,
        calibration=config.calibration,
        minibatch=config.minibatch,
        rungs=config.rungs,
        exclude=config.exclude,
        precision=config.precision,
        timeout=recipe.how.task_timeout,
        task=TaskSettings(texts=texts, images=images, limit=what.limit, device=recipe.how.device),
    )


def _evolutions(home: Path) -> list[Path]:
    if not home.is_dir():
        return []
    return sorted(path for path in home.iterdir() if path.name.startswith(_EVOLUTION) and runs.is_run(path))


def _champion(run: RunFolder) -> Found:
    events = journal.read(run.path)
    crowned = next((event["id"] for event in reversed(events) if event["event"] == "champion"), None)
    for event in events:
        for each in event["agents"] if event["event"] == "told" else ():
            if each["id"] == crowned:
                return Found(Agent.from_json(each), run, _recipe(run))
    raise InputError(f"{run.path}: has no champion yet; finish it with `dna-ray resume {run.path}`, or name an agent")


def _recipe(run: RunFolder) -> EvolveRecipe:
    recipe = runs.recorded_recipe(run)
    if not isinstance(recipe, EvolveRecipe):
        raise ArtifactError(f"{run.path}: is a run of {recipe.verb}, which has no agents; name a run of evolve")
    return recipe

"""Run folders: `runs/<verb>-<network>-<id12>/`, where a run lives and by which it continues.

recipe.yaml      the resolved recipe and the run's identity
journal.jsonl    what happened, the single truth; its lock makes this driver the one writer
checkpoints/     to resume from
dna/             the result, unless `--out` says another place
figures/, report.md, result.json
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from dna_ray.errors import ArtifactError, InputError, RecipeError
from dna_ray.mining.durable import write_file
from dna_ray.recipe import EvaluateRecipe, Recipe, identity, read_recipe, recorded_identity, to_yaml
from dna_ray.tracking import journal, lock


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run on disk.

    Attributes:
        path: Its folder.
        identity: sha256, in hex, of what it computes.
    """

    path: Path
    identity: str

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def journal(self) -> Path:
        return self.path / journal.FILE

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def dna(self) -> Path:
        return self.path / "dna"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def has_begun(self) -> bool:
        return self.journal.exists()


def open_run(recipe: Recipe, *, fingerprint: str, fresh: bool = False) -> RunFolder:
    """The folder of this recipe on this network: made, or opened to go on.

    Another `how` of the same run is recorded over the old one. With `fresh`, what is there is set aside under a name
    that ends in `~1`, `~2` ...; nothing is deleted.

    Args:
        fingerprint: Of the network that the recipe names.

    Raises:
        RecipeError: The chosen folder holds a run of another recipe, or files of something else.
        LockedError: With `fresh`: another process is at work in the folder.
        SpaceError, InputError: The folder cannot be written to.
    """
    run_id = identity(recipe, fingerprint)
    path = planned_folder(recipe, fingerprint)
    if fresh and is_run(path):
        _set_aside(path)
    run = RunFolder(path, run_id)
    _refuse_another(run)
    path.mkdir(parents=True, exist_ok=True)
    write_file(run.recipe, [to_yaml(recipe, identity=run_id).encode()])
    return run


def planned_folder(recipe: Recipe, fingerprint: str) -> Path:
    """The folder that `open_run` would make or open."""
    named = f"{recipe.verb}-{short_name(recipe.what.network)}-{identity(recipe, fingerprint)[:12]}"
    return Path(recipe.how.run_dir) if recipe.how.run_dir else Path(recipe.how.home) / named


def read_run(path: Path) -> RunFolder:
    """An existing run folder.

    Raises:
        ArtifactError: It has no readable recipe with an identity.
    """
    recipe = path / "recipe.yaml"
    try:
        recorded = recorded_identity(recipe)
    except RecipeError as error:
        raise ArtifactError(f"{path}: not a run folder ({error})") from error
    if recorded is None:
        raise ArtifactError(f"{recipe}: has no `identity`, so it was not written by a run; name a run folder")
    return RunFolder(path, recorded)


def is_run(path: Path) -> bool:
    return (path / journal.FILE).is_file() or (path / "recipe.yaml").is_file()


def find(run: str, *, home: Path) -> RunFolder:
    """The run that `run` names: a path, the name of a folder in `home`, or the start of a name or of an identity.

    Raises:
        InputError: No run, or more than one, is called that.
        ArtifactError: It is called that, but is no readable run folder.
    """
    if is_run(Path(run)):
        return read_run(Path(run))
    names = sorted(each.name for each in home.iterdir() if is_run(each)) if home.is_dir() else []
    current = [name for name in names if "~" not in name] or names
    found = [name for name in names if name == run] or [
        name for name in current if run and (name.startswith(run) or name.rsplit("-", 1)[-1].startswith(run))
    ]
    if len(found) == 1:
        return read_run(home / found[0])
    if found:
        raise InputError(f"{run!r} names {len(found)} runs in {home}: {', '.join(found[:5])}; give more of the name")
    near = get_close_matches(run, current, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"runs there: {', '.join(current[:5]) or 'none'}"
    raise InputError(f"{run!r}: no such run in {home}; {hint}")


def recorded_recipe(run: RunFolder) -> Recipe:
    """The recipe of a run, as it was last started.

    Raises:
        ArtifactError: It is of a verb that makes no runs.
    """
    recipe = read_recipe(run.recipe)
    if isinstance(recipe, EvaluateRecipe):
        raise ArtifactError(f"{run.recipe}: is a recipe of {recipe.verb!r}, which makes no runs; name a run folder")
    return recipe


def short_name(network: str) -> str:
    """What a network is called in the name of a folder: the last part of its name, in letters, digits, `.` and `-`."""
    last = re.split(r"[/:\\]", network.rstrip("/\\"))[-1]
    stem = re.sub(r"\.(safetensors|bin|pth?)$", "", last)
    return re.sub(r"[^A-Za-z0-9.]+", "-", stem).strip("-.")[:40].lower() or "network"


def _refuse_another(run: RunFolder) -> None:
    if not run.path.exists():
        return
    if not run.path.is_dir():
        raise RecipeError(f"{run.path}: is a file; choose a folder with --run-dir")
    if not run.recipe.exists():
        if any(not each.name.startswith(".") for each in run.path.iterdir()):
            raise RecipeError(f"{run.path}: holds files, but no run; choose an empty folder with --run-dir")
        return
    recorded = read_run(run.path).identity
    if recorded != run.identity:
        raise RecipeError(
            f"{run.path}: holds a run of another recipe or network ({recorded[:12]}, not {run.identity[:12]}); choose "
            f"another folder with --run-dir, start over with --fresh, or go on with `dna-ray resume {run.path}`"
        )


def _set_aside(path: Path) -> None:
    with lock.locked(path / journal.LOCK, what=str(path)):
        number = 1
        while (aside := path.with_name(f"{path.name}~{number}")).exists():
            number += 1
        path.rename(aside)

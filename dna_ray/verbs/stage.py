"""What a job takes along: its recipe, and where the cluster lacks it the code. A folder of its own, sent by Ray."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import dna_ray
from dna_ray.errors import InputError
from dna_ray.recipe import AnyRecipe, EvaluateRecipe, to_mapping, to_yaml
from dna_ray.verbs.result import size
from dna_ray.verbs.runs import short_name

RECIPE = "recipe.yaml"
LEFT_OUT = (".git", ".venv", "__pycache__", "runs", "*.dna", "mlflow.db", "*.pyc")  # of a working folder
LARGEST = 100 * 2**20  # bytes; Ray refuses packages above 500 MiB, and weights belong on shared storage


def name_of(recipe: AnyRecipe) -> str:
    """What the job of a recipe is called, always the same: what it computes and where it keeps that.

    By names, since the machine that submits may see neither network nor texts: where their contents change under the
    same name, the job keeps its name, and the run that it starts is another one.
    """
    whole = to_mapping(recipe)
    place = {key: whole["how"].get(key) for key in ("home", "run_dir", "out")}
    text = json.dumps({"verb": recipe.verb, "what": whole["what"], **place}, sort_keys=True)
    return f"dna-ray-{recipe.verb}-{short_name(subject_of(recipe))}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def subject_of(recipe: AnyRecipe) -> str:
    return recipe.what.x if isinstance(recipe, EvaluateRecipe) else recipe.what.network


def stage(recipe: AnyRecipe, folder: Path, *, working_dir: Path | None, with_code: bool, insecure: bool) -> None:
    """Fills `folder` anew. The recipe in it names no cluster, since a job is in one, and keeps no secret.

    Args:
        working_dir: Files of the user that go along, such as the module of a task.
        with_code: Whether this version of `dna_ray` goes along.

    Raises:
        InputError: The working folder is too large.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if working_dir is not None:
        _copy(working_dir, folder)
    if with_code:
        package = Path(dna_ray.__file__).parent
        shutil.copytree(package, folder / package.name, ignore=_left_out, dirs_exist_ok=True)
    (folder / RECIPE).write_text(to_yaml(_in_cluster(recipe, insecure=insecure)), encoding="utf-8")


def cache_folder(name: str) -> Path:
    """Where the folder of a job lies here, so that `ray job submit` can send the same by hand."""
    cache = os.environ.get("DNA_RAY_CACHE") or Path.home() / ".cache" / "dna_ray"
    return Path(cache, "jobs", name).absolute()


def _in_cluster(recipe: AnyRecipe, *, insecure: bool) -> AnyRecipe:
    if isinstance(recipe, EvaluateRecipe):
        return recipe
    changed: Callable[..., AnyRecipe] = replace
    return changed(recipe, how=replace(recipe.how, address=None, insecure=insecure))


def _copy(source: Path, folder: Path) -> None:
    total = 0
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        if any(fnmatch(part, pattern) for part in inside.parts for pattern in LEFT_OUT) or not path.is_file():
            continue
        total += path.stat().st_size
        if total > LARGEST:
            raise InputError(
                f"{source}: holds more than {size(LARGEST)}, too much to send with a job; put large files on storage "
                "that all nodes see, or choose a smaller --working-dir"
            )
        target = folder / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)


def _left_out(folder: str, names: Iterable[str]) -> set[str]:
    return {name for name in names if any(fnmatch(name, pattern) for pattern in LEFT_OUT)}

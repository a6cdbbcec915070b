"""The recipes: verb, what and how, as mappings and by their identity. Imports no torch, no yaml and no pydantic."""

import hashlib
import json
import typing
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from dna_ray.errors import RecipeError
from dna_ray.recipe.parts import (
    CompareEvolutionWhat,
    CompareWhat,
    EvaluateHow,
    EvaluateWhat,
    EvolveHow,
    EvolveWhat,
    MineHow,
    MineWhat,
)
from dna_ray.tracking.store import public


@dataclass(frozen=True, kw_only=True, slots=True)
class MineRecipe:
    verb: ClassVar[str] = "mine"

    what: MineWhat
    how: MineHow = field(default_factory=MineHow)


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareRecipe:
    verb: ClassVar[str] = "compare"

    what: CompareWhat
    how: MineHow = field(default_factory=MineHow)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvolveRecipe:
    verb: ClassVar[str] = "evolve"

    what: EvolveWhat
    how: EvolveHow = field(default_factory=EvolveHow)


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareEvolutionRecipe:
    verb: ClassVar[str] = "compare-evolution"

    what: CompareEvolutionWhat
    how: EvolveHow = field(default_factory=EvolveHow)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateRecipe:
    """The one recipe that makes no run: a score is an answer, with no folder and no identity."""

    verb: ClassVar[str] = "evaluate"

    what: EvaluateWhat
    how: EvaluateHow = field(default_factory=EvaluateHow)


Recipe = MineRecipe | CompareRecipe | EvolveRecipe | CompareEvolutionRecipe  # of the verbs that make a run
AnyRecipe = Recipe | EvaluateRecipe
RECIPES: dict[
    str,
    type[MineRecipe] | type[CompareRecipe] | type[EvolveRecipe] | type[CompareEvolutionRecipe] | type[EvaluateRecipe],
] = {
    "mine": MineRecipe,
    "compare": CompareRecipe,
    "evolve": EvolveRecipe,
    "compare-evolution": CompareEvolutionRecipe,
    "evaluate": EvaluateRecipe,
}


def in_folder(recipe: Recipe, run_dir: str) -> Recipe:
    """The same recipe, run in the folder `run_dir`."""
    if isinstance(recipe, EvolveRecipe | CompareEvolutionRecipe):
        return replace(recipe, how=replace(recipe.how, run_dir=run_dir))
    return replace(recipe, how=replace(recipe.how, run_dir=run_dir))


def to_mapping(recipe: AnyRecipe) -> dict[str, Any]:
    """`verb`, `what` and `how` as YAML and JSON hold them, every field included.

    What is written down keeps no secret: `tracking` comes without the user and the password that it may hold.
    """
    what, how = asdict(recipe.what), asdict(recipe.how)
    config = {key: value for key, value in what.pop("config", {}).items() if key not in recipe.what.omitted}
    first = next(iter(what))
    what = {first: what.pop(first)} | {
        key: list(value) if isinstance(value, tuple) else value for key, value in (config | what).items()
    }
    if how.get("tracking"):
        how["tracking"] = public(how["tracking"])
    return {"verb": recipe.verb, "what": what, "how": how}


def identity(recipe: Recipe, fingerprint: str) -> str:
    """Names what a run computes: sha256, in hex, of its `what` part and of the data that this part points to.

    The network and the texts count by content, so a file that moved continues its run, and one that changed does not.

    Raises:
        RecipeError: The file of texts cannot be read.
    """
    what = to_mapping(recipe)["what"] | {"network": fingerprint}
    if recipe.what.texts is not None:
        try:
            what["texts"] = hashlib.sha256(Path(recipe.what.texts).read_bytes()).hexdigest()
        except OSError as error:
            raise RecipeError(
                f"{recipe.what.texts}: cannot read the texts ({error.strerror}); check the path"
            ) from error
    if isinstance(recipe, EvolveRecipe | CompareEvolutionRecipe) and recipe.what.images is not None:
        what["images"] = _listing(Path(recipe.what.images))
    text = json.dumps({"format": 1, "verb": recipe.verb, "what": what}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _listing(folder: Path) -> str:
    """sha256 over names and sizes of all files: reading them all would take longer than many a run."""
    found = sorted((path.relative_to(folder).as_posix(), path.stat().st_size) for path in folder.rglob("*.*"))
    if not found:
        raise RecipeError(f"{folder}: holds no images; check the path")
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def parts(verb: str) -> tuple[Any, Any, Any]:
    """The classes that a recipe of `verb` is made of: its what, the config in it or None, and its how."""
    hints = typing.get_type_hints(RECIPES[verb])
    return hints["what"], typing.get_type_hints(hints["what"]).get("config"), hints["how"]


def keys(verb: str) -> dict[str, str]:
    """Every key of a recipe -> the part that it stands in: `what` or `how`. First comes what every recipe must say."""
    what, config, how = parts(verb)
    of_config = [] if config is None else [f.name for f in fields(config) if f.name not in what.omitted]
    own = [f.name for f in fields(what) if f.name != "config"]
    return dict.fromkeys([*own, *of_config], "what") | {f.name: "how" for f in fields(how)}


def default_of(config: type, name: str) -> Any:
    """The default of a field of a config dataclass, for the help of the option that sets it."""
    found = next(f for f in fields(config) if f.name == name)
    return found.default_factory() if found.default_factory is not MISSING else found.default

"""A recipe as a YAML file. Reading keeps the line of every key, so that an error can name the place."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dna_ray.errors import RecipeError
from dna_ray.recipe.layers import Setting, build, unknown
from dna_ray.recipe.shape import RECIPES, AnyRecipe, keys, to_mapping

if TYPE_CHECKING:
    from yaml import Node

PARTS = ("verb", "what", "how")
IDENTITY = "identity"  # a run folder's recipe.yaml also holds this; nothing else reads it


def read_recipe(path: Path) -> AnyRecipe:
    """Reads a recipe of any verb; environment and flags have no say.

    Raises:
        RecipeError: The file is missing, is no YAML, or holds a key or value that does not fit.
    """
    verb = verb_of(path)
    return build(verb, read_settings(path, verb=verb, keys=keys(verb)))


def to_yaml(recipe: AnyRecipe, *, identity: str | None = None) -> str:
    """The recipe with every field but secrets. The inverse of `read_recipe`; `identity` is added for a run folder."""
    import yaml

    whole = to_mapping(recipe) | ({IDENTITY: identity} if identity else {})
    return yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=120)


def recorded_identity(path: Path) -> str | None:
    """The identity that the `recipe.yaml` of a run folder records."""
    where, node = _parts(path).get(IDENTITY, ("", None))
    return None if node is None else str(_value(node, where))


def verb_of(path: Path) -> str:
    """The verb that a recipe asks for.

    Raises:
        RecipeError: As `read_recipe`, or there is no such verb.
    """
    parts = _parts(path)
    if "verb" not in parts:
        raise RecipeError(f"{path}: says no verb; start it with e.g. `verb: mine`")
    where, node = parts["verb"]
    verb = str(_value(node, where))
    if verb not in RECIPES:
        raise RecipeError(f"{where}: {unknown('verb', verb, RECIPES)}")
    return verb


def read_settings(path: Path, *, verb: str, keys: Mapping[str, str]) -> dict[str, Setting]:
    """The values that a recipe sets, unchecked, each with its file and line.

    Raises:
        RecipeError: The recipe is of another verb, or has an unknown key.
    """
    found = verb_of(path)
    if found != verb:
        raise RecipeError(f"{path}: is a recipe of {found!r}, not of {verb!r}; run it with `dna-ray run {path}`")
    settings: dict[str, Setting] = {}
    for part, (where, node) in _parts(path).items():
        if part in ("what", "how"):
            here = [key for key, its_part in keys.items() if its_part == part]
            for name, (place, value) in _entries(node, path, where).items():
                if name not in here:
                    raise RecipeError(f"{place}: {_elsewhere(name, part, keys) or unknown('key', name, here)}")
                settings[name] = Setting(_value(value, place), place)
    return settings


def _parts(path: Path) -> dict[str, tuple[str, "Node"]]:
    import yaml

    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise RecipeError(f"{path}: cannot read the recipe ({error.strerror}); check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"{path}:{mark.line + 1}" if mark else str(path)
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        raise RecipeError(f"{line}: is not YAML ({reason})") from error
    if root is None:
        raise RecipeError(f"{path}: is empty; a recipe has `verb`, `what` and `how`")
    parts = _entries(root, path, str(path))
    for name, (where, _) in parts.items():
        if name not in (*PARTS, IDENTITY):
            raise RecipeError(f"{where}: {unknown('key', name, PARTS)}")
    return parts


def _entries(node: "Node", path: Path, where: str) -> dict[str, tuple[str, "Node"]]:
    """The entries of a mapping, each with its place."""
    import yaml

    if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise RecipeError(f"{where}: expected a mapping of `key: value`")
    entries: dict[str, tuple[str, yaml.Node]] = {}
    for key, value in node.value:
        place = f"{path}:{key.start_mark.line + 1}"
        if key.value in entries:
            raise RecipeError(f"{place}: key {key.value!r} stands here twice; remove one")
        entries[str(key.value)] = (place, value)
    return entries


def _value(node: "Node", where: str) -> Any:
    import yaml

    # a fresh loader: it builds the one node that it is given, with the same types as yaml.safe_load
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        reason = getattr(error, "problem", None) or error
        raise RecipeError(f"{where}: is no value that a recipe can hold ({reason})") from error
    finally:
        loader.dispose()


def _elsewhere(name: str, part: str, keys: Mapping[str, str]) -> str | None:
    """What to say of a key that stands in the wrong part."""
    return f"key {name!r} belongs into `{keys[name]}`, not into `{part}`" if name in keys else None

"""From layers of settings to a recipe: defaults < recipe < environment `DNA_RAY_*` < `--set` < flags."""

import typing
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dna_ray.errors import RecipeError
from dna_ray.recipe.parts import TARGETS
from dna_ray.recipe.shape import RECIPES, AnyRecipe, keys, parts

ENVIRONMENT = "DNA_RAY_"
OTHER_VARIABLES = ("DNA_RAY_CACHE", "DNA_RAY_FASHION_MNIST")  # read elsewhere, and no part of a recipe
EITHER_OR = (*TARGETS, "ratios")  # a later layer that sets one takes back the others


@dataclass(frozen=True, slots=True)
class Setting:
    """A value that is not checked yet, and where it was written, for the error that names the place."""

    value: object
    where: str


def resolve(
    verb: str,
    *,
    recipe: Path | None = None,
    environment: Mapping[str, str] | None = None,
    sets: Sequence[str] = (),
    flags: Mapping[str, object] | None = None,
) -> AnyRecipe:
    """The recipe of `verb`, put together from all layers, and checked.

    Args:
        sets: Texts such as `what.ratio=44`.
        flags: Values by field name; those that are None were not given.

    Raises:
        RecipeError: A key is unknown or a value does not fit; the message names the file and line, variable or option.
    """
    from dna_ray.recipe.file import read_settings

    settings: dict[str, Setting] = {}
    for layer in (
        read_settings(recipe, verb=verb, keys=keys(verb)) if recipe else {},
        _from_environment(environment or {}, keys(verb)),
        _from_sets(sets, keys(verb)),
        _from_flags(flags or {}),
    ):
        if any(key in EITHER_OR and setting.value not in (None, []) for key, setting in layer.items()):
            settings = {key: setting for key, setting in settings.items() if key not in EITHER_OR}
        settings |= layer
    return build(verb, settings)


def build(verb: str, settings: Mapping[str, Setting]) -> AnyRecipe:
    """Checks the type of each setting and makes the dataclasses; what is not set keeps its default."""
    types = _types(verb)
    values = {key: _typed(key, setting, types[key]) for key, setting in settings.items()}
    subject = next(iter(keys(verb)))
    if subject not in values:
        raise RecipeError(
            f"no {subject} is given; name one, e.g. `sample:minilm`, or set `what.{subject}` in the recipe"
        )
    what, config, how = parts(verb)
    try:
        inner = {} if config is None else {"config": config(**_part(values, config))}
        return RECIPES[verb](what=what(**inner, **_part(values, what)), how=how(**_part(values, how)))
    except RecipeError as error:
        raise RecipeError(f"{_places(str(error), settings)}{error}") from error


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """`unknown key 'knid'; did you mean 'kind'?`, or the whole choice where nothing is near."""
    known = list(known)
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"unknown {what} {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}")


def _from_environment(environment: Mapping[str, str], keys: Mapping[str, str]) -> dict[str, Setting]:
    variables = {ENVIRONMENT + key.upper(): key for key in keys}
    found = {}
    for name in sorted(environment):
        if name in variables:
            found[variables[name]] = Setting(_plain(environment[name]), f"environment variable {name}")
        elif name.startswith(ENVIRONMENT) and name not in OTHER_VARIABLES:
            near = get_close_matches(name, variables, n=1, cutoff=0.8)
            if near:
                warnings.warn(f"environment variable {name} is not used; did you mean {near[0]}?", stacklevel=2)
    return found


def _from_sets(sets: Sequence[str], keys: Mapping[str, str]) -> dict[str, Setting]:
    dotted = {f"{part}.{key}": key for key, part in keys.items()}
    found = {}
    for text in sets:
        name, equals, value = text.partition("=")
        if not equals:
            raise RecipeError(f"--set {text}: expected KEY=VALUE, e.g. `--set what.ratio=44`")
        if name not in dotted:
            raise RecipeError(f"--set {text}: {unknown('key', name, dotted)}")
        found[dotted[name]] = Setting(_plain(value), f"--set {text}")
    return found


def _from_flags(flags: Mapping[str, object]) -> dict[str, Setting]:
    return {
        key: Setting(_plain(value) if isinstance(value, str) else value, f"option --{key.replace('_', '-')}")
        for key, value in flags.items()
        if value is not None
    }


def _plain(text: str) -> object:
    """A text from outside a recipe: `null` and `none` are no value."""
    if text.strip().lower() in ("null", "none"):
        return None
    return text


def _typed(key: str, setting: Setting, kind: Any) -> Any:
    from pydantic import TypeAdapter, ValidationError

    value = setting.value
    if typing.get_origin(kind) is tuple and isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if isinstance(value, bool) and bool not in (kind, *typing.get_args(kind)):  # pydantic would take `true` for 1
        raise RecipeError(f"{setting.where}: {key} must be {_words(kind)}, got {value}")
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise RecipeError(f"{setting.where}: {key} must be {_words(kind)}, got {value!r}") from error


def _types(verb: str) -> dict[str, Any]:
    hints = [typing.get_type_hints(each) for each in parts(verb) if each is not None]
    return {key: hint for each in hints for key, hint in each.items()}


def _part(values: Mapping[str, Any], config: type) -> dict[str, Any]:
    return {f.name: values[f.name] for f in fields(config) if f.name in values}


def _words(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}
    parts = [each for each in typing.get_args(kind) if each is not Ellipsis] or [kind]
    if typing.get_origin(kind) is tuple:
        return f"a list of {names[parts[0]].split()[-1]}s"
    return " or ".join(names[each] for each in parts)


def _places(message: str, settings: Mapping[str, Setting]) -> str:
    """Where the keys that an error names were set, as its prefix; defaults need no place."""
    words = message.split()
    named = dict.fromkeys(setting.where for key, setting in settings.items() if key in words)
    return f"{', '.join(named)}: " if named else ""

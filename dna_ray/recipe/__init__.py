"""A run as data: `verb`, `what`, `how` in YAML <-> frozen dataclasses.

    verb: mine
    what: {network: sample:minilm, kind: svd, ratio: 22}
    how: {workers: 2}

`what` decides the result, and with the fingerprints of the data it is the run's identity. `how` may change when a run
is resumed. Values come from: defaults < recipe < environment `DNA_RAY_*` < `--set` < flags.
Importing this imports no torch, no yaml and no pydantic: the command line shows its defaults from here.
"""

from dna_ray.recipe.file import read_recipe, recorded_identity, to_yaml
from dna_ray.recipe.layers import resolve
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
from dna_ray.recipe.shape import (
    RECIPES,
    AnyRecipe,
    CompareEvolutionRecipe,
    CompareRecipe,
    EvaluateRecipe,
    EvolveRecipe,
    MineRecipe,
    Recipe,
    default_of,
    identity,
    in_folder,
    to_mapping,
)

__all__ = [
    "RECIPES",
    "AnyRecipe",
    "CompareEvolutionRecipe",
    "CompareEvolutionWhat",
    "CompareRecipe",
    "CompareWhat",
    "EvaluateHow",
    "EvaluateRecipe",
    "EvaluateWhat",
    "EvolveHow",
    "EvolveRecipe",
    "EvolveWhat",
    "MineHow",
    "MineRecipe",
    "MineWhat",
    "Recipe",
    "default_of",
    "identity",
    "in_folder",
    "read_recipe",
    "recorded_identity",
    "resolve",
    "to_mapping",
    "to_yaml",
]

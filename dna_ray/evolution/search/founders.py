"""The known methods, as agents: where a search starts, and what it has to beat."""

from collections.abc import Mapping

from dna_ray.evolution.agent import EVERY_KIND, Agent
from dna_ray.evolution.metric.founders import FOUNDERS
from dna_ray.evolution.space import Space
from dna_ray.evolution.sparsity.budget import Profile

# Name of the method -> (metric, scope, profile). A method whose profile was not computed is left out.
METHODS: Mapping[str, tuple[str, str, str]] = {
    "magnitude": ("magnitude", "layer", "uniform"),
    "global-magnitude": ("magnitude", "global", "global_magnitude"),
    "magnitude-erk": ("magnitude", "layer", "erk"),
    "wina": ("wina", "layer", "uniform"),
    "global-wina": ("wina", "global", "global_wina"),
    "wanda": ("wanda", "row", "uniform"),
    "wanda-layer": ("wanda", "layer", "uniform"),
    "ria": ("ria", "layer", "uniform"),
    "owl": ("wanda", "row", "owl"),
    "wina-owl": ("wina", "layer", "owl"),
    "wina-erk": ("wina", "layer", "erk"),
    "water-filling": ("wanda", "layer", "water_filling"),
    "wina-linear": ("wina", "layer", "linear"),
    "wina-cosine": ("wina", "layer", "cosine"),
}


def founders(space: Space, profiles: Mapping[str, Profile]) -> tuple[Agent, ...]:
    """An agent for each known method, in the order of `METHODS`; of those that are one genome, the first.

    Args:
        profiles: Name -> profile: uniform, erk, owl, water_filling, linear, cosine, global_magnitude, global_wina.
            What is missing is left out. Any other name founds an agent of the WINA metric.
    """
    others = {f"wina-{name}": ("wina", "layer", name) for name in profiles if name not in _profiles_of_methods()}
    found: dict[str, Agent] = {}
    for name, (metric, scope, profile) in {**METHODS, **others}.items():
        if profile in profiles:
            agent = founder(name, space, profiles[profile], metric=metric, scope=scope)
            found.setdefault(agent.genome, agent)
    return tuple(found.values())


def founder(name: str, space: Space, profile: Profile, *, metric: str, scope: str = "layer") -> Agent:
    """The agent of a method: a metric by its name, and how many weights each layer keeps."""
    return Agent(
        levels=space.projected(space.levels(profile)),
        metrics=((EVERY_KIND, FOUNDERS[metric]),),
        scope=scope,
        repair=space.repairs[0],
        operator=f"founder:{name}",
    )


def _profiles_of_methods() -> frozenset[str]:
    return frozenset(profile for _, _, profile in METHODS.values())

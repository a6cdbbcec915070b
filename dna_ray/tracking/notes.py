"""The descriptions that people read in MLflow, in markdown with links between a run and its DNA."""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from dna_ray.evolution.chronicle import AgentRecord, Chronicle
from dna_ray.evolution.genealogy import formula
from dna_ray.tracking.record import Event, Record
from dna_ray.tracking.store import TRAINING_VIEW

EXPERIMENT_NOTE = (
    "Weights of trained networks, mined by `dna_ray` into compact functions of coordinates.\n\n"
    "Each **run** has its recipe as parameters, its curves as metrics, and the network that it read as a dataset. "
    "Runs that evolve sparsity agents hold a nested run for each, with its parents in the tag `dna.parents`. "
    "Each **DNA** is a logged model, with its own figures and a link to its run. "
    "Search kin by tag: `dna.network` is a network's fingerprint, `dna.id` a DNA's sha256."
)


def run_link(experiment: str, run: str) -> str:
    return f"#/experiments/{experiment}/runs/{run}?{TRAINING_VIEW}"


def model_link(experiment: str, model: str) -> str:
    return f"#/experiments/{experiment}/models/{model}?{TRAINING_VIEW}"


def run_note(record: Record, experiment: str, models: Mapping[str, str]) -> str:
    """What a run read and made; the links come first, since the UI folds what is longer than a few lines."""
    lines = []
    for dna in record.dna:
        if model := models.get(dna["id"]):
            link = f"[{dna['id'][:12]}]({model_link(experiment, model)})"
            figures = _figures(dna.get("metrics", {}))
            lines.append(f"* DNA {link}: {dna['kind']}, {dna['bytes']:,} bytes; {figures}")
    if record.evolution is not None:
        lines += _search(record.evolution, experiment, models)
    lines += [f"* Network **{n['name']}** `{n['fingerprint'][:12]}`: {_network(n)}" for n in record.networks]
    lines.append(f"* Recipe `{record.identity[:12]}` of `dna-ray {record.verb}`" + _outcome(record))
    return "\n".join(lines)


def dna_note(dna: Event, record: Record, experiment: str, run: str) -> str:
    """What a DNA is, and the run and the network that it came from."""
    network = next((n for n in record.networks if n["fingerprint"] == dna["network"]), None)
    source = f"**{network['name']}** ({_network(network)})" if network else f"network `{dna['network'][:12]}`"
    lines = [
        f"DNA of kind **{dna['kind']}**, {dna['bytes']:,} bytes, mined from {source} "
        f"by the run [{record.name}]({run_link(experiment, run)}); in its folder: `{dna['folder']}`.",
        "",
        *(f"* {s['task']}: {_figures(s.get('metrics', {}))}" for s in record.scores_of(dna["id"])),
        f"* network `{dna['network'][:12]}`, DNA `{dna['id'][:12]}`",
    ]
    return "\n".join(lines)


def agent_note(agent: AgentRecord, experiment: str, parents: Mapping[str, str]) -> str:
    """What an agent does, and the runs of its parents."""
    links = [f"[{parent[:12]}]({run_link(experiment, run)})" for parent, run in parents.items()]
    made = f"`{agent.operator}`" + (f" of {' and '.join(links)}" if links else "")
    return f"{made}: `{formula(agent)}`, which is {agent.words}"


def champion_note(champion: Event, record: Record, experiment: str, run: str) -> str:
    """What the champion is, and the run that it came from."""
    lines = [
        f"Champion `{champion['id'][:12]}` of the run [{record.name}]({run_link(experiment, run)}): keeps weights by "
        f"**{champion['words']}**, {champion['sparsity']:.1%} of them zero.",
        "",
        *(f"* {s['task']}: {_figures(s.get('metrics', {}))}" for s in record.scores_of(champion["id"])),
        "",
        "```python",
        champion["python"].rstrip(),
        "```",
    ]
    return "\n".join(lines)


def _search(search: Chronicle, experiment: str, models: Mapping[str, str]) -> list[str]:
    """The champion, what came of all agents, and where their genealogy is."""
    lines = []
    if search.champion is not None:
        name = search.champion["id"]
        link = f"[{name[:12]}]({model_link(experiment, models[name])})" if name in models else f"`{name[:12]}`"
        lines.append(f"* Champion {link}: {search.champion['words']}, {search.champion['sparsity']:.1%} zeros")
    counts = ", ".join(f"{count:,} {name}" for name, count in search.counts.items())
    lines.append(f"* {len(search.agents):,} agents, each in a run of its own: {counts}. Genealogy: `lineage.html`")
    return lines


def _outcome(record: Record) -> str:
    resumed = f", resumed {record.resumes} times" if record.resumes else ""
    reason = f": {record.reason}" if record.reason else ""
    return f"{resumed}, {record.status}{reason}" if record.status else resumed


def _network(network: Event) -> str:
    return f"{network['family']}, {network['parameters']:,} parameters, {network['bytes']:,} bytes"


def _figures(metrics: Mapping[str, Any], most: int = 4) -> str:
    """The first few figures, four significant digits each."""
    return ", ".join(f"{name} {value:.4g}" for name, value in list(_numbers(metrics))[:most])


def _numbers(metrics: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    return ((k, v) for k, v in metrics.items() if isinstance(v, int | float) and isfinite(v))

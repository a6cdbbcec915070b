"""A search in MLflow: its curves and its champion on the run of the population, and a nested run for every agent.

Agents are sent in the order in which they were told; the state in the run folder says how far. Where it is forgotten,
or the process died between two agents, their runs are found by the tag of their parent run. The tag `dna.told` comes
last: a run that has it has everything.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from dna_ray.evolution.chronicle import AgentRecord, Chronicle, Event
from dna_ray.evolution.genealogy import formula, program
from dna_ray.tracking import notes
from dna_ray.tracking.lineage_page import lineage_page
from dna_ray.tracking.mlflow_models import DIGEST, NOTE, Made, model_name, network_name, scores_of_model, track_model
from dna_ray.tracking.mlflow_values import (
    MODEL_METRICS,
    key,
    log_metrics,
    log_params,
    metrics_of,
)
from dna_ray.tracking.record import Record
from dna_ray.tracking.synced import Synced

PAGE = "lineage.html"
FRONT = "front.json"
PROGRAM = "program.py"
_PARENT = "mlflow.parentRunId"
_CURVES = "evolution/"  # what the names of curves begin with
_SEARCHED = 1000  # runs in an answer of MLflow
_TAG = 5000  # characters of a tag that MLflow keeps


def track_population(client: MlflowClient, run: Path, record: Record, search: Chronicle, state: Synced) -> Synced:
    """Sends what MLflow lacks of a search; returns how far it is then."""
    log_params(client, state.run, _params(search))
    log_metrics(client, state.run, _curves(search, after=state.generation), batch=MODEL_METRICS)
    generation = max((point["number"] for point in search.generations), default=0)
    drawn = generation == state.generation and record.status is None  # once a generation, for it takes a while
    state = state.save(run, generation=generation)
    if state.told < search.told:
        runs = _runs(client, state)
        for agent in search.agents.values():
            if agent.told >= state.told:
                runs[agent.id] = _track_agent(client, agent, search, record, state, runs)
        state = state.save(run, told=search.told)
    if not drawn:
        client.log_text(state.run, lineage_page(search, record.name), PAGE)
    if search.front:
        front = [_point(search.agents[agent]) for agent in search.front if agent in search.agents]
        client.log_text(state.run, json.dumps(front, indent=1), FRONT)
    if search.champion is not None:
        state = _track_champion(client, run, search, search.champion, record, state)
    return state


def _params(search: Chronicle) -> Iterator[tuple[str, str]]:
    """What is the same for all agents."""
    known = {
        "layers": len(search.layers),
        "sparsity": search.sparsity,
        "budget": search.budget,
        "signal": search.signal,
        **search.terms,
    }
    return ((f"population.{name}", str(value)) for name, value in known.items())


def _curves(search: Chronicle, *, after: int) -> Iterator[Metric]:
    for point in search.generations:
        if point["number"] > after:
            figures = {name: value for name, value in point.items() if name not in ("number", "seq", "time")}
            yield from metrics_of(figures, prefix=_CURVES, time=point["time"], step=point["number"])


def _runs(client: MlflowClient, state: Synced) -> dict[str, Run]:
    """Agent -> its run, of those that MLflow has."""
    found: dict[str, Run] = {}
    token = None
    while True:
        page = client.search_runs(
            [state.experiment], f"tags.`{_PARENT}` = '{state.run}'", max_results=_SEARCHED, page_token=token
        )
        found |= {run.data.tags["dna.agent"]: run for run in page if "dna.agent" in run.data.tags}
        token = page.token
        if not token:
            return found


def _track_agent(
    client: MlflowClient, agent: AgentRecord, search: Chronicle, record: Record, state: Synced, runs: dict[str, Run]
) -> Run:
    """The agent's run, made or brought up to its last evaluation."""
    tracked = runs.get(agent.id)
    if tracked is None:
        started = agent.time - round(1000 * agent.seconds)
        tags = _tags(agent, record, state, runs)
        name = f"{agent.operator} {agent.id[:8]}"
        tracked = client.create_run(state.experiment, start_time=started, tags=tags, run_name=name)
    elif tracked.data.tags.get("dna.told") == str(agent.told):
        return tracked
    run = tracked.info.run_id
    _log_program(client, tracked, agent)
    client.set_terminated(run, "FAILED" if agent.failed else "FINISHED", agent.time)
    told = {"dna.status": agent.status, "dna.reason": agent.reason, "dna.told": str(agent.told)}
    client.log_batch(
        run,
        metrics=list(_figures(agent, search)),
        params=[Param(key(name), value[:_TAG]) for name, value in _genes(agent).items()],
        tags=[RunTag(name, value[:_TAG]) for name, value in told.items() if value],
        synchronous=True,
    )
    return tracked


def _log_program(client: MlflowClient, tracked: Run, agent: AgentRecord) -> None:
    """Straight to the run's place: `log_text` asks the server for it again, a fifth of the time that an agent takes."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / PROGRAM
        file.write_text(program(agent), encoding="utf-8")
        get_artifact_repository(tracked.info.artifact_uri, tracking_uri=client.tracking_uri).log_artifact(str(file))


def _tags(agent: AgentRecord, record: Record, state: Synced, runs: dict[str, Run]) -> dict[str, str]:
    """What names an agent, and its kin, comes with its run: a crash leaves a run that is found, or none."""
    networks = [network["fingerprint"] for network in record.networks[:1]]
    return {
        _PARENT: state.run,
        "dna.agent": agent.id,
        "dna.parents": json.dumps(agent.parents),
        "dna.operator": agent.operator,
        "dna.generation": str(agent.generation),
        "dna.event": hashlib.sha256(f"{record.origin} {agent.id}".encode()).hexdigest(),
        "dna.levels": json.dumps(agent.genes["levels"])[:_TAG],
        NOTE: notes.agent_note(
            agent, state.experiment, {parent: runs[parent].info.run_id for parent in agent.parents if parent in runs}
        )[:_TAG],
        "mlflow.source.name": f"dna-ray {record.verb}",
        "mlflow.source.type": "LOCAL",
        **({"dna.network": networks[0]} if networks else {}),
    }


def _genes(agent: AgentRecord) -> dict[str, str]:
    """The UI shows a run's parameters in columns."""
    genes = {name: str(agent.genes[name]) for name in ("scope", "pattern", "basis", "repair") if name in agent.genes}
    return {"metric": formula(agent), "operator": agent.operator, **genes}


def _figures(agent: AgentRecord, search: Chronicle) -> Iterator[Metric]:
    """The mean of its losses, each of them at the number of its minibatch, and what it costs to run."""
    if agent.failed:
        return
    values = {"loss": agent.loss, "minibatches": agent.rung, "kept": agent.kept, "multiply_adds": agent.multiply_adds}
    values["seconds"] = agent.seconds
    yield from metrics_of(values, time=agent.time, step=0)
    for number, loss in enumerate(agent.losses):
        yield from metrics_of({"minibatch_loss": loss}, time=agent.time, step=number)


def _point(agent: AgentRecord) -> dict[str, object]:
    return {"agent": agent.id, "loss": agent.loss, "kept": agent.kept, "multiply_adds": agent.multiply_adds}


def _track_champion(
    client: MlflowClient, run: Path, search: Chronicle, champion: Event, record: Record, state: Synced
) -> Synced:
    """The champion as a logged model, with the files that lie beside its masks, and its figures on the test split."""
    agent = search.agents.get(champion["id"])
    network = {"network": record.networks[0]["fingerprint"] if record.networks else ""}
    name = network_name(network, record)
    made = Made(
        id=champion["id"],
        kind="sparse",
        name=model_name(name, "champion", champion["id"]),
        folder=str(Path(champion["masks"]).parent),
        tags={"dna.kind": "masks", "dna.network": network["network"], "dna.event": record.origin},
        params={
            "network": name,
            "network.fingerprint": network["network"],
            "sparsity": champion["sparsity"],
            **(_genes(agent) if agent else {}),
        },
        note=notes.champion_note(champion, record, state.experiment, state.run),
        step=max((point["number"] for point in search.generations), default=0),
    )
    model = track_model(client, run, made, state)
    state = state.save(run, models={**state.models, champion["id"]: model})
    client.set_tag(state.run, "dna.champion", champion["id"])
    of = {"model_id": model, "dataset_name": name, "dataset_digest": network["network"][:DIGEST]}
    scores = [score for score in record.scores_of(champion["id"]) if score.get("name") == "champion"]
    log_metrics(client, state.run, scores_of_model(scores, 0, of), batch=MODEL_METRICS)
    return state

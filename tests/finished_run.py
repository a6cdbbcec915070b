"""A small real run on disk: a network of one layer, its DNA of kind verbatim, and the journal of how it was mined."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from transformers import BertConfig, BertModel

from dna_ray import networks
from dna_ray.mining import KINDS
from dna_ray.mining.config import MineConfig
from dna_ray.mining.dna import FILE_NAME
from dna_ray.mining.field import read_field
from dna_ray.mining.folder import write_folder
from dna_ray.recipe import MineHow, MineRecipe, MineWhat, to_mapping
from dna_ray.tracking.journal import Journal
from dna_ray.verbs.result import Result
from dna_ray.verbs.runs import RunFolder, open_run

FIGURES = {"r2": 1.0, "ratio": 0.99}


@dataclass(frozen=True, slots=True)
class Finished:
    """A run and what it was made from.

    Attributes:
        home: The folder of runs.
        network: Folder of the network, which has the tokenizer of sample:minilm.
    """

    home: Path
    network: Path
    run: RunFolder


def shown(result: Result) -> str:
    """What a person sees of a result."""
    console = Console(width=120, file=io.StringIO())
    with console.capture() as captured:
        console.print(result, crop=False)
    return captured.get()


def make(folder: Path) -> Finished:
    network = write_network(folder / "network")
    home = folder / "runs"
    recipe = MineRecipe(
        what=MineWhat(network=str(network), config=MineConfig(kind="verbatim")), how=MineHow(home=str(home), workers=0)
    )
    opened = networks.load(network)
    run = open_run(recipe, fingerprint=opened.fingerprint)
    payload = KINDS["verbatim"].fit(read_field(opened), None, recipe.what.config)
    size = write_folder(run.dna, network=opened, kind="verbatim", payload=payload, card="# a card\n")
    dna = hashlib.sha256((run.dna / FILE_NAME).read_bytes()).hexdigest()
    started = {"event": "run", "name": run.name, "identity": run.identity, "versions": {}, **to_mapping(recipe)}
    read = {
        "event": "network",
        "name": opened.name,
        "fingerprint": opened.fingerprint,
        "family": opened.anatomy.family,
        "parameters": opened.anatomy.weights,
        "bytes": opened.anatomy.fp32_bytes,
    }
    points = [{"step": s, "time": 1000 * s, "loss": 1 / s, "r2": 1 - abs(s - 3) / 10} for s in range(1, 5)]
    made = {"event": "dna", "id": dna, "folder": "dna", "kind": "verbatim", "bytes": size, "metrics": FIGURES}
    score = {"event": "score", "task": "agreement", "subject": dna, "metrics": {"cosine": 1.0, "cosine_stderr": 0.0}}
    ticks = iter(range(0, 10**6, 1000))
    with Journal(run.path, clock=lambda: next(ticks)) as journal:
        journal.append(started, read, {"event": "steps", "points": points[:3]})
        journal.append({"event": "checkpoint", "step": 2, "file": "checkpoints/2"}, {"event": "resumed", "step": 2})
        journal.append({"event": "steps", "points": points[2:]}, made | {"network": opened.fingerprint, "params": {}})
        journal.append(score, {"event": "end", "status": "finished"})
    return Finished(home, network, run)


def write_network(folder: Path) -> Path:
    sample = networks.load("sample:minilm")
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    torch.manual_seed(0)
    model = BertModel(config)
    description = {**config.to_dict(), "architectures": ["BertModel"]}
    opened = networks.from_state_dict(model.state_dict(), name="small", config=description, files=sample.files)
    tensors = ((info.name, opened.read(info.name)) for info in opened.anatomy)
    return networks.save(tensors, folder, anatomy=opened.anatomy, config=description, files=opened.files)

"""Run folders with the journals that real runs write, made in milliseconds: for tests of what reads journals."""

import hashlib
from collections.abc import Callable, Iterator
from itertools import count
from math import exp
from pathlib import Path
from typing import Any

from dna_ray.tracking.journal import Journal

START = 1_780_000_000_000  # milliseconds since the epoch
MINILM = "5f" * 32
WHAT = {"network": "sample:minilm", "config": {"kind": "hierarchical", "ratio": 22.0, "seed": 0, "hidden_dim": None}}


def ticking(start: int = START, *, every: int = 1000) -> Callable[[], int]:
    """A clock that moves on by `every` milliseconds at each look."""
    ticks: Iterator[int] = count(start, every)
    return lambda: next(ticks)


def run_event(name: str, *, verb: str = "mine", **what: Any) -> dict[str, Any]:
    return {
        "event": "run",
        "verb": verb,
        "name": name,
        "identity": hashlib.sha256(name.encode()).hexdigest(),
        "what": WHAT | what,
        "how": {"workers": 2, "device": "cpu", "tracking": "postgresql://ada:secret@db/mlflow"},
        "versions": {"torch": "2.13.0", "ray": "2.60.0"},
    }


def network_event(name: str = "sample:minilm", fingerprint: str = MINILM) -> dict[str, Any]:
    return {
        "event": "network",
        "name": name,
        "fingerprint": fingerprint,
        "family": "bert",
        "parameters": 22_713_216,
        "bytes": 90_852_864,
    }


def steps_event(first: int, last: int, *, scale: float = 1.0, every: int = 10) -> dict[str, Any]:
    points = [
        {
            "step": step,
            "time": START + 100 * step,
            "loss": scale * (0.4 + 0.6 * exp(-step / 400)),
            "r2": 0.6 * (1 - exp(-step / 400)),
            "lr": 2e-3 * (1 - step / 4000),
            "coordinates_per_s": 1.9e6 + 1e4 * (step % 70),
        }
        for step in range(first, last + 1, every)
    ]
    return {"event": "steps", "points": points}


def dna_event(run: Path, *, folder: str = "dna", kind: str = "hierarchical", **metrics: float) -> dict[str, Any]:
    """Writes a DNA folder into `run`, and returns its event."""
    dna = run / folder
    dna.mkdir(parents=True)
    weights = f"{run.name} {folder} {kind}".encode() * 4000
    (dna / "model.safetensors").write_bytes(weights)
    (dna / "config.json").write_text('{"model_type": "dna"}\n')
    (dna / "README.md").write_text(f"# {kind} DNA of sample:minilm\n")
    return {
        "event": "dna",
        "id": hashlib.sha256(weights).hexdigest(),
        "folder": folder,
        "kind": kind,
        "bytes": len(weights),
        "network": MINILM,
        "metrics": {"r2": 0.617, "snr_db": 4.17, "psnr_db": 38.2, "bits_per_weight": 1.45, "ratio": 22.0} | metrics,
        "params": {"ratio": 22.0, "seed": 0, "groups": "many"},
    }


def score_event(subject: str) -> dict[str, Any]:
    metrics = {"cosine": 0.874, "cosine_stderr": 0.003, "neighbours": 0.61}
    return {"event": "score", "task": "agreement", "subject": subject, "metrics": metrics}


def mined(store: Path, name: str = "mine-minilm-ab12cd34ef56", **metrics: float) -> Path:
    """A run that mined one DNA to the end."""
    run = store / name
    with Journal(run, clock=ticking()) as journal:
        journal.append(run_event(name), network_event())
        journal.append(steps_event(10, 2000), {"event": "checkpoint", "step": 2000, "file": "checkpoints/2000"})
        dna = dna_event(run, **metrics)
        (run / "report.md").write_text("# sample:minilm\n\nR2 0.617 at 22x\n")
        (run / "recipe.yaml").write_text("verb: mine\nwhat: {network: sample:minilm}\n")
        journal.append(dna, score_event(dna["id"]), {"event": "artifact", "file": "report.md"})
        journal.append({"event": "end", "status": "finished"})
    return run


def compared(store: Path, name: str = "compare-minilm-0f1e2d3c4b5a") -> Path:
    """A run that put two kinds of DNA beside each other."""
    run = store / name
    with Journal(run, clock=ticking(START + 3_600_000)) as journal:
        journal.append(run_event(name, verb="compare"), network_event())
        for kind, r2 in (("spectral", 0.402), ("svd", 0.598)):
            dna = dna_event(run, folder=f"dna-{kind}", kind=kind, r2=r2)
            journal.append(dna, score_event(dna["id"]))
        journal.append({"event": "end", "status": "finished"})
    return run

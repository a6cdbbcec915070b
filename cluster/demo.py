"""A cluster on this machine that loses nodes: `make cluster-demo`.

Starts a head and two more nodes of Ray, PostgreSQL and an MLflow server, all on loopback; submits a mining of
sample:minilm and a small evolution of sparsity agents by `dna-ray submit`, each of them twice; kills a node in the
middle of the second time; and looks whether as many workers went on, whether the results are the same, byte for byte,
and whether MLflow has everything. Whatever it started has ended when it ends, also after an error or Ctrl-C.

    python cluster/demo.py
"""

import argparse
import contextlib
import hashlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nodes import Nodes, nodes
from processes import HOST, free_ports
from submission import submitted
from tracking_server import mlflow_server, postgres, postgres_programs

from dna_ray.tracking import journal
from dna_ray.tracking.synced import synced
from dna_ray.verbs.evolved import read_result
from dna_ray.verbs.mined import file_id
from dna_ray.verbs.runs import read_run

WORKERS = 2
NETWORK = "sample:minilm"


@dataclass(frozen=True, slots=True)
class Task:
    """What is submitted.

    Attributes:
        what, how: Its recipe, as small as shows what is to be shown.
        title: What its workers call themselves.
        unit: What it is in the middle of.
        made: What is to be the same, by name, and its sha256, of a run folder.
    """

    verb: str
    what: Mapping[str, Any]
    how: Mapping[str, Any]
    title: str
    unit: str
    made: Callable[[Path], Mapping[str, str]]


def mined(run: Path) -> dict[str, str]:
    return {"model.safetensors": file_id(run / "dna")}


def evolved(run: Path) -> dict[str, str]:
    masks = (run / "champion" / "masks.safetensors").read_bytes()
    return {"masks.safetensors": hashlib.sha256(masks).hexdigest(), "lineage": read_result(read_run(run)).lineage}


TASKS = (
    Task(
        verb="mine",
        what={"network": NETWORK, "kind": "hierarchical", "ratio": 22, "epochs": 0.5, "task": "none"},
        how={"checkpoint_every": 2},
        title="ray::RayTrainWorker",
        unit="step",
        made=mined,
    ),
    Task(
        verb="evolve",
        what={"network": NETWORK, "sparsity": 0.6, "population_size": 20, "generations": 2, "limit": 300},
        how={},
        title="ray::Seat",
        unit="agent",
        made=evolved,
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of a task.

    Attributes:
        seconds: From its submission to its end.
        reached: Steps of training, or agents told, in all.
        lost: Where it was when a node was killed under it; None if none was.
        workers: The most that were at work; a second figure is of those after the loss.
        made: Name -> sha256.
        untracked: Entries of the journal that MLflow lacks.
    """

    seconds: float
    reached: int
    lost: int | None
    workers: tuple[int, ...]
    made: Mapping[str, str]
    untracked: int


@dataclass(slots=True)
class Demo:
    """The cluster, and where its runs are recorded.

    Attributes:
        tracking: URI of the MLflow.
    """

    cluster: Nodes
    folder: Path
    tracking: str
    rng: random.Random
    began: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:5.0f} s  {text}", flush=True)

    def both_ways(self, task: Task) -> list[str]:
        """Has a task done without and with the loss of a node; returns what went wrong."""
        calm = self.outcome(task, "undisturbed", None)
        hit = self.outcome(task, "node-lost", round(self.rng.uniform(0.3, 0.6) * calm.reached))
        self.cluster.join(cpus=WORKERS)
        for name, known in calm.made.items():
            same = hit.made[name] == known
            self.say(f"{task.verb}: {name} {'is the same' if same else 'DIFFERS'}, sha256 {known[:16]}...")
        complaints = {
            "the results differ": calm.made != hit.made,
            "the number of workers was not kept": (calm.workers, hit.workers) != ((WORKERS,), (WORKERS, WORKERS)),
            "MLflow lacks entries of the journal": calm.untracked + hit.untracked,
        }
        return [f"{task.verb}: {complaint}" for complaint, holds in complaints.items() if holds]

    def outcome(self, task: Task, name: str, moment: int | None) -> Outcome:
        """Submits a task and waits for its end; kills a node as soon as it has come to `moment`."""
        home, began = self.folder / f"{task.verb}-{name}", time.monotonic()
        lost, workers = None, [0]
        self.say(f"{task.verb}: submitted" + (f"; a node will be killed at {task.unit} {moment}" if moment else ""))
        how = {"workers": WORKERS, "home": str(home), "tracking": self.tracking, **task.how}
        with submitted(task.verb, what=task.what, how=how, cluster=self.cluster) as job:
            while job.poll() is None:
                workers[-1] = max(workers[-1], sum(len(node.at_work(task.title)) for node in self.cluster.others))
                if moment and lost is None and (now := reached(home)) >= moment:
                    lost = now
                    victim = self.rng.choice(self.cluster.others)
                    self.say(f"{task.verb}: at {task.unit} {lost} the raylet {victim.raylet.pid} is killed")
                    self.cluster.lose(victim)
                    workers.append(0)
                time.sleep(0.2)
        (run,) = home.glob(f"{task.verb}-*/")
        found = Outcome(
            seconds=time.monotonic() - began,
            reached=reached(home),
            lost=lost,
            workers=tuple(workers),
            made=task.made(run),
            untracked=len(journal.read(run)) - synced(run, self.tracking).entries,
        )
        counted = ", then ".join(map(str, found.workers))
        self.say(f"{task.verb}: done in {found.seconds:.0f} s, {found.reached} {task.unit}s, workers: {counted}")
        return found


def reached(home: Path) -> int:
    """Steps of training, or agents told, of which the journal in `home` knows."""
    entries = [entry for file in home.glob(f"*/{journal.FILE}") for entry in journal.read(file.parent)]
    steps = [point["step"] for entry in entries if entry["event"] == "steps" for point in entry["points"]]
    return max(steps, default=0) + sum(len(entry["agents"]) for entry in entries if entry["event"] == "told")


@contextlib.contextmanager
def started(folder: Path, seed: int) -> Iterator[Demo]:
    """Everything that the demo needs; all of it has ended after the block."""
    with contextlib.ExitStack() as stack:
        began, programs, (port,) = time.monotonic(), postgres_programs(), free_ports(1)
        if programs:
            database = stack.enter_context(postgres(programs))
        else:
            print("PostgreSQL is not installed (apt-get install postgresql): MLflow works on sqlite instead")
            database = f"sqlite:///{folder / 'mlflow.db'}"
        stack.enter_context(mlflow_server(folder, database, port=port))
        cluster = stack.enter_context(nodes(folder, cpus=WORKERS, head_cpus=0))
        for each in (signal.SIGINT, signal.SIGTERM):  # first of all once the block is left: let the rest end in peace
            stack.callback(signal.signal, each, signal.SIG_IGN)
        demo = Demo(cluster, folder, f"http://{HOST}:{port}", random.Random(seed), began)
        demo.say(f"a head and two nodes of {WORKERS} CPUs at {cluster.address}, guarded by a token")
        demo.say(f"MLflow at {demo.tracking}, on {'PostgreSQL' if programs else 'sqlite'}")
        yield demo


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="decides when which node is lost")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="d", ignore_cleanup_errors=True) as name:
        os.environ["DNA_RAY_CACHE"] = str(Path(name, "cache"))
        with started(Path(name), options.seed) as demo:
            wrong = [complaint for task in TASKS for complaint in demo.both_ways(task)]
            demo.say("; ".join(wrong) or "both survived: as many workers, the same bytes, all of it in MLflow")
        demo.say("everything that was started has ended")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

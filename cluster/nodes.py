"""Several nodes of Ray on one machine: a head and raylets with ports of their own, on loopback, and one token."""

import contextlib
import itertools
import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil
from processes import HOST, Running, answers, free_ports, running

T = TypeVar("T")

RAY = Path(sys.executable).with_name("ray")
JOINING = Path(__file__).with_name("joining.py")
JOINED = "Ray runtime started"  # what both say then
_STORE = 2**28  # bytes of a node's object store
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Node:
    """A node: `ray start`, and below it a raylet, its agents and its workers."""

    process: Running

    @property
    def raylet(self) -> psutil.Process:
        return next(each for each in self.process.family() if _told(each.name) == "raylet")

    def at_work(self, title: str) -> list[psutil.Process]:
        """Those of its workers that call themselves so, such as `ray::RayTrainWorker`."""
        return [each for each in self.process.family() if " ".join(_told(each.cmdline) or []).startswith(title)]


class Nodes:
    """A cluster that was started here.

    Attributes:
        address: HOST:PORT where Ray itself answers.
        dashboard: Address where jobs are submitted.
        environment: In which a client may talk to it.
        head: The node where drivers run.
        others: The other nodes.
    """

    address: str
    dashboard: str

    def __init__(self, folder: Path, started: contextlib.ExitStack, *, head_cpus: int) -> None:
        self._folder, self._started, self._names = folder, started, itertools.count()
        self.environment, self.others = _environment(folder), list[Node]()
        self.head = _again(lambda: self._start_head(head_cpus))

    def join(self, *, cpus: int) -> Node:
        """Starts one more node."""
        self.others.append(_again(lambda: self._start_other(cpus)))
        return self.others[-1]

    def lose(self, node: Node) -> None:
        """Kills a node's raylet, and then what is left of it, as when a machine loses its power."""
        node.raylet.kill()
        node.process.end(kill=True)
        self.others.remove(node)

    def _start_head(self, cpus: int) -> Node:
        gcs, board, client, agent = ports = free_ports(4)
        self.address, self.dashboard = f"{HOST}:{gcs}", f"http://{HOST}:{board}"
        options = {
            "port": gcs,
            "dashboard-host": HOST,
            "dashboard-port": board,
            "ray-client-server-port": client,
            "dashboard-agent-listen-port": agent,
            "temp-dir": self._folder,
            "num-cpus": cpus,
            "object-store-memory": _STORE,
            "min-worker-port": 0,  # whatever is free: nodes share the address
            "max-worker-port": 0,
        }
        return self._start(
            [RAY, "start", "--head", "--block", *(f"--{key}={value}" for key, value in options.items())], ports
        )

    def _start_other(self, cpus: int) -> Node:
        agent = free_ports(1)
        options = ["--cpus", cpus, "--store", _STORE, "--agent-port", *agent]
        return self._start([sys.executable, JOINING, self.address, *options], agent)

    def _start(self, command: Sequence[object], ports: Sequence[int]) -> Node:
        """Waits until a node has joined, and listens on its ports."""
        log = self._folder / f"node-{next(self._names)}.log"

        def ready() -> bool:
            return JOINED in log.read_text() and all(map(answers, ports))

        kill = signal.SIGKILL  # asked to end, Ray takes half a minute
        node = running(command, log=log, ready=ready, environment=self.environment, stop=kill)
        return Node(self._started.enter_context(node))


@contextlib.contextmanager
def nodes(folder: Path, *, others: int = 2, cpus: int = 2, head_cpus: int = 1) -> Iterator[Nodes]:
    """A head and `others` more nodes, for the length of a block.

    Args:
        folder: Receives logs and sockets; its path is short, as those of sockets have to be.
        cpus: Of each node but the head.
    """
    with contextlib.ExitStack() as started:
        cluster = Nodes(folder, started, head_cpus=head_cpus)
        for _ in range(others):
            cluster.join(cpus=cpus)
        yield cluster


def _again(start: Callable[[], Node]) -> Node:
    """Ray gives up on a node that does not start within half a minute, which happens on a busy machine."""
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(RuntimeError):
            return start()
    return start()


def _environment(folder: Path) -> Mapping[str, str]:
    """Of nodes and clients, which have a token that nobody else can read."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {
        "PATH": f"{RAY.parent}{os.pathsep}{os.environ['PATH']}",  # as in an activated environment
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # all of Ray's sockets listen on loopback only
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def _told(ask: Callable[[], T]) -> T | None:
    """What a process says of itself; None if it has just ended."""
    with contextlib.suppress(psutil.Error):
        return ask()
    return None

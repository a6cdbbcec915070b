"""A Ray head that is started by hand, as on a cluster: guarded by a token, in a home of its own, on loopback."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
from processes import free_ports
from raylets import alive, wait_until

RAY = Path(sys.executable).with_name("ray")
# `ray start` lets nobody join a head that listens on loopback only.
JOIN = """
import json, sys, time
from ray._private.node import Node
from ray._private.parameter import RayParams
Node(RayParams(**json.loads(sys.argv[1])), head=False)
print("joined", flush=True)
time.sleep(3600)
"""


@dataclass(frozen=True)
class Head:
    """A Ray head with its processes, and the environment in which a client may talk to it."""

    dashboard: str
    address: str
    environment: Mapping[str, str]
    processes: tuple[psutil.Process, ...]
    home: Path

    def submit(self, folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
        """`ray job submit`."""
        submit = [RAY, "job", "submit", "--address", self.dashboard, "--working-dir", folder]
        return subprocess.run(
            [*map(str, submit), "--", *command], env=self.environment, capture_output=True, text=True, timeout=200
        )

    def dna_ray(self, *arguments: object, **variables: str) -> "subprocess.Popen[str]":
        """The `dna-ray` command, at work."""
        return subprocess.Popen(
            [sys.executable, "-m", "dna_ray", *map(str, arguments)],
            env={**self.environment, **variables},
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@contextlib.contextmanager
def started_head(**variables: str) -> Iterator[Head]:
    """A head with four processors; ends with all its processes.

    Args:
        variables: Of its environment, and so of every job's.
    """
    with tempfile.TemporaryDirectory(prefix="h") as home:
        token = Path(home, "token")
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        gcs, dashboard, agent, client = free_ports(4)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {
            "HOME": home,
            "PATH": f"{RAY.parent}{os.pathsep}{os.environ['PATH']}",  # as in an activated environment
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        options = {
            "port": gcs,
            "dashboard-host": "127.0.0.1",
            "dashboard-port": dashboard,
            "dashboard-agent-listen-port": agent,  # jobs need it; Ray would take 52365, free or not
            "ray-client-server-port": client,
            "temp-dir": home,
            "num-cpus": 4,
            "object-store-memory": 2**28,
        }
        command = [str(RAY), "start", "--head", "--block", *(f"--{name}={value}" for name, value in options.items())]
        told, log = {**environment, **variables}, Path(home, "head.log")
        with ray_process(command, told, log, stop=signal.SIGKILL) as process:  # asked to end, it takes half a minute
            wait_until(lambda: answers(dashboard, process), seconds=90)
            below = tuple(psutil.Process(process.pid).children(recursive=True))
            yield Head(f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{gcs}", environment, below, Path(home))


@contextlib.contextmanager
def joined(head: Head, log: Path, options: Mapping[str, object], **variables: str) -> Iterator[None]:
    """A second node of the cluster, of one processor, for the block.

    Args:
        options: Of Ray's `RayParams`, beside those that join the head.
    """
    params = {"gcs_address": head.address, "node_ip_address": "127.0.0.1", "num_cpus": 1, **options}
    command = [sys.executable, "-c", JOIN, json.dumps(params, default=str)]
    with ray_process(command, {**head.environment, **variables}, log, stop=signal.SIGTERM) as process:  # and leaves
        wait_until(lambda: process.poll() is not None or "joined" in log.read_text())
        assert process.poll() is None, log.read_text()
        yield


@contextlib.contextmanager
def ray_process(
    command: list[str], environment: Mapping[str, str], log: Path, *, stop: signal.Signals
) -> Iterator["subprocess.Popen[bytes]"]:
    """A command that runs Ray; `stop` ends it, with all its processes."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=output, stderr=output)
    try:
        yield process
    finally:
        below: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(stop)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        for each in below:
            with contextlib.suppress(psutil.Error):
                each.kill()
        process.kill()
        process.wait()
        wait_until(lambda: not alive(below), seconds=10)


def answers(port: int, process: "subprocess.Popen[bytes]") -> bool:
    """Whether the dashboard, and with it the jobs API, is there."""
    assert process.poll() is None, "the head ended"
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True

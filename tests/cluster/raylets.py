"""What the tests of clusters share: a toy recipe, and Ray's processes and sockets as seen from outside."""

import ipaddress
import signal
import subprocess
import time
from collections.abc import Callable

import psutil
from tiny_runs import TRAINED

LISTEN = "LISTEN"
CONFIG = {"kind": "hierarchical", **TRAINED, "epochs": 8.0}  # some hundred steps
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")  # Ray's own; they look for a lost head for a minute
HOW = {"tracking": "http://127.0.0.1:9", "checkpoint_every": 0.2}


def children(of: int | None = None) -> list[psutil.Process]:
    """All processes below `of`, by default below this one."""
    return psutil.Process(of).children(recursive=True)


def titled(title: str, below: int | None = None) -> list[psutil.Process]:
    """Processes below `below` whose title starts so: Ray's workers call themselves `ray::<actor>`."""
    found = []
    for process in children(below):
        try:
            if " ".join(process.cmdline()).startswith(title):
                found.append(process)
        except psutil.Error:
            continue
    return found


def open_to_others(processes: list[psutil.Process]) -> list[str]:
    """Sockets of `processes` that listen beyond loopback."""
    found = []
    for process in processes:
        try:
            for each in process.net_connections():
                address = ipaddress.ip_address(each.laddr.ip) if each.status == LISTEN else None
                if address and not (getattr(address, "ipv4_mapped", None) or address).is_loopback:
                    found.append(f"{process.name()} {each.laddr.ip}:{each.laddr.port}")
        except psutil.Error:
            continue
    return found


def wait_until(condition: Callable[[], object], *, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.05)


def alive(processes: list[psutil.Process], *, but: tuple[str, ...] = ()) -> list[str]:
    """Those of `processes` that have not ended, less those whose title starts with one of `but`."""
    found = []
    for process in processes:
        try:
            title = " ".join(process.cmdline())[:120]
            if process.status() != psutil.STATUS_ZOMBIE and not title.startswith(but):
                found.append(title)
        except psutil.Error:
            continue
    return found


def stops_when_asked(driver: "subprocess.Popen[bytes]") -> None:
    """By SIGTERM: it says how to go on, and leaves no process."""
    processes = children(driver.pid)
    assert any("raylet" in process.name() for process in processes)
    driver.send_signal(signal.SIGTERM)
    output, _ = driver.communicate(timeout=150)
    wait_until(lambda: not alive(processes), seconds=60)
    assert driver.returncode == 128 + signal.SIGTERM, output.decode()
    assert b"go on with: dna-ray resume" in output.splitlines()[-1]

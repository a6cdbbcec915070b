"""What every benchmark needs: the machine in words, interleaved timing, and a table."""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch


def arguments(doc: str | None, *, threads: bool = True) -> argparse.ArgumentParser:
    """The options that all benchmarks share; the first paragraph of `doc` says what is measured."""
    parser = argparse.ArgumentParser(description=(doc or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="toy sizes: shows that it runs, its figures mean nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    if threads:
        parser.add_argument("--threads", type=int, default=1, help="threads of torch in each process [default: 1]")
    return parser


def interleaved(
    cases: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warm_up: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each case over `rounds` rounds A B C A B C ..., so that a slow moment meets all alike.

    Args:
        clock: `time.process_time` leaves out what other programs take from the processor; for one thread only.
    """
    for run in cases.values():
        for _ in range(warm_up):
            run()
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, run in cases.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def clock_for(threads: int) -> Callable[[], float]:
    """Processor time where one thread does all the work, else the time on the wall."""
    return time.process_time if threads == 1 else time.perf_counter


def machine() -> dict[str, str]:
    """Processor, cores, fast dtypes, load and versions, in words."""
    fast = [name for name in ("avx512_bf16", "amx_bf16") if torch.cpu.get_capabilities().get(name)]
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "bfloat16": ", ".join(fast) or "no instructions for it",
        "load": f"{os.getloadavg()[0]:.1f}",
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def show(title: str, rows: Sequence[Mapping[str, Any]], json_file: Path | None) -> None:
    """Prints a Markdown table, and writes the same figures with the machine as JSON."""
    about = machine()
    print(f"### {title}\n\n{'; '.join(f'{name} {value}' for name, value in about.items())}\n")
    columns = list(rows[0])
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for row in rows:
        print("| " + " | ".join(_word(row[column]) for column in columns) + " |")
    if json_file:
        record = {"title": title, "command": " ".join(sys.argv), "machine": about, "rows": list(rows)}
        json_file.write_text(json.dumps(record, indent=2) + "\n")


def _word(value: Any) -> str:
    return (
        f"{value:,.3g}"
        if isinstance(value, float) and abs(value) < 1000
        else f"{value:,.0f}"
        if isinstance(value, (int, float))
        else str(value)
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if (info.exists())
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()

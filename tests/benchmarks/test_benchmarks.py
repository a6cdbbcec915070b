"""Each benchmark that runs in one process runs at toy size, and says the same in its table and in its JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["siren_gemm", "loader_loops", "cli_start", "search_overhead"])
def test_benchmark_runs_at_toy_size(name: str, tmp_path: Path):
    figures = tmp_path / "figures.json"
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--quick", "--json", str(figures)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    record = json.loads(figures.read_text())
    lines = [line for line in ran.stdout.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(record["rows"])
    assert all(column in lines[0] for column in record["rows"][0])
    assert {"processor", "cores", "torch"} <= set(record["machine"])

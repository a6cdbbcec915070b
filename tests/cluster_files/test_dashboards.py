"""Panels and alerts ask only for what the code, or Ray, measures; promtool parses them where it is installed."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from locked import ROOT

from dna_ray.distributed.metrics import COUNTERS, GAUGES, LABELS, PREFIX

DASHBOARDS = ROOT / "dashboards"
BOARDS = sorted((DASHBOARDS / "grafana" / "dashboards").glob("*.json"))
ALERTS = DASHBOARDS / "prometheus" / "alerts.yml"

OURS = {f"ray_{PREFIX}{name}" for name in GAUGES} | {f"ray_{PREFIX}{name}_total" for name in COUNTERS}
METRIC = re.compile(r"\b(ray_\w+|up)\b(?!\()")


def rays() -> set[str]:
    """Ray's own; it reads its settings when it is imported, so not while tests are collected."""
    from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

    return {f"ray_{name}" for name in METRICS_GAUGES}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def panels(board: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(board.read_text())["panels"]
    return found


def queries() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for board in BOARDS for panel in panels(board) for target in panel["targets"])


def asked_for(expression: str) -> set[str]:
    """Names of metrics in an expression; what stands in braces and quotes are labels."""
    return set(METRIC.findall(re.sub(r"\{[^}]*\}", "", expression)))


def test_every_metric_that_is_asked_for_is_measured():
    asked = set().union(*map(asked_for, queries()))
    assert asked - OURS - rays() == {"up"}


def test_every_metric_that_is_measured_is_shown():
    assert set().union(*map(asked_for, queries())) >= OURS


def test_labels_are_those_that_the_metrics_have():
    for expression in queries():
        named = set(re.findall(r"(\w+)\s*=~?\s*\"", expression)) | {
            name.strip() for names in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression) for name in names.split(",")
        }
        assert named <= {*LABELS, "error", "job", "instance"}, expression


@pytest.mark.parametrize("board", BOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_one_that_grafana_can_lay_out(board: Path):
    seen: set[tuple[int, int]] = set()
    for panel in panels(board):
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & seen, f"{panel['title']} lies on another panel"
        seen |= cells
        assert panel["datasource"]["uid"] == "prometheus"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    assert len({panel["id"] for panel in panels(board)}) == len(panels(board))
    assert json.loads(board.read_text())["uid"] == f"dna-ray-{board.stem}"


def test_grafana_finds_its_data_and_its_dashboards():
    provisioning = DASHBOARDS / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["uid"] == "prometheus"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "dna_ray.yaml").read_text())["providers"]
    compose = yaml.safe_load((ROOT / "cluster" / "compose.yaml").read_text())["services"]["grafana"]
    assert f"../dashboards/grafana/dashboards:{provider['options']['path']}:ro" in compose["volumes"]
    assert source["url"].removeprefix("$") in compose["environment"]


def test_every_alert_says_what_it_saw_and_what_to_do():
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    assert {"RunStalled", "LossNotFinite", "TrackingBehind", "NodeLost", "CheckpointTooOld"} <= set(names)
    for rule in rules():
        assert rule["annotations"].keys() == {"summary", "action"}
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_brackets_are_balanced():
    for expression in queries():
        bare = re.sub(r'"[^"]*"', "", expression)
        assert all(bare.count(opening) == bare.count(closing) for opening, closing in ("()", "{}", "[]")), expression


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, of Debian's package prometheus")
def test_promtool_takes_the_alerts_and_every_query(tmp_path: Path):
    recorded = [
        {"record": f"query_{number}", "expr": expression.replace("$run", ".*").replace("$__range", "1h")}
        for number, expression in enumerate(queries())
    ]
    every = tmp_path / "queries.yml"
    every.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}))
    for file in (ALERTS, every):
        checked = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr

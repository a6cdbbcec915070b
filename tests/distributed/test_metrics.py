"""What the journal of a run says is what Prometheus sees of it, while its driver is connected to Ray."""

import threading
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from raylets import wait_until
from tiny_runs import TRAINED, recipe_for, write_bert

from dna_ray.distributed.cluster import ray_cluster
from dna_ray.distributed.metrics import GAUGES, Meter, metered, published
from dna_ray.mining.fit import DivergedError
from dna_ray.tracking import journal
from dna_ray.verbs.mine import mine

NOBODY = {"tracking": "http://127.0.0.1:9"}


def meter_of(tracked: Callable[[], int] = lambda: 0) -> Meter:
    return Meter(run="mine-bert", network="bert", tracked=tracked)


def test_figures_are_the_latest_that_the_journal_says():
    meter = meter_of()
    meter.saw({"event": "run", "how": {"workers": 2}}, {"event": "shards", "bytes": [100, 120]})
    points = [{"step": step, "loss": 1 - r2, "r2": r2} for step, r2 in ((1, 0.25), (2, 0.5), (3, 0.75))]
    meter.saw({"event": "steps", "points": points})
    meter.saw({"event": "checkpoint", "step": 2, "time": 7000})
    figures = meter.figures()
    assert (figures["workers"], figures["shard_bytes"]) == (2, 120)
    assert (figures["step"], figures["loss"], figures["r2"]) == (3, 0.5, 0.5)
    assert figures["checkpoint_timestamp_seconds"] == figures["told_timestamp_seconds"] == 7
    assert "cosine" not in figures


def test_counts_go_on_where_an_earlier_process_left_them():
    told = {"event": "told", "evaluations": [{"status": "ok"}, {"status": "failed"}]}
    past = [told, {"event": "rejected"}, {"event": "quarantined"}, {"event": "generation", "best": 0.1, "median": 0.2}]
    meter = meter_of()
    meter.saw(*past)
    meter.saw(told, {"event": "adopted"})
    figures = meter.figures()
    assert (figures["agents_evaluated"], figures["agents_failed"], figures["agents_quarantined"]) == (4, 2, 1)
    assert (figures["programs_rejected"], figures["programs_adopted"]) == (1, 1)
    assert (figures["best_loss"], figures["median_loss"]) == (0.1, 0.2)


def test_the_backlog_is_what_mlflow_does_not_have_yet():
    meter = meter_of(tracked=lambda: 2)
    assert meter.figures()["tracking_backlog"] == 0
    meter.saw(*[{"event": "artifact"}] * 5)
    assert meter.figures()["journal_entries"] == 5
    assert meter.figures()["tracking_backlog"] == 3


def test_the_journal_of_a_real_run_gives_figures_that_all_have_a_gauge(tmp_path: Path):
    network = write_bert(tmp_path / "bert")
    result = mine(recipe_for(network, tmp_path / "runs", how=NOBODY, kind="spectral", **TRAINED))
    meter = meter_of()
    entries = journal.read(Path(result.run))
    meter.saw(*entries)
    figures = meter.figures()
    assert figures.keys() <= GAUGES.keys()
    assert {"step", "loss", "r2", "coordinates_per_second", "checkpoint_timestamp_seconds"} <= figures.keys()
    assert figures["journal_entries"] == len(entries)


def test_a_process_that_works_on_no_run_shows_nothing():
    with published():
        assert "metrics" not in [thread.name for thread in threading.enumerate()]


def scraped() -> dict[str, float]:
    """What the connected Ray's one node tells Prometheus of our runs: name and error -> value."""
    import ray

    (node,) = ray.nodes()
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    lines = urllib.request.urlopen(address, timeout=5).read().decode().splitlines()
    samples = [line.rpartition(" ") for line in lines if line.startswith("ray_dna_ray_")]
    assert all('run="mine-bert"' in labels and 'network="bert"' in labels for labels, _, _ in samples)
    return {labels.partition("{")[0].removeprefix("ray_dna_ray_"): float(value) for labels, _, value in samples}


@pytest.mark.ray
def test_prometheus_sees_a_run_while_its_driver_is_connected_and_sees_it_leave_and_why(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_metrics_report_interval_ms", "1000")
    meter = meter_of()
    meter.saw({"event": "steps", "points": [{"step": 3, "loss": 0.25}]})
    with ray_cluster(None, workers=1):
        with suppress(DivergedError), metered(meter), ray_cluster(None, workers=1):
            wait_until(lambda: scraped().get("at_work") == 1, seconds=60)
            assert scraped()["loss"] == 0.25
            raise DivergedError("step 4: the loss on shard 0 of 1 is not finite")
        wait_until(lambda: scraped().get("at_work") == 0, seconds=60)
        assert scraped()["failures_total"] == 1

"""The files for Ray's cluster launcher fit the schema that ships in Ray, and keep what the README promises."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError, validate
from locked import ROOT

from dna_ray.recipe import read_recipe

RAY = Path(importlib.util.find_spec("ray").origin).parent  # not imported: it reads its settings then
SCHEMA = json.loads((RAY / "autoscaler" / "ray-schema.json").read_text())
FILES = sorted((ROOT / "cluster").glob("ray-*.yaml"))


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(request.param.read_text())
    return found


def test_there_is_a_file_for_each_way():
    assert [path.stem for path in FILES] == ["ray-aws", "ray-gcp", "ray-on-premises"]


def test_the_launcher_takes_it(config: dict[str, Any]):
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate(config, SCHEMA)
    validate_config(prepare_config(config))


def test_a_misspelt_key_is_refused(config: dict[str, Any]):
    with pytest.raises(ValidationError, match="max_worker"):
        validate({**config, "max_worker": 2}, SCHEMA)


def test_every_node_starts_with_the_token_which_the_launcher_brings(config: dict[str, Any]):
    assert "~/.ray/auth_token" in config["file_mounts"]
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        assert "RAY_AUTH_MODE=token" in commands[-1]
        assert "RAY_USAGE_STATS_ENABLED=0" in commands[-1]


def test_the_dashboard_stays_on_the_loopback_of_the_head(config: dict[str, Any]):
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]


def test_neither_runs_nor_secrets_nor_history_are_sent_to_the_nodes(config: dict[str, Any]):
    assert {".git", ".venv", "runs", "cluster/secrets"} <= set(config["rsync_exclude"])


def test_the_addresses_are_those_that_no_machine_has():
    text = "".join(path.read_text() for path in FILES)
    assert "192.0.2." in text
    assert not [each for each in ("10.0.", "172.16.", "192.168.") if each in text]


def test_nodes_of_the_clouds_are_enough_for_the_recipes_that_want_gpus(config: dict[str, Any]):
    workers = config.get("available_node_types", {}).get("gpu-worker")
    recipes = [
        read_recipe(ROOT / "jobs" / "recipes" / f"{name}.yaml") for name in ("bert-base-uncased", "roberta-base")
    ]
    if workers:
        assert workers["max_workers"] >= workers["min_workers"] >= max(recipe.how.workers for recipe in recipes)

"""The verbs as commands: one JSON object each, exit codes, and the way from options to a recipe."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from finished_run import Finished

from dna_ray.cli import main


def dna_ray(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="dna-ray")


def told(*arguments: str, code: int = 0) -> dict[str, Any]:
    done = dna_ray(*arguments, "--json", "-q")
    assert done.exit_code == code, done.output
    values = json.loads(done.stdout)
    assert values["schema"] == 1
    return values


def test_every_verb_that_reads_gives_one_object(finished: Finished, tmp_path: Path):
    run, dna, network = finished.run.name, str(finished.run.dna), str(finished.network)
    assert told("status", run)["state"] == "finished"
    assert told("inspect", run)["sort"] == "run"
    assert told("inspect", dna)["sort"] == "dna"
    assert told("inspect", network)["sort"] == "network"
    assert told("verify", run)["state"] == "good"
    assert told("lineage", dna)["verb"] == "lineage"
    assert told("doctor")["fit"] is True
    assert told("rebuild", dna, "--out", str(tmp_path / "rebuilt"))["exact"] is True
    assert told("evaluate", dna, "--limit", "12")["score"]["n"] == 12


def test_verify_exits_by_what_it_finds(finished: Finished):
    assert told("verify", str(finished.home / "nowhere.safetensors"), code=9)["state"] == "unknown"
    (finished.run.dna / "model.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}")
    assert told("verify", str(finished.run.dna), code=5)["state"] == "bad"


def test_a_failure_is_one_line_and_one_object(finished: Finished):
    done = dna_ray("status", "nosuch", "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["error"]["type"] == "InputError"
    assert done.stderr.startswith("dna-ray: error: 'nosuch': no such run")
    assert done.stderr.count("\n") == 1


def test_text_goes_to_stdout_alone(finished: Finished):
    done = dna_ray("rebuild", finished.run.name, "--out", str(finished.home / "rebuilt"))
    assert done.stdout.startswith(str(finished.home / "rebuilt"))
    assert "rebuild done: 23/23 tensors" in done.stderr


def test_the_name_of_a_verb_of_a_group_is_told_in_full(finished: Finished):
    assert told("track", "sync", "nosuch", code=3)["verb"] == "track sync"


def test_print_config_is_the_recipe_of_the_options(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DNA_RAY_WORKERS", "7")
    done = dna_ray("mine", "sample:minilm", "--kind", "svd", "--ratio", "44", "--set", "what.seed=3", "--print-config")
    recipe = yaml.safe_load(done.stdout)
    assert recipe["verb"] == "mine"
    assert {key: recipe["what"][key] for key in ("network", "kind", "ratio", "seed")} == {
        "network": "sample:minilm",
        "kind": "svd",
        "ratio": 44.0,
        "seed": 3,
    }
    assert recipe["how"]["workers"] == 7


def test_a_printed_recipe_is_the_same_recipe_when_it_is_read(tmp_path: Path):
    printed = dna_ray("compare", "x", "--kinds", "svd,spectral", "--no-elastic", "--print-config").stdout
    path = tmp_path / "recipe.yaml"
    path.write_text(printed)
    assert dna_ray("compare", "--recipe", str(path), "--print-config").stdout == printed
    assert dna_ray("run", str(path), "--print-config").stdout == printed


def test_compare_knows_by_its_recipe_that_it_is_of_evolution(tmp_path: Path):
    printed = dna_ray("compare", "x", "--evolution", "--sparsities", "0.6,0.8", "--print-config").stdout
    assert yaml.safe_load(printed)["verb"] == "compare-evolution"
    assert yaml.safe_load(printed)["what"]["sparsities"] == [0.6, 0.8]
    path = tmp_path / "recipe.yaml"
    path.write_text(printed)
    assert dna_ray("compare", "--recipe", str(path), "--print-config").stdout == printed
    assert dna_ray("run", str(path), "--print-config").stdout == printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mine",), "no network is given"),
        (("mine", "x", "--ratio", "0"), "option --ratio: ratio must be more than 0"),
        (("mine", "x", "--ratio", "2", "--bytes", "3"), "exclude each other"),
        (("mine", "x", "--set", "what.knid=svd"), "did you mean 'what.kind'"),
        (("mine", "--recipe", "none.yaml"), "none.yaml: cannot read the recipe"),
        (("mine", "x", "--calibrate", "agreement", "--kind", "svd"), "kind svd cannot be calibrated"),
        (("mine", "x", "--calibrate", "agreement", "--r2", "0.9"), "give a ratio or bytes"),
        (("mine", "x", "--calibration-texts", "15"), "calibration_texts must be at least 16, got 15"),
        (("compare", "x", "--kinds", "svd,hierarchal"), "did you mean 'hierarchical'"),
        (("compare", "x", "--evolution", "--methods", "wando,machine"), "did you mean 'wanda'"),
        (("compare", "x", "--evolution", "--ratio", "22"), "option --ratio goes without --evolution"),
        (("compare", "x", "--seeds", "3"), "option --seeds goes only with --evolution"),
        (("run", "none.yaml"), "none.yaml: cannot read the recipe"),
        (("resume", "nosuch"), "no such run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_recipe_that_does_not_fit_exits_3(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    done = dna_ray(*arguments, "-q")
    assert done.exit_code == 3
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_task_to_calibrate_on_that_is_misspelt_exits_2():
    done = dna_ray("mine", "x", "--calibrate", "agreemnt")
    assert done.exit_code == 2
    assert "'agreemnt' is not known; did you mean 'agreement'?" in done.stderr

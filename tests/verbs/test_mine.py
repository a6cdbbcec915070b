import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file
from tiny_runs import TRAINED, Watcher, recipe_for, write_bert, write_reader

from dna_ray.errors import (
    BudgetError,
    FieldError,
    InputError,
    LockedError,
    NetworkError,
    RecipeError,
    SpaceError,
    TaskError,
)
from dna_ray.networks import load
from dna_ray.recipe import to_yaml
from dna_ray.tracking import journal
from dna_ray.tracking.journal import Journal
from dna_ray.tracking.record import read_record
from dna_ray.tracking.store import database_uri
from dna_ray.verbs.mine import MineResult, mine, plan
from dna_ray.verbs.mined import file_id
from dna_ray.verbs.runs import open_run
from dna_ray.verbs.track import sync

NOBODY = "http://127.0.0.1:9"  # where no tracking server listens
SPECTRAL = {"kind": "spectral", **TRAINED}
SVD = {"kind": "svd", "ratio": 4.0}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("networks") / "bert")


@pytest.fixture(scope="module")
def undisturbed(network: Path, tmp_path_factory: pytest.TempPathFactory) -> MineResult:
    """A spectral DNA, mined in one go with a tracking database of its own."""
    return mine(recipe_for(network, tmp_path_factory.mktemp("undisturbed"), **SPECTRAL))


def events(run: Path | str) -> list[str]:
    return [entry["event"] for entry in journal.read(Path(run))]


def printed(result: MineResult) -> str:
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(result)
    return capture.get()


def leftovers(folder: Path) -> list[str]:
    """Files under a temporary name: hidden ones that are neither lock nor MLflow's map."""
    return [path.name for path in folder.rglob(".*") if not path.name.endswith(".lock")]


def test_a_run_leaves_dna_report_figures_and_a_journal_in_order(undisturbed: MineResult):
    run = Path(undisturbed.run)
    assert file_id(run / "dna") == undisturbed.id
    assert {path.name for path in (run / "dna").iterdir()} == {"model.safetensors", "config.json", "README.md"}
    assert "spectral" in (run / "report.md").read_text()
    assert {path.name for path in (run / "figures").iterdir()} == {
        f"{name}.png" for name in ("bytes", "curve", "errors", "tensors")
    }
    told = events(run)
    assert told[:2] == ["run", "network"]
    assert told[-1] == "end"
    assert told.index("steps") < told.index("checkpoint") < told.index("dna") < told.index("artifact")
    assert not (run / "checkpoints").exists()
    assert not leftovers(run)


def test_the_curve_in_the_journal_reaches_the_last_step_with_rising_steps_and_times(undisturbed: MineResult):
    points = list(read_record(Path(undisturbed.run)).points.values())
    assert [point["step"] for point in points] == sorted({point["step"] for point in points})
    assert points[-1]["step"] > 100
    assert all(later["time"] >= sooner["time"] for sooner, later in zip(points, points[1:], strict=False))


@pytest.mark.parametrize("config", [SVD, {"kind": "verbatim"}])
def test_kinds_that_do_not_train_are_mined_alike(network: Path, tmp_path: Path, config: dict[str, object]):
    result = mine(recipe_for(network, tmp_path, how={"tracking": NOBODY}, **config))
    assert file_id(Path(result.dna)) == result.id
    assert (result.measures.metrics()["r2"] == 1.0) == (config["kind"] == "verbatim")
    assert events(result.run)[:2] == ["run", "network"]
    assert "steps" not in events(result.run)


def test_the_coded_kind_tells_what_its_parts_save_in_the_terminal_in_json_and_on_the_page(
    network: Path, tmp_path: Path
):
    watcher = Watcher()
    recipe = recipe_for(network, tmp_path, how={"tracking": NOBODY}, kind="coded", ratio=3.0, effort=8)
    result = mine(recipe, progress=watcher)
    assert result.structure is not None
    assert result.structure.total.weights == result.measures.achieved.weights
    assert "structure" in watcher.stages
    written = json.loads((Path(result.run) / "result.json").read_text())
    assert set(written["structure"]["per_weight"]["all"]) == {"iid", "scales", "transform", "coder", "file", "net"}
    assert MineResult.from_json(written) == result
    assert "coder: trellis and range coder" in printed(result)
    assert "## Structure found" in (Path(result.run) / "report.md").read_text()
    assert (Path(result.run) / "figures" / "structure.png").is_file()


def test_a_coded_dna_is_calibrated_before_it_is_encoded_and_as_large_as_asked_for(tmp_path: Path):
    reader, watcher = write_reader(tmp_path / "bert"), Watcher()
    recipe = recipe_for(
        reader,
        tmp_path / "runs",
        how={"tracking": NOBODY},
        what={"task": "none", "texts": str(reader / "texts.txt")},
        ratio=3.0,
        effort=8,
        calibrate="agreement",
        calibration_texts=16,
    )
    result = mine(recipe, progress=watcher)
    assert watcher.stages.index("calibrate") < watcher.stages.index("encode")
    assert 0.99 < 3 * result.measures.file_bytes / load(reader).anatomy.fp32_bytes <= 1
    assert "coder, gains" in printed(result)


def test_too_few_texts_to_calibrate_on_are_named(tmp_path: Path):
    reader, few = write_reader(tmp_path / "bert"), tmp_path / "few.txt"
    few.write_text("a text of some words\nanother one of these")
    what = {"task": "none", "texts": str(few)}
    recipe = recipe_for(reader, tmp_path / "runs", how={"tracking": NOBODY}, what=what, calibrate="agreement")
    with pytest.raises(
        TaskError, match=r"few\.txt: \d distinct texts .* in split 'calibration' .*; give a longer file"
    ):
        mine(recipe)
    assert not leftovers(tmp_path)


def test_other_kinds_have_no_such_parts(undisturbed: MineResult):
    assert undisturbed.structure is None
    assert "coder:" not in printed(undisturbed)
    assert "Structure found" not in (Path(undisturbed.run) / "report.md").read_text()


def test_a_result_of_an_earlier_version_has_no_structure(undisturbed: MineResult):
    written = json.loads((Path(undisturbed.run) / "result.json").read_text())
    del written["structure"]
    assert MineResult.from_json(written) == undisturbed


def test_a_result_goes_through_json(undisturbed: MineResult):
    written = json.loads((Path(undisturbed.run) / "result.json").read_text())
    assert MineResult.from_json(written) == undisturbed


def test_a_finished_run_is_shown_again_without_work(network: Path, undisturbed: MineResult):
    watcher, before = Watcher(), len(events(undisturbed.run))
    again = mine(recipe_for(network, Path(undisturbed.run).parent, **SPECTRAL), progress=watcher)
    assert again == undisturbed
    assert watcher.stages == ["load"]
    assert "--fresh" in watcher.notes[0]
    assert len(events(undisturbed.run)) == before


def test_a_finished_run_whose_dna_is_gone_is_mined_again(network: Path, tmp_path: Path):
    recipe = recipe_for(network, tmp_path, how={"tracking": NOBODY}, **SVD)
    first = mine(recipe)
    for each in Path(first.dna).iterdir():
        each.unlink()
    assert mine(recipe).id == first.id


def test_fresh_sets_the_old_run_aside_and_makes_the_same_bytes(network: Path, tmp_path: Path):
    recipe = recipe_for(network, tmp_path, how={"tracking": NOBODY}, **SVD)
    first, second = mine(recipe), mine(recipe, fresh=True)
    assert first.id == second.id
    assert Path(f"{first.run}~1").is_dir()


def test_stopped_in_the_middle_it_goes_on_and_ends_with_the_same_bytes(
    network: Path, undisturbed: MineResult, tmp_path: Path
):
    recipe = recipe_for(network, tmp_path, how={"tracking": NOBODY}, **SPECTRAL)
    for stop_after in (40, 25):
        watcher = Watcher(stop_after=stop_after)
        with pytest.raises(KeyboardInterrupt):
            mine(recipe, progress=watcher)
        assert not leftovers(tmp_path)
    result = mine(recipe)
    assert result.id == undisturbed.id
    entries = journal.read(Path(result.run))
    resumed = [entry["step"] for entry in entries if entry["event"] == "resumed"]
    assert len(resumed) == 2
    assert 0 < resumed[0] < resumed[1]
    assert [entry["status"] for entry in entries if entry["event"] == "end"] == ["stopped", "stopped", "finished"]


def test_another_recipe_in_the_same_folder_is_refused(network: Path, tmp_path: Path):
    folder = tmp_path / "here"
    mine(recipe_for(network, tmp_path, how={"tracking": NOBODY, "run_dir": str(folder)}, **SVD))
    with pytest.raises(RecipeError, match="another recipe"):
        mine(recipe_for(network, tmp_path, how={"run_dir": str(folder)}, kind="svd", ratio=5.0))


def test_a_place_for_the_dna_that_is_taken_is_refused_before_any_work(network: Path, tmp_path: Path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("mine")
    watcher = Watcher()
    recipe = recipe_for(network, tmp_path / "runs", how={"tracking": NOBODY, "out": str(taken)}, **SPECTRAL)
    with pytest.raises(InputError, match="is no DNA folder; choose another --out"):
        mine(recipe, progress=watcher)
    assert set(watcher.stages) <= {"load", "record"}
    assert [path.name for path in taken.iterdir()] == ["thesis.txt"]


def test_the_dna_goes_where_out_says(network: Path, tmp_path: Path):
    out = tmp_path / "out"
    result = mine(recipe_for(network, tmp_path / "runs", how={"tracking": NOBODY, "out": str(out)}, **SVD))
    assert Path(result.dna) == out
    assert file_id(out) == result.id


@pytest.mark.parametrize("kind", ["svd", "spectral", "verbatim"])
def test_a_budget_too_small_names_the_smallest_file_and_that_one_is_possible(network: Path, tmp_path: Path, kind: str):
    with pytest.raises(BudgetError, match="smallest possible is") as caught:
        plan(recipe_for(network, tmp_path, kind=kind, ratio=1000.0))
    assert plan(recipe_for(network, tmp_path, kind=kind, bytes=caught.value.smallest))
    with pytest.raises(BudgetError):
        plan(recipe_for(network, tmp_path, kind=kind, bytes=caught.value.smallest - 64))


def test_a_plan_writes_nothing(network: Path, tmp_path: Path):
    planned = plan(recipe_for(network, tmp_path, workers=2, **SPECTRAL))
    assert planned.cost is not None
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:.*tensors have names")
@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        ({"good": torch.ones(4, 4), "bad": torch.tensor([[1.0, float("nan")]])}, FieldError, "'bad' holds 1 values"),
        ({"huge": torch.tensor([[float("inf"), 1.0]])}, FieldError, "huge"),
        ({}, FieldError, "state dict is empty"),
        ({"counter": torch.arange(4)}, InputError, "floating"),
    ],
)
def test_weights_that_cannot_be_mined_are_named(
    tmp_path: Path, tensors: dict[str, torch.Tensor], error: type[Exception], message: str
):
    file = tmp_path / "weights.safetensors"
    save_file(tensors, file)
    with pytest.raises(error, match=message):
        mine(recipe_for(file, tmp_path / "runs", how={"tracking": NOBODY}, **SVD))
    assert not leftovers(tmp_path)


def test_a_network_that_is_not_there_leaves_no_run(tmp_path: Path):
    with pytest.raises(NetworkError):
        mine(recipe_for(tmp_path / "nothing", tmp_path / "runs", **SVD))
    assert not (tmp_path / "runs").exists()


def test_two_drivers_do_not_work_on_one_run(network: Path, tmp_path: Path):
    recipe = recipe_for(network, tmp_path, **SVD)
    run = open_run(recipe, fingerprint=load(network).fingerprint)
    with Journal(run.path), pytest.raises(LockedError, match=str(os.getpid())):
        mine(recipe)


def test_without_a_tracking_server_a_run_succeeds_and_is_recorded_later(network: Path, tmp_path: Path):
    watcher = Watcher()
    result = mine(recipe_for(network, tmp_path, how={"tracking": NOBODY}, **SVD), progress=watcher)
    assert any("MLflow lacks" in note and "dna-ray track sync" in note for note in watcher.notes)
    assert read_record(Path(result.run)).status == "finished"
    assert sync(result.run, uri=database_uri(tmp_path)).report.missing == 0


def run_with_room(recipe: Path, room: int | None, home: Path) -> "subprocess.CompletedProcess[str]":
    """`dna-ray mine` in a process whose files cannot be longer than `room` bytes."""

    def limit() -> None:
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    return subprocess.run(
        [sys.executable, "-m", "dna_ray", "mine", "--recipe", str(recipe), "--json"],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "DNA_RAY_HOME": str(home), "MPLCONFIGDIR": str(home)},
    )


@pytest.mark.parametrize("room", [3_000, 30_000])
def test_without_space_a_run_ends_with_code_6_and_goes_on_afterwards(
    network: Path, undisturbed: MineResult, tmp_path: Path, room: int
):
    recipe = recipe_for(network, tmp_path, how={"tracking": NOBODY, "checkpoint_every": 0.05}, **SPECTRAL)
    file = tmp_path / "recipe.yaml"
    file.write_text(to_yaml(recipe))
    full = run_with_room(file, room, tmp_path)
    assert full.returncode == SpaceError.exit_code, full.stderr
    assert "no space left" in full.stderr
    assert not leftovers(tmp_path)
    assert mine(recipe).id == undisturbed.id

"""inspect, verify, rebuild, evaluate: what is done with a network or a DNA that is there."""

from pathlib import Path

import pytest
import torch
from finished_run import Finished, shown
from transformers import AutoModel

from dna_ray import networks
from dna_ray.errors import ArtifactError, InputError, NetworkError, TaskError
from dna_ray.mining import KINDS
from dna_ray.mining.config import MineConfig
from dna_ray.mining.dna import write_dna
from dna_ray.mining.field import read_field
from dna_ray.tasks import TaskSettings
from dna_ray.verbs.evaluate import evaluate
from dna_ray.verbs.inspect import DnaResult, NetworkResult, RunResult, inspect
from dna_ray.verbs.rebuild import rebuild
from dna_ray.verbs.subject import locate
from dna_ray.verbs.verify import verify


def damage(path: Path, *, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_word_means_a_run_a_dna_or_a_network(finished: Finished):
    run = finished.run
    named = {
        str(run.path): "run",
        run.name: "run",
        run.identity[:6]: "run",
        str(run.dna): "dna",
        str(run.dna / "model.safetensors"): "dna",
        str(finished.network): "network",
        str(finished.network / "model.safetensors"): "network",
        "sample:minilm": "network",
    }
    assert {name: locate(name, home=finished.home).sort for name in named} == named


def test_inspect_tells_what_is_in_a_network(finished: Finished):
    result = inspect(str(finished.network))
    assert isinstance(result, NetworkResult)
    told = result.to_json()
    assert (told["family"], told["layers"]) == ("bert", 1)
    assert told["parameters"] == sum(p.numel() for p in AutoModel.from_pretrained(finished.network).parameters())
    assert "word_embedding" in shown(result)


def test_inspect_reads_the_header_of_a_dna_only(finished: Finished):
    file = finished.run.dna / "model.safetensors"
    damage(file, at=-1)  # in a section, which is not looked at
    result = inspect(str(finished.run.dna))
    assert isinstance(result, DnaResult)
    told = result.to_json()
    assert (told["kind"], told["bytes"]) == ("verbatim", file.stat().st_size)
    assert told["network"]["name"] == str(finished.network)
    assert "verbatim" in shown(result)


def test_inspect_refuses_a_damaged_header(finished: Finished):
    damage(finished.run.dna / "model.safetensors", at=100)
    with pytest.raises(ArtifactError):
        inspect(str(finished.run.dna))


def test_inspect_tells_what_is_in_a_run(finished: Finished):
    result = inspect(finished.run.identity[:8])
    assert isinstance(result, RunResult)
    assert result.to_json()["recipe"]["what"]["kind"] == "verbatim"
    assert "finished" in shown(result)


def test_verify_finds_good_what_is_whole(finished: Finished):
    for whole in (finished.run.path, finished.run.dna, finished.run.dna / "model.safetensors", finished.network):
        result = verify(str(whole))
        assert (result.state, result.exit_code) == ("good", 0), shown(result)


@pytest.mark.parametrize("at", [3, 30, 100, -1])
def test_verify_finds_bad_a_dna_with_one_changed_bit(at: int, finished: Finished):
    damage(finished.run.dna / "model.safetensors", at=at)
    for damaged in (finished.run.path, finished.run.dna):
        result = verify(str(damaged))
        assert (result.state, result.exit_code) == ("bad", 5), shown(result)


def test_verify_finds_bad_a_lone_dna_whose_metadata_was_renamed(finished: Finished, tmp_path: Path):
    lone = tmp_path / "lone.safetensors"
    lone.write_bytes((finished.run.dna / "model.safetensors").read_bytes().replace(b'"dna"', b'"dnb"', 1))
    assert verify(str(lone)).state == "bad"


def test_verify_finds_bad_a_truncated_network(finished: Finished, tmp_path: Path):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((finished.network / "model.safetensors").read_bytes()[:-8])
    assert verify(str(cut)).state == "bad"


def test_verify_finds_bad_a_journal_with_a_changed_line(finished: Finished):
    damage(finished.run.journal, at=60)
    assert verify(str(finished.run.path)).state == "bad"


def test_verify_finds_bad_a_dna_that_is_not_the_one_of_the_journal(finished: Finished):
    file = finished.run.dna / "model.safetensors"
    other = finished.home / "other.safetensors"
    network = networks.from_state_dict({"a.bias": torch.ones(2)}, name="other")
    payload = KINDS["verbatim"].fit(read_field(network), None, MineConfig(kind="verbatim"))
    write_dna(other, network=network, kind="verbatim", payload=payload)
    other.replace(file)
    result = verify(str(finished.run.path))
    assert result.state == "bad"
    assert "another run has replaced it" in shown(result)


def test_verify_could_not_check_what_is_not_there(finished: Finished):
    for missing in ("sample:nosuch", str(finished.home / "nowhere" / "x.safetensors")):
        assert (verify(missing).state, verify(missing).exit_code) == ("unknown", 9)


def test_rebuild_gives_a_folder_that_opens_without_this_package(finished: Finished, tmp_path: Path):
    result = rebuild(finished.run.name, out=tmp_path / "rebuilt")
    assert result.exact
    rebuilt, original = (AutoModel.from_pretrained(each) for each in (tmp_path / "rebuilt", finished.network))
    assert rebuilt.state_dict().keys() == original.state_dict().keys()
    assert all(torch.equal(weights, original.state_dict()[name]) for name, weights in rebuilt.state_dict().items())
    assert {each.name for each in (tmp_path / "rebuilt").iterdir()} == {
        each.name for each in finished.network.iterdir()
    }
    assert "every bit" in shown(result)


def test_rebuild_of_a_lone_file_has_the_weights_only(finished: Finished, tmp_path: Path):
    lone = tmp_path / "lone.safetensors"
    lone.write_bytes((finished.run.dna / "model.safetensors").read_bytes())
    result = rebuild(str(lone), out=tmp_path / "rebuilt")
    assert result.exact
    assert result.opening is None
    assert [each.name for each in (tmp_path / "rebuilt").iterdir()] == ["model.safetensors"]


def test_rebuild_leaves_nothing_behind_when_it_fails(finished: Finished, tmp_path: Path):
    damage(finished.run.dna / "model.safetensors", at=-1)
    with pytest.raises(ArtifactError):
        rebuild(str(finished.run.dna), out=tmp_path / "rebuilt")
    assert not (tmp_path / "rebuilt").exists()


def test_rebuild_does_not_overwrite(finished: Finished):
    with pytest.raises(NetworkError, match="exists"):
        rebuild(str(finished.run.dna), out=finished.network)


def test_rebuild_takes_dna_only(finished: Finished, tmp_path: Path):
    with pytest.raises(InputError, match="is no DNA"):
        rebuild(str(finished.network), out=tmp_path / "x")
    with pytest.raises(InputError, match="no such file, folder or run"):
        rebuild("nowhere", out=tmp_path / "x")


def test_evaluate_holds_a_dna_against_the_network_that_it_names(finished: Finished):
    result = evaluate(finished.run.name, settings=TaskSettings(limit=12))
    assert result.score.task == "agreement"
    assert result.original == str(finished.network)
    assert result.score.metrics["cosine"].value == pytest.approx(1.0)
    assert "cosine" in shown(result)


def test_evaluate_warns_of_a_network_that_is_held_against_itself(finished: Finished):
    with pytest.warns(UserWarning, match="held against itself"):
        evaluate(str(finished.network), settings=TaskSettings(limit=12))


def test_evaluate_refuses_an_original_that_is_another_network(finished: Finished):
    with pytest.raises(TaskError, match="was mined from"):
        evaluate(str(finished.run.dna), original="sample:minilm", settings=TaskSettings(limit=12))


def test_evaluate_says_why_a_bare_network_is_not_measured(finished: Finished):
    bare = str(finished.network / "model.safetensors")
    with pytest.raises(TaskError, match="function: not measured"), pytest.warns(UserWarning, match="against itself"):
        evaluate(bare)

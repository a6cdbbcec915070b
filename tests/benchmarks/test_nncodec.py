"""What can be known of the yardstick nncodec without it: what it is handed, and that the figures measured are whole."""

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import dna_ray.report
from dna_ray.networks import from_state_dict

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MEASURED = Path(dna_ray.report.__file__).parent / "nncodec_measured.json"

pytestmark = pytest.mark.filterwarnings("ignore:.* names that no table of the family")


@pytest.fixture
def yardstick(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark as a module; it finds its neighbours as it does when it is run."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    spec = importlib.util.spec_from_file_location("nncodec_yardstick", BENCHMARKS / "nncodec_yardstick.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small() -> dict[str, torch.Tensor]:
    shared = torch.randn(6, 4)
    return {
        "bias": torch.randn(4).to(torch.bfloat16),
        "ids": torch.arange(6).reshape(1, 6),
        "one": shared,
        "other": shared,
        "scalar": torch.tensor(2.0),
    }


def test_nncodec_is_handed_every_tensor_once_and_its_answer_is_read_as_ours(yardstick: ModuleType, tmp_path: Path):
    tensors = small()
    network = from_state_dict(tensors, name="small")
    arrays = yardstick.exported(network)
    assert sorted(arrays) == ["bias", "ids", "one", "scalar"]
    assert {array.dtype.name for array in arrays.values()} == {"float32", "int32"}
    np.savez(tmp_path / "decoded.npz", **arrays | {"scalar": np.array([2.0], np.float32)})  # as nncodec returns scalars
    decoded = dict(yardstick.decoded(network, tmp_path / "decoded.npz"))
    assert list(decoded) == list(tensors)
    for name, tensor in tensors.items():
        assert decoded[name].dtype == tensor.dtype
        assert torch.equal(decoded[name], tensor)


def test_integers_that_nncodec_cannot_hold_are_refused_by_name(yardstick: ModuleType):
    network = from_state_dict({"large": torch.tensor([2**40]), "w": torch.ones(2, 2)}, name="small")
    with pytest.raises(ValueError, match="large: holds integers beyond 32 bits"):
        yardstick.exported(network)


def test_a_run_is_text_with_one_row_a_line_that_reads_as_json(yardstick: ModuleType):
    network = from_state_dict(small(), name="small")
    rows = [
        {"setting": "default", "qp": qp, "version": "2.1.3", "r2": 0.123456789, "snr_db": float("inf")}
        for qp in (-20, -16)
    ]
    options = argparse.Namespace(setting=None, task=None)
    text = yardstick.as_text([yardstick.record(network, rows, options)] * 2)
    first, second = json.loads(text)
    assert first == second
    assert first["coder"] == "nncodec 2.1.3"
    assert first["fingerprint"] == network.fingerprint
    assert first["rows"][1] == {"setting": "default", "qp": -16, "r2": 0.123457, "snr_db": None}
    assert sum(line.startswith('{"setting"') for line in text.splitlines()) == 4


@pytest.mark.parametrize("name", ["sample:minilm", "sample:mpnet"])
def test_measured_ladder_is_whole_and_means_what_ours_means(name: str):
    (run,) = [run for run in json.loads(MEASURED.read_text()) if run["network"] == name]
    assert {"coder", "fingerprint", "fp32_bytes", "machine", "settings"} <= set(run)
    for setting in run["settings"]:
        rows = sorted((row for row in run["rows"] if row["setting"] == setting), key=lambda row: row["file_bytes"])
        assert len(rows) >= 2
        for row in rows:
            assert row["ratio"] == pytest.approx(run["fp32_bytes"] / row["file_bytes"], rel=1e-5)
            assert row["snr_db"] == pytest.approx(-10 * np.log10(1 - row["r2"]), rel=1e-4)
        assert [row["r2"] for row in rows] == sorted(row["r2"] for row in rows)

import os
import random
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "dna_ray"

# What the tests of a folder share lies beside them, and is imported by its plain name; so do the scripts of `cluster`.
sys.path[:0] = [str(TESTS), *sorted(str(folder) for folder in TESTS.iterdir() if folder.is_dir())]
sys.path.append(str(TESTS.parent / "cluster"))
os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of processes that tests start: they share the cores
os.environ.setdefault("RAY_worker_niceness", "0")  # or tests without a Ray starve those with one
torch.set_num_threads(1)
settings.register_profile("no clock", deadline=None)  # a busy machine is no fault
settings.load_profile("no clock")

# Modules that write shapes into their annotations have them checked at every call. Not what Ray sends to its workers:
# a wrapped closure cannot be pickled.
SHAPED = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if "from jaxtyping import" in path.read_text() and path.parent.name != "distributed"
]
install_import_hook(SHAPED, "shapes.checked")

MARKED = ("browser", "postgres", "samples")


def pytest_addoption(parser: pytest.Parser):
    told = f"fail the tests marked {' or '.join(MARKED)} that would be skipped: what they need must be there"
    parser.addoption("--no-skips", action="store_true", help=told)
    told = "how many workers, nodes and drivers die, of each kind, in tests marked soak, which else are not run"
    parser.addoption("--kills", type=int, default=0, metavar="N", help=told)
    told = "the number of the first run in which they do: many can be made in several sittings"
    parser.addoption("--first-run", type=int, default=0, metavar="N", help=told)


@pytest.fixture
def dice() -> random.Random:
    """They decide who dies, and when."""
    return random.Random(0)


class OneWithRay(LoadFileScheduling):
    """Files are not taken apart, and all with a Ray go to the same process: two clusters would not have room."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "with a Ray" if "pytest.mark.ray" in (TESTS.parent / file).read_text() else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneWithRay:
    return OneWithRay(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]):
    if not config.getoption("--kills") and (long := [item for item in items if item.get_closest_marker("soak")]):
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)  # what takes longest begins


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    if report.skipped and item.config.getoption("--no-skips") and any(map(item.get_closest_marker, MARKED)):
        report.outcome = "failed"
        report.longrepr = f"{report.longrepr[2]} (--no-skips)"
    return report

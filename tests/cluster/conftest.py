from collections.abc import Iterator
from pathlib import Path

import pytest
from deaths import DEATHS, runs
from raylets import CONFIG, HOW
from tiny_runs import recipe_for, write_bert

from dna_ray.verbs.mine import MineResult, mine


def pytest_generate_tests(metafunc: pytest.Metafunc):
    """Who asks for `deaths` is run until as many have died as are to."""
    if "deaths" in metafunc.fixturenames:
        options = metafunc.config.getoption("--kills"), metafunc.config.getoption("--first-run")
        metafunc.parametrize("deaths", runs(*options), ids=str)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter):
    """Who died, in runs that ended as if nobody had."""
    passed = [dict(report.user_properties) for report in terminalreporter.getreports("passed")]
    died = [each for each in passed if DEATHS in each]
    for what in sorted({each["what"] for each in died}):
        counts = [each[DEATHS] for each in died if each["what"] == what]
        terminalreporter.write_line(f"{what} killed: {sum(counts)} times, in {len(counts)} runs")


@pytest.fixture(scope="session", autouse=True)
def _offline() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("networks") / "bert")


@pytest.fixture(scope="session")
def undisturbed(network: Path, tmp_path_factory: pytest.TempPathFactory) -> MineResult:
    """What all others are compared with: mined by two workers of a local Ray, in one go."""
    return mine(recipe_for(network, tmp_path_factory.mktemp("undisturbed"), workers=2, how=HOW, **CONFIG))

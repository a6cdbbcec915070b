"""What people see in the MLflow UI: opened in headless Chromium on runs that were sent to it."""

import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from evolved_runs import NAME, evolved
from invented_runs import MINILM, compared, mined

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser

from dna_ray.tracking import journal  # noqa: E402
from dna_ray.tracking.store import TRAINING_VIEW, database_uri  # noqa: E402
from dna_ray.tracking.synced import SyncReport  # noqa: E402
from dna_ray.tracking.ui import server  # noqa: E402

WAIT = 30_000  # milliseconds; the first page of MLflow takes several seconds to load


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def report(store: Path) -> SyncReport:
    from dna_ray.tracking.mlflow import sync

    uri = database_uri(store)
    sync(compared(store), uri=uri)
    return sync(mined(store), uri=uri)


@pytest.fixture(scope="module")
def population(store: Path, report: SyncReport) -> SyncReport:
    from dna_ray.tracking.mlflow import sync

    return sync(evolved(store, generations=2), uri=database_uri(store))


@pytest.fixture(scope="module")
def address(store: Path, report: SyncReport) -> Iterator[str]:
    with server(store, port=free_port()) as (url, _):
        yield f"{url}/#/experiments/{report.experiment}"


@pytest.fixture(scope="module")
def page(address: str) -> Iterator["sync_api.Page"]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 1800})
        page.set_default_timeout(WAIT)
        page.add_init_script("localStorage['mlflow.assistant.panelOpen_v1'] = 'false'")
        page.add_init_script("localStorage['mlflow.assistant.fab.autoOpenedOnFirstLoad_v1'] = 'true'")
        yield page
        browser.close()


def look(page: "sync_api.Page", url: str, *texts: str, name: str) -> None:
    """Opens `url`, waits until every text is on the page, and keeps a picture where DNA_RAY_SCREENSHOTS says."""
    page.goto(f"{url}?{TRAINING_VIEW}")
    try:
        for text in texts:
            page.get_by_text(text).first.wait_for()
    finally:
        if folder := os.environ.get("DNA_RAY_SCREENSHOTS"):
            page.wait_for_timeout(1500)
            page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_the_runs_are_listed_with_their_networks(page: "sync_api.Page", address: str):
    look(page, f"{address}/runs", "mine-minilm-ab12cd34ef56", "compare-minilm-0f1e2d3c4b5a", name="runs")


def test_a_run_shows_parameters_figures_network_and_dna(page: "sync_api.Page", address: str, report: SyncReport):
    texts = ("config.kind", "hierarchical", "train/loss", "dna.network", MINILM[:12], "Finished", "sample:minilm")
    look(page, f"{address}/runs/{report.run}", *texts, name="run")


def test_a_run_shows_its_curves(page: "sync_api.Page", address: str, report: SyncReport):
    look(page, f"{address}/runs/{report.run}/model-metrics", "loss", name="curves")


def test_a_run_shows_its_files(page: "sync_api.Page", address: str, report: SyncReport):
    look(page, f"{address}/runs/{report.run}/artifacts", "report.md", "recipe.yaml", name="files")


def test_a_dna_shows_its_figures_and_its_run(page: "sync_api.Page", address: str, report: SyncReport):
    ((dna, model),) = report.models.items()
    look(
        page,
        f"{address}/models/{model}",
        dna[:12],
        "r2",
        "mine-minilm-ab12cd34ef56",
        "sample:minilm",
        MINILM,
        name="dna",
    )


def test_the_links_of_a_dna_and_its_run_lead_to_each_other(page: "sync_api.Page", address: str, report: SyncReport):
    ((dna, model),) = report.models.items()
    page.goto(f"{address}/models/{model}")
    run = follow(page, "mine-minilm-ab12cd34ef56")
    sync_api.expect(run).to_have_url(re.compile(f"runs/{report.run}"))
    back = follow(run, dna[:12])
    sync_api.expect(back).to_have_url(re.compile(f"models/{model}"))


def follow(page: "sync_api.Page", link: str) -> "sync_api.Page":
    """Clicks a link of a description, which opens a page of its own."""
    with page.context.expect_page() as opened:
        page.get_by_role("link", name=link).first.click()
    return opened.value


def test_the_models_are_listed(page: "sync_api.Page", address: str, report: SyncReport):
    look(page, f"{address}/models", "minilm-hierarchical", "minilm-svd", name="models")


def agents_of(store: Path) -> set[str]:
    """Ids of all that the journal of the population tells of."""
    told = [event for event in journal.read(store / NAME) if event["event"] == "told"]
    return {agent["id"] for event in told for agent in event["agents"]}


def test_a_population_counts_and_links_its_agents(
    page: "sync_api.Page", address: str, population: SyncReport, store: Path
):
    texts = (f"{len(agents_of(store))} agents, each in a run of its own", "dna.champion", "Child runs")
    look(page, f"{address}/runs/{population.run}", *texts, name="population")
    page.get_by_role("link", name=re.compile("^profile-mix ")).first.click()
    for text in ("Parent run", "dna.parents", "dna.generation", "minibatch_loss"):
        page.get_by_text(text).first.wait_for()
    page.get_by_role("link", name=NAME).first.click()
    sync_api.expect(page).to_have_url(re.compile(f"runs/{population.run}"))


def test_the_lineage_of_a_population_is_shown_among_its_files(
    page: "sync_api.Page", address: str, population: SyncReport, store: Path
):
    look(page, f"{address}/runs/{population.run}/artifacts", "front.json", "lineage.html", name="population-files")
    page.get_by_text("lineage.html").first.click()
    shown = page.frame_locator("iframe").first
    shown.get_by_text("How the champion came to be").wait_for()
    assert shown.locator("circle").count() == len(agents_of(store))

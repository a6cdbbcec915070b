import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from evolved_runs import evolved

from dna_ray.evolution.chronicle import Chronicle
from dna_ray.tracking.lineage_page import lineage_page
from dna_ray.tracking.record import read_record


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Chronicle:
    found = read_record(evolved(tmp_path_factory.mktemp("runs"))).evolution
    assert found is not None
    return found


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_every_agent_is_a_dot_and_every_parent_an_edge(search: Chronicle):
    elements = Elements(lineage_page(search, "run"))
    assert {dot["data-id"] for dot in elements.of("circle")} == set(search.agents)
    edges = {(edge.get("data-parent"), edge.get("data-child")) for edge in elements.of("path")} - {(None, None)}
    assert edges == {(parent, agent.id) for agent in search.agents.values() for parent in agent.parents}


def test_the_line_of_the_champion_is_marked_and_told(search: Chronicle):
    assert search.champion is not None
    elements = Elements(lineage_page(search, "run"))
    line = [agent.id for agent in search.line(search.champion["id"])]
    marked = {dot["data-id"] for dot in elements.of("circle") if dot["class"] in ("line", "champion")}
    assert marked == set(line)
    assert len([edge for edge in elements.of("path") if edge.get("class") == "line"]) == len(line) - 1
    assert len(elements.of("tr")) == 1 + len(line)


def test_dots_lie_within_the_drawing(search: Chronicle):
    elements = Elements(lineage_page(search, "run"))
    [svg] = elements.of("svg")
    _, _, width, height = map(float, str(svg["viewbox"]).split())
    for dot in elements.of("circle"):
        assert 0 < float(str(dot["cx"])) < width
        assert 0 < float(str(dot["cy"])) < height


def test_the_page_needs_nothing_else(search: Chronicle):
    page = lineage_page(search, "run")
    assert not re.search(r"(?:src|href)=|https?:|@import|url\(", page)


def test_nothing_of_the_journal_is_markup_or_script(search: Chronicle):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>'\"&"
    first = next(iter(search.agents.values()))
    genes = {**first.genes, "metrics": [["*", evil], [evil, evil]]}
    agents = {
        name: replace(agent, words=evil, operator=evil, genes=genes, reason=evil, status="failed", losses=())
        for name, agent in search.agents.items()
    }
    layers = tuple({**layer, "name": evil} for layer in search.layers)
    page = lineage_page(replace(search, agents=agents, layers=layers), evil)
    assert page.count("<script") == page.count("</script") == 1
    assert not Elements(page).of("img")


def test_a_search_without_a_champion_or_an_agent_has_a_page(search: Chronicle):
    assert "best agent so far" in lineage_page(replace(search, champion=None), "run")
    none = replace(search, agents={}, champion=None, front=())
    assert not Elements(lineage_page(none, "run")).of("circle")

from dataclasses import replace

import matplotlib
import pytest
from evolved_runs import told
from matplotlib.figure import Figure

from dna_ray.evolution.chronicle import Chronicle, chronicle
from dna_ray.report.canvas import png
from dna_ray.report.evolution_figures import FIGURES
from dna_ray.report.methods import interval, methods
from dna_ray.tasks.score import Measured


@pytest.fixture(scope="module")
def search() -> Chronicle:
    found = chronicle([{**event, "time": 0} for event in told()])
    assert found is not None
    return found


def drawn(name: str, search: Chronicle) -> Figure:
    figure = FIGURES[name].draw(search)
    assert figure is not None
    return figure


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_a_png_with_a_sentence_for_its_title(search: Chronicle, name: str):
    before = dict(matplotlib.rcParams)
    figure = drawn(name, search)
    assert figure.get_suptitle().endswith(".")
    assert png(figure).startswith(b"\x89PNG")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_search_gives_the_same_bytes(search: Chronicle, name: str):
    assert png(drawn(name, search)) == png(drawn(name, search))


@pytest.mark.parametrize("name", FIGURES)
def test_a_search_of_nothing_has_no_figure(search: Chronicle, name: str):
    nothing = replace(search, agents={}, generations=(), champion=None, front=(), scores=())
    assert FIGURES[name].draw(nothing) is None


@pytest.mark.parametrize("name", ["fitness", "front", "genealogy"])
def test_a_search_without_a_champion_is_drawn(search: Chronicle, name: str):
    assert png(drawn(name, replace(search, champion=None, front=())))


def test_agents_that_cost_the_same_have_no_front_to_show(search: Chronicle):
    agents = {name: replace(agent, multiply_adds=10) for name, agent in search.agents.items()}
    assert FIGURES["front"].draw(replace(search, agents=agents)) is None


def test_fitness_shows_the_points_of_the_generations(search: Chronicle):
    [axes] = drawn("fitness", search).axes
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert lines["best"] == [point["best"] for point in search.generations]
    assert lines["median"] == [point["median"] for point in search.generations]


def test_one_terrible_agent_does_not_stretch_the_axis(search: Chronicle):
    name = next(iter(search.losses))
    worst = replace(search.agents[name], losses=(1e9,) * search.agents[name].rung)
    for figure in ("fitness", "front"):
        axes = drawn(figure, replace(search, agents={**search.agents, name: worst})).axes[0]
        assert axes.get_ylim()[1] < 1e3


def test_the_genealogy_draws_the_line_of_the_champion(search: Chronicle):
    assert search.champion is not None
    [axes] = drawn("genealogy", search).axes
    assert max(len(line.get_xdata()) for line in axes.lines) == len(search.line(search.champion["id"]))


def test_the_profile_has_a_line_for_each_kind(search: Chronicle):
    [axes] = drawn("profile", search).axes
    kinds = {layer["kind"] for layer in search.layers}
    assert kinds < {line.get_label() for line in axes.lines}


def test_a_profile_of_many_kinds_and_layers_is_drawn(search: Chronicle):
    layers = tuple({**search.layers[0], "name": f"{k}.{n}", "kind": f"kind_{k}"} for k in range(12) for n in range(30))
    profile = {layer["name"]: 0.1 + 0.002 * n for n, layer in enumerate(layers)}
    many = replace(search, layers=layers, champion={**(search.champion or {}), "profile": profile})
    assert png(drawn("profile", many))


def test_methods_are_best_first_with_their_intervals(search: Chronicle):
    rows = methods(search)
    assert rows[0].name == "dense"
    assert [row.value for row in rows] == sorted((row.value for row in rows), reverse=True)
    low, high = interval(rows[0].figures["accuracy"]) or (0.0, 0.0)
    assert (low, high) == pytest.approx((0.869 - 1.96 * 0.012, 0.869 + 1.96 * 0.012), abs=1e-4)
    assert interval(Measured(0.5)) is None


def test_without_labels_the_cosine_is_looked_at(search: Chronicle):
    scores = tuple(
        {**score, "metrics": {key: value for key, value in score["metrics"].items() if "accuracy" not in key}}
        for score in search.scores
    )
    figure = drawn("methods", replace(search, scores=scores))
    assert figure.axes[0].get_xlabel() == "cosine on the test split"

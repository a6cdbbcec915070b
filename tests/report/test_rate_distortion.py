from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from small_findings import small_field, small_measures, small_sweep

from dna_ray.mining.measure import references
from dna_ray.mining.reference import r2_at
from dna_ray.report.canvas import png, svg
from dna_ray.report.findings import Compared
from dna_ray.report.nncodec import nncodec_points
from dna_ray.report.rate_distortion import rate_distortion
from dna_ray.report.rate_points import Origin, RatePoint, by_size, curves, rate_point, remarks, shown_metrics

MINILM = "807a3427102338c59a2d56f00b1352dd69e1d6fde3b983b9e7cf9e0a0bd11933"


def drawn(points: list[RatePoint]) -> Figure:
    figure = rate_distortion(points, references(small_field()))
    assert figure is not None
    return figure


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_references_are_those_of_the_measures_at_the_same_bytes():
    found = references(small_field())
    for size in (300, 700, 2000):
        measures = small_measures(file_bytes=size)
        assert r2_at(found.separable, 8 * size) == pytest.approx(measures.reference.r2, abs=0.003)
        assert r2_at(found.iid, 8 * size) == pytest.approx(measures.iid.r2, abs=0.003)
    assert found.weights == small_field().anatomy.weights


def test_a_sweep_has_a_panel_for_weights_and_one_for_function():
    figure = drawn(small_sweep())
    weights, function = figure.axes
    assert "R²" in weights.get_ylabel()
    assert function.get_ylabel() == "agreement: rank correlation"
    assert all("bits per matrix weight" in axes.get_xlabel() for axes in figure.axes)
    assert figure.get_suptitle().startswith("coded explains most at 2 of 2 sizes")
    assert legend(figure) == [
        "Gaussian reference",
        "i.i.d. Gaussians",
        "svd",
        "coded",
        "nncodec (tuned)",
        "round to nearest",
    ]
    assert {text.get_text() for text in weights.texts} == {"int4", "int2"}
    assert {text.get_text() for text in function.texts} == {"int4"}


def test_a_kind_is_one_line_over_its_sizes_and_keeps_its_colour():
    lines = {line.get_color(): line for line in drawn(small_sweep()).axes[0].lines}
    alone = drawn([point for point in small_sweep() if point.label == "svd"])
    assert any(line.get_color() in lines for line in alone.axes[0].lines if line.get_marker() == "o")
    assert sorted(len(line.get_xdata()) for line in lines.values() if line.get_marker() == "o") == [2, 2]
    for line in lines.values():
        assert (np.diff(line.get_xdata()) > 0).all()


def test_without_scores_there_is_one_panel_and_without_matrices_no_figure():
    assert len(drawn(small_sweep(scored=False)).axes) == 1
    bare = rate_point(Compared(kind="svd", measures=replace(small_measures(), tensors=())))
    assert rate_distortion([bare], references(small_field())) is None


def test_a_kind_that_is_worse_than_the_mean_is_drawn_at_the_edge():
    hopeless = rate_point(Compared(kind="spectral", measures=small_measures(9.0)))
    assert drawn([hopeless]).axes[0].get_ylim()[0] == pytest.approx(-0.1)


def test_the_same_sweep_gives_the_same_bytes_as_png_and_as_svg():
    for form in (png, svg):
        assert form(drawn(small_sweep())) == form(drawn(small_sweep()))
    root = ElementTree.fromstring(svg(drawn(small_sweep())))
    assert root.tag.endswith("svg")


def test_a_table_has_the_dna_of_a_size_best_first_then_yardsticks_and_what_is_near_from_elsewhere():
    points = small_sweep()
    far = replace(points[-1], ratio=1.5 * points[-1].ratio)
    assert [[point.label for point in group] for group in by_size([*points, far])] == [
        ["coded", "svd"],
        ["coded", "svd"],
        ["int4", "int2"],
        ["nncodec (tuned)"],
    ]


def test_points_of_a_label_are_a_curve_by_size():
    assert [point.asked for point in curves(small_sweep())["coded"]] == [22.0, 11.0]


def test_metrics_and_remarks_are_told_once():
    assert shown_metrics(small_sweep()) == ["cosine", "rank_correlation"]
    assert shown_metrics(small_sweep(scored=False)) == []
    assert remarks(small_sweep()) == ["10 texts."]


def test_a_point_as_json_has_no_infinity():
    exact = rate_point(Compared(kind="verbatim", measures=small_measures(0.0)))
    assert exact.to_json()["snr_db"] is None
    assert small_sweep()[0].to_json()["bits_per_weight"] > 0


def test_nncodec_stands_beside_the_network_that_it_was_measured_on():
    weights = 22_600_000
    points = nncodec_points(MINILM, weights=weights, task="agreement")
    assert {point.label for point in points} == {"nncodec (default)", "nncodec (tuned)"}
    for point in points:
        assert point.origin is Origin.ELSEWHERE
        assert point.name.endswith("measured elsewhere")
        assert point.bits_per_weight == pytest.approx(8 * point.file_bytes / weights)
        assert {"cosine", "rank_correlation"} <= set(point.metrics)
        assert point.gap_db < 0
    assert nncodec_points("0" * 64, weights=weights, task="agreement") == []


@pytest.mark.parametrize("task", [None, "classify"])
def test_function_of_nncodec_is_not_shown_beside_that_of_another_task(task: str | None):
    assert all(not point.metrics for point in nncodec_points(MINILM, weights=1, task=task))

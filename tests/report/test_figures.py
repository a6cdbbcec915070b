from dataclasses import replace

import matplotlib
import pytest
from matplotlib.figure import Figure
from small_findings import curve, small_measures, small_structure

from dna_ray.mining.measures import Measures, TensorMeasure
from dna_ray.report.canvas import png
from dna_ray.report.figures import FIGURES, comparison
from dna_ray.report.findings import Compared, Findings


def title(figure: Figure | None) -> str:
    assert figure is not None
    return figure.get_suptitle()


def with_measures(findings: Findings, measures: Measures) -> Findings:
    return replace(findings, measures=measures)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_a_png_with_a_sentence_for_its_title(findings: Findings, name: str):
    figure = FIGURES[name].draw(findings)
    assert title(figure).endswith(".")
    assert figure is not None
    assert png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_without_global_state(findings: Findings, name: str):
    before = dict(matplotlib.rcParams)
    FIGURES[name].draw(findings)
    assert dict(matplotlib.rcParams) == before
    assert "matplotlib.pyplot" not in dir(matplotlib) or not matplotlib.pyplot.get_fignums()


def test_the_same_data_gives_the_same_bytes(findings: Findings):
    one, other = (FIGURES["tensors"].draw(findings) for _ in range(2))
    assert one is not None
    assert other is not None
    assert png(one) == png(other)


@pytest.mark.parametrize("layers", [1, 9, 18, 50])
def test_the_figure_of_matrices_stays_a_page_high(findings: Findings, layers: int):
    figure = FIGURES["tensors"].draw(with_measures(findings, small_measures(layers=layers)))
    assert figure is not None
    assert figure.get_size_inches()[1] < 12


def test_r2_far_below_zero_does_not_stretch_the_axis(findings: Findings):
    figure = FIGURES["tensors"].draw(with_measures(findings, small_measures(9.0)))
    assert figure is not None
    assert figure.axes[0].get_xlim()[0] == pytest.approx(-0.1)
    assert {line.get_marker() for line in figure.axes[0].lines} >= {"<"}


def test_an_exact_rebuild_has_no_histogram_of_errors(findings: Findings):
    assert FIGURES["errors"].draw(with_measures(findings, small_measures(0.0))) is None


def test_without_matrices_only_bytes_and_training_are_drawn(findings: Findings):
    bare = replace(with_measures(findings, replace(small_measures(0.0), tensors=())), structure=None)
    assert {name for name, plot in FIGURES.items() if plot.draw(bare) is not None} == {"bytes", "curve"}


def test_a_resumed_curve_counts_each_step_once_and_the_later_one(findings: Findings):
    again = {"step": 100, "time": 1e12 + 9000, "loss": 0.125}
    figure = FIGURES["curve"].draw(replace(findings, curve=[*curve(), again]))
    assert "to 0.125" in title(figure)
    assert replace(findings, curve=[*curve(), again]).steps[-1] == again


@pytest.mark.parametrize("points", [[], curve()[:1], [{"step": 1, "loss": float("nan")}] * 2])
def test_no_curve_is_no_figure(findings: Findings, points: list[dict[str, float]]):
    assert FIGURES["curve"].draw(replace(findings, curve=points)) is None


def test_a_curve_without_time_or_r2_is_drawn(findings: Findings):
    figure = FIGURES["curve"].draw(replace(findings, curve=[{"step": s, "loss": 1.0 / s} for s in (1, 2, 3)]))
    assert title(figure) == "The loss went from 1 to 0.333."


def test_what_parts_save_is_stacked_from_zero_to_both_sides(findings: Findings):
    structure = small_structure(findings.measures, mean=True)
    figure = FIGURES["structure"].draw(replace(findings, structure=structure))
    assert figure is not None
    bars = figure.axes[0].patches
    assert len(bars) == len(structure.rows) * len(structure.parts)
    assert max(bar.get_x() + bar.get_width() for bar in bars) == pytest.approx(0.3 + 0.07 + 0.2)
    assert min(bar.get_x() + bar.get_width() for bar in bars) == pytest.approx(-0.1 - 0.1 * (len(structure.kinds) - 3))
    assert "less than i.i.d. Gaussians" in title(figure)


def test_kinds_of_next_to_no_weights_are_not_drawn(findings: Findings):
    structure = small_structure(findings.measures)
    few = replace(structure.kinds[-1], kind="type_embedding", weights=1)
    figure = FIGURES["structure"].draw(replace(findings, structure=replace(structure, kinds=(*structure.kinds, few))))
    assert figure is not None
    assert not any("type" in label.get_text() for label in figure.axes[0].get_yticklabels())
    assert figure.axes[0].get_xlabel().endswith("kinds too small to draw: 1")


def test_many_sections_are_summed_up(findings: Findings, measures: Measures):
    sections = {f"functions_{i}": 10 for i in range(30)}
    figure = FIGURES["bytes"].draw(with_measures(findings, replace(measures, sections=sections, file_bytes=300)))
    assert figure is not None
    assert len(figure.axes[0].patches) == 13
    assert "18 others" in [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_the_comparison_names_the_best(measures: Measures):
    rows = [Compared(kind="svd", measures=small_measures(0.9)), Compared(kind="spectral", measures=measures)]
    assert title(comparison(rows)).startswith("At 700 bytes, spectral explains most")
    rows[0] = replace(rows[0], measures=replace(measures, file_bytes=900))
    assert title(comparison(rows)).startswith("With files of unequal size")


def test_a_constant_matrix_is_drawn(findings: Findings, measures: Measures):
    constant: TensorMeasure = replace(measures.tensors[0], sse=0.0, sst=0.0, reference_sse=0.0, spread=0.0)
    assert FIGURES["tensors"].draw(with_measures(findings, replace(measures, tensors=(constant,)))) is not None

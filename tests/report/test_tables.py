from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table
from small_findings import small_measures, small_structure, small_sweep

from dna_ray.mining.measures import Measures
from dna_ray.report import words
from dna_ray.report.findings import Compared
from dna_ray.report.tables import (
    compare_table,
    kinds_table,
    structure_table,
    summary_table,
    sweep_table,
    tensors_table,
)
from dna_ray.tasks.score import Score


def printed(table: Table, width: int = 80) -> str:
    console = Console(width=width, record=True, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


@pytest.mark.parametrize("width", [80, 100])
def test_tables_fit_and_lose_nothing(measures: Measures, score: Score, width: int):
    rows = [Compared(kind="hierarchical", measures=measures, score=score, seconds=123)]
    every = small_structure(measures, "coder, gains", mean=True)
    tables = (summary_table(measures, score), kinds_table(measures), tensors_table(measures), compare_table(rows))
    for table in (*tables, structure_table(every, measures)):
        text = printed(table, width)
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text


def test_summary_puts_the_reference_beside_what_was_achieved(measures: Measures):
    [line] = [line for line in printed(summary_table(measures)).splitlines() if line.strip().startswith("R², pooled")]
    assert line.split()[-3:] == [
        words.r2(measures.achieved.r2),
        words.r2(measures.reference.r2),
        words.gap(measures.gap_db, "").strip(),
    ]


def test_summary_prints_psnr_beside_the_range_that_it_hangs_on(measures: Measures):
    assert f"range/σ {measures.range_sigma_median:.1f}" in printed(summary_table(measures))


def test_summary_prints_the_score_with_its_error_its_number_and_its_notes(measures: Measures, score: Score):
    for given in (score, score.to_json()):
        text = printed(summary_table(measures, given))
        assert "0.5023 ± 0.0030 (n = 1,000)" in text
        assert "1,000 held-out texts." in text


def test_summary_of_an_exact_rebuild_says_so():
    text = printed(summary_table(small_measures(0.0)))
    assert "yes, every tensor" in text
    assert "inf" not in text


def test_summary_of_a_network_without_matrices_prints_no_r2(measures: Measures):
    assert "pooled" not in printed(summary_table(replace(measures, tensors=(), iid_bits=None)))


def test_what_parts_save_stands_in_a_line_for_each_kind_and_one_for_all(measures: Measures):
    structure = small_structure(measures)
    lines = printed(structure_table(structure, measures)).splitlines()
    [head] = [line for line in lines if "i.i.d. " in line and "saved" in line]
    assert head.split() == ["bits", "per", "weight", "i.i.d.", "scales", "transform", "coder", "file", "saved"]
    assert [line.split()[0] for line in lines if line.count("0.070")] == [row.kind for row in structure.rows]
    assert ["query", "1.500", "+0.070", "-"] in [line.split()[:4] for line in lines]
    besides = 8 * measures.file_bytes / measures.achieved.weights - structure.total.per_weight["file"]
    assert f"besides: {besides:.3f} for header and vectors" in printed(structure_table(structure, measures))


def test_names_break_at_their_dots_in_a_narrow_table(measures: Measures):
    lines = printed(tensors_table(measures), 72).splitlines()
    assert any(line.rstrip().endswith(".query") for line in lines)


def test_names_of_tensors_are_no_markup(measures: Measures):
    hostile = replace(measures.tensors[0], name="[red]x[/red]")
    assert "[red]x[/red]" in printed(tensors_table(replace(measures, tensors=(hostile,))))


def test_comparison_puts_the_best_first_and_a_dash_for_what_is_unknown(measures: Measures, score: Score):
    rows = [
        Compared(kind="spectral", measures=small_measures(0.9)),
        Compared(kind="svd", measures=measures, score=score, seconds=12.0),
    ]
    lines = printed(compare_table(rows)).splitlines()
    [best] = [i for i, line in enumerate(lines) if line.strip().startswith("svd")]
    [other] = [i for i, line in enumerate(lines) if line.strip().startswith("spectral")]
    assert best < other
    assert lines[best].split()[-2:] == ["0.5023", "12"]
    assert lines[other].split()[-2:] == ["-", "-"]
    assert "cosine" not in printed(compare_table(rows[:1]))


@pytest.mark.parametrize("width", [80, 120])
def test_a_sweep_fits_and_puts_the_dna_of_a_size_together_best_first(width: int):
    text = printed(sweep_table(small_sweep()), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    names = [line.split()[0] for line in text.splitlines() if line.startswith(" coded") or line.startswith(" svd")]
    assert names == ["coded", "svd", "coded", "svd"]
    assert text.index(" int4 ") < text.index(" nncodec")
    assert "int4: round to nearest, int4, groups of 64" in text
    assert "nncodec (tuned): nncodec 2.1.3 (tuned), measured elsewhere" in text
    assert "0.9100" in text


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (words.r2(0.99999), ">0.9999"),
        (words.r2(1.0), "1.0000"),
        (words.r2(-1e-9), "0.0000"),
        (words.r2(-12345.6), "-1.23e+04"),
        (words.decibel(float("inf")), "exact"),
        (words.decibel(-0.001), "0.00 dB"),
        (words.gap(-1.234), "-1.23 dB"),
        (words.gap(float("-inf")), "-∞ dB"),
        (words.size(4_129_861), "4.13 MB"),
        (words.size(999), "999 bytes"),
        (words.percent(0.00013), "0.013 %"),
        (words.duration(59.96), "60.0 s"),
        (words.duration(3675), "1 h 1 min"),
        (words.measured(0.5, None), "0.5000"),
    ],
)
def test_figures_are_written_for_people(written: str, expected: str):
    assert written == expected

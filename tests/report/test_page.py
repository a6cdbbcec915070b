import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from small_findings import small_field, small_measures, small_structure, small_sweep

from dna_ray.mining.measure import references
from dna_ray.mining.measures import Measures
from dna_ray.report.figures import FIGURES
from dna_ray.report.findings import Compared, Findings
from dna_ray.report.page import model_card, page, write_comparison, write_page, write_sweep
from dna_ray.tasks.score import Score

CAPTIONS = {name: plot.caption for name, plot in FIGURES.items()}


def tables(text: str) -> list[list[str]]:
    """Runs of lines that markdown takes for a table."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE)
    return [block.splitlines() for block in blocks]


def cells(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line)) - 1


def test_a_page_names_only_figures_that_are_there(findings: Findings, tmp_path: Path):
    text = write_page(tmp_path, findings).read_text()
    named = set(re.findall(r"\]\((figures/.*?)\)", text))
    assert named == {str(path.relative_to(tmp_path)) for path in (tmp_path / "figures").iterdir()}
    assert len(named) == 5
    assert {path.name for path in tmp_path.iterdir()} == {"report.md", "figures"}


def test_every_row_of_a_table_has_the_cells_of_its_head(findings: Findings, score: Score):
    hostile = replace(findings.measures.tensors[0], name="a|b`c\n| d <img src=x>")
    measures = replace(findings.measures, tensors=(hostile, *findings.measures.tensors))
    scored = replace(score, notes=("a | b\n# <script>",), task="my|task")
    text = page(replace(findings, measures=measures, score=scored), CAPTIONS)
    found = tables(text)
    assert len(found) == 4
    for table in found:
        assert len({cells(line) for line in table}) == 1
    assert "<script>" not in text
    assert "\n# <" not in text


def test_a_page_says_what_each_part_saves_and_shows_no_part_that_is_not_there(findings: Findings, tmp_path: Path):
    text = write_page(tmp_path, findings).read_text()
    [table] = [table for table in tables(text) if "i.i.d." in table[0]]
    assert [cell.strip() for cell in table[0].strip("|").split("|")][3:-2] == ["scales", "transform", "coder"]
    assert table[2].startswith("| `word_embedding` | 1 | 1.500 | +0.070 | +0.200 | -0.100 | 1.330 | +0.170 |")
    assert table[-1].startswith("| `all` |")
    assert text.count("(figures/structure.png)") == 1
    assert "*mean*" not in text
    assert "calibrated" not in text
    every = replace(findings, structure=small_structure(findings.measures, "coder, gains", mean=True))
    assert "*mean*" in page(every, CAPTIONS)
    assert "calibrated" in page(every, CAPTIONS)


def test_a_page_of_another_kind_says_nothing_of_parts(findings: Findings, tmp_path: Path):
    text = write_page(tmp_path, replace(findings, structure=None)).read_text()
    assert "Structure found" not in text
    assert not (tmp_path / "figures" / "structure.png").exists()


def test_an_earlier_figure_does_not_outlive_its_page(findings: Findings, tmp_path: Path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "curve.png").write_bytes(b"of an earlier page")
    write_page(tmp_path, replace(findings, curve=()))
    assert not (tmp_path / "figures" / "curve.png").exists()


def test_a_page_gives_the_figures_of_the_table(findings: Findings):
    text = page(findings, CAPTIONS)
    assert f"**{findings.measures.achieved.r2:.4f}**" in text
    assert f"{findings.measures.reference.r2:.4f}" in text
    assert f"range/σ {findings.measures.range_sigma_median:.1f}" in text
    assert "0.5023 ± 0.0030 (n = 1,000)" in text
    assert "Mined in 1 min 15 s" in text
    assert "{{" not in text


def test_a_page_says_why_there_is_no_score(findings: Findings):
    bare = replace(findings, score=None, unscored="the network has no tokenizer", seconds=None, fingerprint="")
    assert "Function: not measured (the network has no tokenizer)." in page(bare, CAPTIONS)


@pytest.mark.parametrize("noise", [0.0, 9.0])
def test_a_page_of_extremes_is_written(findings: Findings, noise: float):
    text = page(replace(findings, measures=small_measures(noise)), CAPTIONS)
    assert not re.search(r"\b(nan|inf)\b", text)


def test_a_page_without_matrices_is_written(findings: Findings):
    bare = replace(findings.measures, tensors=(), iid_bits=None)
    text = page(replace(findings, measures=bare), {})
    assert "the network has no matrices" in text
    assert "Every matrix" not in text


def test_a_card_opens_with_front_matter(findings: Findings):
    _, front, body = model_card(replace(findings, base_model="owner/model")).split("---\n", 2)
    assert yaml.safe_load(front) == {
        "library_name": "dna-ray",
        "tags": ["dna-ray", "weight-compression", "hierarchical"],
        "base_model": "owner/model",
        "base_model_relation": "quantized",
    }
    assert body.lstrip().startswith("# DNA of `sample:small`")
    assert "base_model" not in model_card(findings)


def test_a_card_tells_what_was_mined_but_not_where(findings: Findings):
    card = model_card(findings)
    assert "ratio: 22.0" in card
    assert "secret" not in card
    assert "dna-ray rebuild" in card


def test_a_card_says_how_to_open_what_transformers_has_no_class_for(findings: Findings):
    assert "AutoModel.from_pretrained" in model_card(findings)
    card = model_card(replace(findings, needs_us=True))
    assert "networks.build(networks.load(" in card
    assert "AutoModel" not in card


def test_a_comparison_is_a_table_and_a_figure(measures: Measures, score: Score, tmp_path: Path):
    rows = [
        Compared(kind="svd", measures=measures, score=score, seconds=3.0),
        Compared(kind="spectral", measures=small_measures(0.9)),
    ]
    text = write_comparison(tmp_path, "sample:small", rows).read_text()
    [table] = tables(text)
    assert len({cells(line) for line in table}) == 1
    assert [line.split("`")[1] for line in table[2:]] == ["svd", "spectral"]
    assert (tmp_path / "figures" / "comparison.png").is_file()
    [table] = tables(write_comparison(tmp_path, "sample:small", rows[1:]).read_text())
    assert len({cells(line) for line in table}) == 1


@pytest.mark.parametrize("scored", [True, False])
def test_a_sweep_is_a_table_and_a_figure_as_png_and_svg(scored: bool, tmp_path: Path):
    points = small_sweep(scored=scored)
    path = write_sweep(tmp_path, "sample:small", points, references(small_field()), impossible=["verbatim: | too big"])
    [table] = tables(path.read_text())
    assert len({cells(line) for line in table}) == 1
    assert len(table) == 2 + len(points)
    assert ("rank correlation" in table[0]) == scored
    assert "Not possible: verbatim: \\| too big" in path.read_text()
    assert {each.name for each in (tmp_path / "figures").iterdir()} == {"rate_distortion.png", "rate_distortion.svg"}

"""Tables for the terminal, from 80 columns up. What was achieved stands beside the reference, PSNR beside range/σ."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from dna_ray.mining.fidelity import Fidelity, gap_db
from dna_ray.mining.measures import Measures
from dna_ray.mining.structure import Structure
from dna_ray.report import words
from dna_ray.report.findings import AnyScore, Compared, best_first, first_metrics, score_json, score_metrics
from dna_ray.report.rate_points import RatePoint, by_size, shown_metrics

STYLES = {"excellent": "green", "good": "cyan", "fair": "yellow", "poor": "red"}


def summary_table(measures: Measures, score: AnyScore | None = None) -> Table:
    """The whole DNA in a dozen lines."""
    table = _table("", "achieved", "reference", "gap dB")
    _size_rows(table, measures)
    if measures.tensors:
        _fidelity_rows(table, measures)
    for vector in measures.vectors:
        table.add_row(f"R² of {vector.tensors} {vector.kind} vectors", words.r2(vector.achieved.r2))
    table.add_row("bit-identical", "yes, every tensor" if measures.exact else "no")
    if score is not None:
        _score_rows(table, score)
    return table


def kinds_table(measures: Measures) -> Table:
    """A line for each kind of matrix, most weights first."""
    table = _table("kind", "tensors", "weights", "share", "R²", "reference", "gap dB")
    for kind in measures.kinds:
        share = kind.achieved.weights / measures.achieved.weights
        counts = (str(kind.tensors), f"{kind.achieved.weights:,}", f"{share:.1%}")
        table.add_row(kind.kind, *counts, *_beside(kind.achieved, kind.reference))
    return table


def structure_table(structure: Structure, measures: Measures) -> Table:
    """Bits per weight that each part of the file saves: a line for each kind of matrix, and one for all of them."""
    parts = (part.replace(" ", "\n") for part in structure.parts)
    table = _table("bits per weight", "i.i.d.", *parts, "file", "saved")
    for each in structure.kinds:
        table.add_row(each.kind, *words.saved(each))
    table.add_section()
    table.add_row("all", *words.saved(structure.total))
    remarks = (
        "i.i.d.: Gaussians of one variance a matrix, at the same error",
        f"{structure.parts[-1]}: trellis and range coder beside Gaussians of those scales",
        f"besides: {words.besides(structure, measures)}",
    )
    table.caption = Text("\n".join(remarks), style="dim")
    table.caption_justify = "left"
    return table


def tensors_table(measures: Measures) -> Table:
    """A line for each matrix, in canonical order."""
    table = _table("tensor", "shape", "R²", "reference", "gap dB", "PSNR dB", "range/σ")
    for tensor in measures.tensors:
        figures = (words.decibel(tensor.psnr_db, ""), f"{tensor.range_sigma:.1f}")
        beside = _beside(tensor.achieved, tensor.reference)
        table.add_row(_Dotted(tensor.name), words.shape(tensor), *beside, *figures)
    return table


def compare_table(rows: Sequence[Compared]) -> Table:
    """A line for each kind of DNA, best first; a column for a score or a time only where there is one."""
    ordered = best_first(rows)
    metric, values = first_metrics(ordered)
    timed = any(row.seconds is not None for row in rows)
    extra = [*([metric.replace("_", "\n")] if metric else []), *(["s"] if timed else [])]
    table = _table("kind", "MB", "ratio", "R²", "R² ref.", "gap\ndB", "PSNR\ndB", "range\n/σ", *extra)
    for row, value in zip(ordered, values, strict=True):
        measures = row.measures
        cells = [f"{measures.file_bytes / 1e6:.3f}", f"{measures.ratio:.2f}"]
        cells += _beside(measures.achieved, measures.reference)
        cells += [words.decibel(measures.psnr_db_median, ""), f"{measures.range_sigma_median:.1f}"]
        cells += [_or_dash(value, ".4f")] if metric else []
        cells += [_or_dash(row.seconds, ".0f")] if timed else []
        table.add_row(row.kind, *cells)
    return table


def sweep_table(points: Sequence[RatePoint]) -> Table:
    """A line for each point: the DNA of each ratio together, best first, then yardsticks, whose full names follow."""
    metrics = shown_metrics(points)
    figures = ("ratio", "MB", "bits/\nweight", "R²", "R² ref.", "gap\ndB", "SNR\ndB")
    table = _table("", *figures, *(name.replace("_", "\n").replace("correlation", "corr.") for name in metrics))
    for group in by_size(points):
        for point in group:
            cells = [f"{point.ratio:.2f}", f"{point.file_bytes / 1e6:.3f}", f"{point.bits_per_weight:.3f}"]
            cells += [*_beside(point.achieved, point.reference), words.decibel(point.achieved.snr_db, "")]
            cells += [_or_dash(point.metrics.get(name, (None,))[0], ".4f") for name in metrics]
            table.add_row(point.label, *cells)
        table.add_section()
    names = {point.label: point.name for group in by_size(points) for point in group}
    table.caption = Text("\n".join(f"{label}: {name}" for label, name in names.items() if name != label), style="dim")
    table.caption_justify = "left"
    return table


def _table(*headings: str) -> Table:
    """The first column is a label; figures are right-aligned, so that their decimals meet."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i else "left", no_wrap=i > 0)
    return table


def _size_rows(table: Table, measures: Measures) -> None:
    table.add_row("size of the file", f"{words.size(measures.file_bytes)} ({measures.file_bytes:,} bytes)")
    table.add_row("smaller than the weights", f"{measures.ratio:.2f}x fp32, {measures.ratio_fp16:.2f}x fp16")
    if measures.tensors:
        table.add_row("bits per matrix weight", f"{measures.bits_per_weight:.3f}")
    if measures.structure_bits is not None:
        table.add_row("saved against i.i.d.", f"{measures.structure_bits:+.3f} bits per weight")


def _fidelity_rows(table: Table, measures: Measures) -> None:
    achieved, reference, iid, worst = measures.achieved, measures.reference, measures.iid, measures.worst
    r2, r2_reference, gap = _beside(achieved, reference)
    word = words.r2_band(achieved.r2)
    table.add_row("R², pooled", Text.assemble(f"{word}  ", r2, style=STYLES[word]), r2_reference, gap)
    table.add_row("SNR", words.decibel(achieved.snr_db), words.decibel(reference.snr_db), gap)
    table.add_row("  beside i.i.d. Gaussians", "", words.decibel(iid.snr_db), words.gap(gap_db(achieved, iid), ""))
    table.add_row("R², median of tensors", words.r2(measures.r2_median))
    if worst is not None:
        table.add_row("R², lowest", f"{words.r2(worst.achieved.r2)}", words.r2(worst.reference.r2))
        table.add_row("  which is", _Dotted(worst.name))
    table.add_row("PSNR, median of tensors", words.psnr(measures))


def _score_rows(table: Table, score: AnyScore) -> None:
    body = score_json(score)
    for i, (name, (value, stderr)) in enumerate(score_metrics(score).items()):
        count = f" (n = {body['n']:,})" if i == 0 and body["n"] > 1 else ""
        label = f"{body['task']}: {name.replace('_', ' ')}"
        table.add_row(Text(label), words.measured(value, stderr) + count)
    table.caption = Text("\n".join(body.get("notes", ())), style="dim")
    table.caption_justify = "left"


def _beside(achieved: Fidelity, reference: Fidelity) -> Iterator[str]:
    """R2, its reference, and the gap."""
    yield words.r2(achieved.r2)
    yield words.r2(reference.r2)
    yield words.gap(gap_db(achieved, reference), "")


@dataclass(frozen=True, slots=True)
class _Dotted:
    """A tensor's name, broken at its dots where the column is narrow."""

    name: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [""]
        for part in self._parts:
            if lines[-1] and len(lines[-1]) + len(part) > options.max_width:
                lines.append(" ")
            lines[-1] += part
        yield Text("\n".join(lines), overflow="ellipsis")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(max(map(len, self._parts)) + 1, sum(map(len, self._parts)))

    @property
    def _parts(self) -> list[str]:
        first, *rest = self.name.removesuffix(".weight").split(".")
        return [first, *(f".{part}" for part in rest)]


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)

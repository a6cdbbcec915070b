"""How figures are written for people, on the terminal and on the page alike."""

from math import isfinite, isinf

from dna_ray.mining.fidelity import PSNR_BANDS, R2_BANDS, band
from dna_ray.mining.measures import Measures, TensorMeasure
from dna_ray.mining.structure import Saved, Structure


def r2(value: float) -> str:
    """Four decimals, or three digits of what a huge error leaves; never rounded up to 1."""
    if 0.99995 <= value < 1:
        return ">0.9999"
    return f"{value:z.4f}" if value > -10 else f"{value:.3g}"


def r2_band(value: float) -> str:
    return band(value, R2_BANDS)


def decibel(value: float, unit: str = " dB") -> str:
    if isinf(value):
        return "exact" if value > 0 else f"-∞{unit}"
    return f"{value:.1f}{unit}" if abs(value) >= 100 else f"{value:z.2f}{unit}"


def gap(value: float, unit: str = " dB") -> str:
    """A difference in dB, with its sign."""
    return f"{value:+z.2f}{unit}" if isfinite(value) else decibel(value, unit)


def size(count: int) -> str:
    """Bytes, in decimal units like `ls --si`, three to four digits."""
    for bound, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= bound:
            return f"{count / bound:.3g} {unit}"
    return f"{count} bytes"


def psnr(measures: Measures) -> str:
    """The median PSNR with its band, and the range/sigma that it hangs on."""
    value = measures.psnr_db_median
    word = f" ({band(value, PSNR_BANDS)})" if isfinite(value) else ""
    return f"{decibel(value)}{word} at range/σ {measures.range_sigma_median:.1f}"


def saved(row: Saved) -> list[str]:
    """Bits per weight: of i.i.d. Gaussians, saved by each part, in the file, saved by all; a dash for what saves 0."""
    figures = row.per_weight
    signed = [f"{figures[name]:+z.3f}" if figures[name] else "-" for name in (*row.parts, "net")]
    return [f"{figures['iid']:.3f}", *signed[:-1], f"{figures['file']:.3f}", signed[-1]]


def besides(structure: Structure, measures: Measures) -> str:
    """What the file holds besides matrices, in bits per weight."""
    total = structure.total
    exact = ", and matrices without an error" if structure.exact else ""
    return f"{(8 * measures.file_bytes - total.file) / total.weights:.3f} for header and vectors{exact}"


def shape(tensor: TensorMeasure) -> str:
    return f"{tensor.rows} x {tensor.cols}"


def layer(index: int) -> str:
    return "-" if index < 0 else str(index)


def measured(value: float, stderr: float | None) -> str:
    """An estimate with its standard error."""
    return f"{value:.4f}" if stderr is None else f"{value:.4f} ± {stderr:.4f}"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def percent(share: float) -> str:
    """Two digits: 0.013 % and 12 % alike."""
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"


def ratio(value: float) -> str:
    return f"{value:.2f}x"

"""How figures of a search are written for people, on the terminal and on the page alike."""

from math import isfinite

from dna_ray.tasks.score import Measured


def measured(figure: Measured | None) -> str:
    """An estimate with its standard error, or a dash."""
    if figure is None:
        return "-"
    return f"{figure.value:.3f}" if figure.stderr is None else f"{figure.value:.3f} ± {figure.stderr:.3f}"


def ahead(difference: tuple[float, float, float] | None) -> str:
    """A paired difference with its interval."""
    if difference is None:
        return "-"
    value, low, high = difference
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def number(value: float | None) -> str:
    """Four significant digits; a dash for what is not known or not finite."""
    return "-" if value is None or not isfinite(value) else f"{value:.4g}"

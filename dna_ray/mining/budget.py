"""Meets a budget that is measured on the file: header and sections together."""

from dna_ray.errors import BudgetError
from dna_ray.mining.config import DEFAULT_RATIO, MineConfig
from dna_ray.mining.dna import file_size
from dna_ray.mining.field import Field
from dna_ray.mining.kind import Fit, Kind, Payload
from dna_ray.networks import Network

_SHORTFALL = 0.004  # of the file: a result nearer to its budget is not fitted again
_RESERVE = 2048  # bytes of header that sections and params are expected to take before the first fit
_TRIES = 4


def file_budget(network: Network, config: MineConfig) -> int | None:
    """The most bytes that the file may have; None: any number."""
    if config.bytes is not None:
        return config.bytes
    if config.target_r2 is not None or (config.ratio is None and config.kind == "verbatim"):
        return None
    return int(network.anatomy.fp32_bytes / (config.ratio or DEFAULT_RATIO))


def fit_to_file(network: Network, field: Field, config: MineConfig, kind: Kind) -> Payload:
    """Fits `kind` so that the *file* meets the budget: never more, and hardly less where the kind can use it.

    Raises:
        BudgetError: No file of this kind is that small; says how small one can be.
    """
    payload, sections = draft_to_file(network, field, config, kind)
    return payload if kind.draft is None else kind.fit(field, sections, config)


def draft_to_file(network: Network, field: Field, config: MineConfig, kind: Kind) -> tuple[Payload, int | None]:
    """The payload that meets the budget, as the kind drafts it, and the bytes that its sections were given.

    Drafts again only where the guess of the header's size was too small, or left more than 0.4 % of the file unused.

    Raises:
        BudgetError: No file of this kind is that small; says how small one can be.
    """
    draft = kind.draft or kind.fit
    budget = file_budget(network, config)
    if budget is None:
        return draft(field, None, config), None
    header = _header_bytes(network, config.kind, Payload({}, {})) + _RESERVE
    best: tuple[Payload, int] | None = None
    for _ in range(_TRIES):
        payload, sections = _fit_or_smallest(field, budget - header, config, draft)
        expected, header = header, _header_bytes(network, config.kind, payload)
        size = header + payload.nbytes
        if size <= budget:
            best = payload, sections
            if size >= budget * (1 - _SHORTFALL) or expected <= header:
                break
    if best is None:
        raise BudgetError(
            f"{network.name}: kind {config.kind} cannot be a file of {budget:,} bytes; "
            f"the smallest possible is {size:,} bytes, ratio {network.anatomy.fp32_bytes / size:.4g}: allow that, "
            "or choose another kind",
            smallest=size,
        )
    return best


def _fit_or_smallest(field: Field, budget: int, config: MineConfig, fit: Fit) -> tuple[Payload, int]:
    """A payload, and the bytes that it was given.

    Where the budget is too small for any, it is the smallest of all: its true header may leave room for it after all.
    """
    try:
        return fit(field, budget, config), budget
    except BudgetError as error:
        if error.smallest <= max(budget, 0):  # the kind names none
            raise
        return fit(field, error.smallest, config), error.smallest


def _header_bytes(network: Network, kind: str, payload: Payload) -> int:
    return file_size(network=network, kind=kind, payload=payload) - payload.nbytes

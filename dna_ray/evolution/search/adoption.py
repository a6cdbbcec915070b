"""Which programs were let into a run, and the verdicts on those that wanted to come in."""

from collections.abc import Iterable
from functools import lru_cache

from dna_ray.evolution.metric.gate import Figures, Verdict, examine, objections
from dna_ray.evolution.metric.program import Program


class Adoption:
    """The programs of a run. Those that founders brought are in; any other has to pass the gate, once."""

    def __init__(self, founders: Iterable[Program]) -> None:
        self._adopted: set[str] = set()
        self._rejected: set[str] = set()
        self._ranks: set[str] = set()
        for program in founders:
            self._adopted.add(program.sha256)
            self._ranks.add(_figures(program).rank_hash)

    def adopted(self, program: Program) -> bool:
        return program.sha256 in self._adopted

    def rejected(self, program: Program) -> bool:
        return program.sha256 in self._rejected

    def judge(self, program: Program) -> Verdict:
        """The verdict on a program that was neither adopted nor rejected before; it is, from now on."""
        figures = _figures(program)
        objection = next(objections(figures, self._ranks), None)
        if objection is None:
            self._adopted.add(program.sha256)
            self._ranks.add(figures.rank_hash)
            return Verdict(True, "sound and new", figures)
        self._rejected.add(program.sha256)
        return Verdict(False, objection, figures)


@lru_cache(maxsize=4096)
def _figures(program: Program) -> Figures:
    """Of a program they never change; whether it is new does."""
    return examine(program)

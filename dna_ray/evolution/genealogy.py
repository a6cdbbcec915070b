"""What an agent has that its parent has not: its changes, gene by gene, for people to read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dna_ray.evolution.chronicle import AgentRecord, Event
from dna_ray.evolution.metric.listing import infix, listing

_GENES = ("scope", "pattern", "basis", "repair")
_LAYERS = 6  # whose levels are named, those that changed most
_LINE = 30  # characters
_EVERY_KIND = "*"


@dataclass(frozen=True, slots=True)
class Change:
    """One gene that differs; `before` is empty where the parent had none, `after` where the child has none."""

    gene: str
    before: str
    after: str

    @property
    def short(self) -> bool:
        """Whether it fits into a line."""
        return len(self.before) + len(self.after) < _LINE


def changes(parent: AgentRecord, child: AgentRecord, layers: Sequence[Event]) -> tuple[Change, ...]:
    """Programs first, then genes, then the layers whose levels changed most."""
    return (*_programs(parent, child), *_genes(parent, child), *_levels(parent, child, layers))


def program(agent: AgentRecord) -> str:
    """All programs of an agent as Python: the general one first, each of the others under the kind that it is for."""
    general, *others = sorted(agent.metrics.items(), key=lambda item: item[0] != _EVERY_KIND)
    parts = [listing(general[1], agent.words)]
    parts += [f"# layers of kind {' '.join(kind.split())}\n{listing(text)}" for kind, text in others]
    return "\n\n".join(parts)


def formula(agent: AgentRecord) -> str:
    """All programs of an agent in one line."""
    general, *others = sorted(agent.metrics.items(), key=lambda item: item[0] != _EVERY_KIND)
    return "; ".join([infix(general[1]), *(f"{kind}: {infix(text)}" for kind, text in others)])


def _programs(parent: AgentRecord, child: AgentRecord) -> Iterator[Change]:
    before, after = parent.metrics, child.metrics
    for kind in sorted(before.keys() | after.keys()):
        if before.get(kind) != after.get(kind):
            name = "metric" if kind == _EVERY_KIND else f"metric of {kind}"
            yield Change(name, infix(before.get(kind, "")), infix(after.get(kind, "")))


def _genes(parent: AgentRecord, child: AgentRecord) -> Iterator[Change]:
    for gene in _GENES:
        before, after = parent.genes.get(gene, ""), child.genes.get(gene, "")
        if before != after:
            yield Change(gene, before, after)


def _levels(parent: AgentRecord, child: AgentRecord, layers: Sequence[Event]) -> Iterator[Change]:
    pairs = zip(layers, parent.genes["levels"], child.genes["levels"], strict=False)
    moved = [(layer["name"], before, after) for layer, before, after in pairs if before != after]
    moved.sort(key=lambda each: -abs(each[2] - each[1]))
    for name, before, after in moved[:_LAYERS]:
        yield Change(f"level of {name.removesuffix('.weight')}", f"{before:,}", f"{after:,}")
    if rest := moved[_LAYERS:]:
        before, after = (sum(each[place] for each in rest) for place in (1, 2))
        yield Change(f"levels of {len(rest)} other layers", f"{before:,}", f"{after:,}")

"""Which network, run and DNA came from which, read from the journals of a run store.

A graph of three kinds of node: a network (by fingerprint) is read by a run, a run makes DNA. Where a run was sent to
MLflow, its nodes carry the ids that the MLflow UI shows. Needs no MLflow.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import Any

from dna_ray.errors import ArtifactError, InputError
from dna_ray.tracking import journal
from dna_ray.tracking.record import Record, read_record
from dna_ray.tracking.synced import all_synced

WEIGHTS = "model.safetensors"

LEAST = 4  # characters of an id by which something is found
_LISTED = 6  # names in a message


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A network, a run or a DNA.

    Attributes:
        kind: `network`, `run` or `dna`.
        id: Fingerprint, origin of the journal, or sha256 of the DNA's file.
        name: What people call it.
        facts: What is known of it, for a line of text.
        mlflow: Its id in MLflow (run id or model id), if it was sent there.
    """

    kind: str
    id: str
    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    mlflow: str | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes by id, and edges from what was there to what came of it."""

    nodes: Mapping[str, Node]
    edges: frozenset[tuple[str, str]]

    def parents(self, node: str) -> list[Node]:
        return [self.nodes[a] for a in self.nodes if (a, node) in self.edges]

    def children(self, node: str) -> list[Node]:
        return [self.nodes[b] for b in self.nodes if (node, b) in self.edges]


@dataclass(frozen=True, slots=True)
class Lineage:
    """One node with all that it came from, and all that came of it."""

    node: Node
    ancestors: tuple[Node, ...]
    descendants: tuple[Node, ...]
    graph: Graph

    def to_json(self) -> dict[str, Any]:
        """Nodes, and edges from what was there to what came of it; the same text for the same runs."""
        nodes = [*self.ancestors, self.node, *self.descendants]
        ids = {node.id for node in nodes}
        return {
            "subject": self.node.id,
            "nodes": [asdict(node) for node in nodes],
            "edges": sorted([a, b] for a, b in self.graph.edges if {a, b} <= ids),
        }

    def to_text(self) -> str:
        """A tree for each first ancestor, down to what came of the node, which is marked with `*`."""
        shown = {node.id for node in (*self.ancestors, self.node, *self.descendants)}
        roots = [n for n in (*self.ancestors, self.node) if not self.graph.parents(n.id)]
        return "\n".join(line for root in roots for line in self._tree(root, shown))

    def _tree(self, node: Node, shown: set[str]) -> Iterator[str]:
        yield ("* " if node.id == self.node.id else "") + _describe(node)
        children = [child for child in self.graph.children(node.id) if child.id in shown]
        for child in children:
            first, rest = ("└─ ", "   ") if child is children[-1] else ("├─ ", "│  ")
            head, *tail = self._tree(child, shown)
            yield first + head
            yield from (rest + line for line in tail)


def read_graph(store: Path) -> Graph:
    """The graph of all runs in a run store. A run whose journal cannot be read takes no part."""
    nodes: dict[str, Node] = {}
    edges: set[tuple[str, str]] = set()
    for run, record in records(store):
        for node in _nodes(run, record):
            nodes.setdefault(node.id, node)
        edges |= {(network["fingerprint"], record.origin) for network in record.networks}
        edges |= {(record.origin, dna["id"]) for dna in record.dna}
    return Graph(nodes, frozenset(edges))


def lineage_of(x: str | Path, store: Path) -> Lineage:
    """The lineage of `x`: a DNA folder or file, a run folder, the name of a network or run, or the start of an id.

    Raises:
        InputError: Nothing in the run store is called so, or several are.
    """
    graph = read_graph(store)
    node = _find(x, graph, store)
    return Lineage(
        node,
        tuple(_reach(node, graph.parents))[::-1],
        tuple(_reach(node, graph.children)),
        graph,
    )


def records(store: Path) -> Iterator[tuple[Path, Record]]:
    """All runs of a run store whose journals can be read, by name."""
    for run in sorted(path.parent for path in store.glob(f"*/{journal.FILE}")):
        try:
            yield run, read_record(run)
        except ArtifactError:
            continue


def _nodes(run: Path, record: Record) -> Iterator[Node]:
    tracked = next(iter(all_synced(run)), None)
    for network in record.networks:
        facts = {key: network[key] for key in ("family", "parameters", "bytes")}
        yield Node(kind="network", id=network["fingerprint"], name=network["name"], facts=facts)
    facts = {"verb": record.verb, "status": record.status or "not ended", "folder": str(run), "started": record.started}
    yield Node(kind="run", id=record.origin, name=record.name, facts=facts, mlflow=(tracked and tracked.run) or None)
    for dna in record.dna:
        facts = {"kind": dna["kind"], "bytes": dna["bytes"], "folder": str(run / dna["folder"])}
        facts |= {key: value for key, value in dna.get("metrics", {}).items() if key in ("r2", "snr_db")}
        model = tracked.models.get(dna["id"]) if tracked else None
        yield Node(kind="dna", id=dna["id"], name=f"{dna['kind']} {dna['id'][:12]}", facts=facts, mlflow=model)


def called(x: str | Path, graph: Graph, store: Path) -> list[Node]:
    """The nodes that `x` may mean: by path or name, or else by the start of an id."""
    ids = _ids_of_path(Path(x), store)
    named = [n for n in graph.nodes.values() if n.id in ids or n.name == str(x)]
    return named or [n for n in graph.nodes.values() if len(str(x)) >= LEAST and _starts(n, str(x))]


def _find(x: str | Path, graph: Graph, store: Path) -> Node:
    found = called(x, graph, store)
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{x}: {len(found)} {_kinds(found)} are called so; give more of the id: {_ids(found)}")
    known = ", ".join(sorted({n.name for n in graph.nodes.values() if n.kind != "dna"})[:_LISTED]) or "nothing yet"
    raise InputError(f"{x}: no network, run, DNA or agent of that name or id in {store}, which holds {known}")


def _starts(node: Node, prefix: str) -> bool:
    """By the start of its id or its MLflow id, or of the id at the end of a run's name."""
    ids = [node.id, node.mlflow or "", *([node.name, node.name.rpartition("-")[2]] if node.kind == "run" else [])]
    return any(i.startswith(prefix) for i in ids)


def _ids_of_path(path: Path, store: Path) -> set[str]:
    """The id that the file or folder at `path` has: a run's origin, or the sha256 of a DNA's file."""
    for folder in (path, store / path):
        if (folder / journal.FILE).is_file():
            return {read_record(folder).origin}
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        return set()
    with file.open("rb") as stream:
        return {file_digest(stream, "sha256").hexdigest()}


def _reach(node: Node, step: Callable[[str], Sequence[Node]]) -> Iterable[Node]:
    """All nodes that `step` leads to, nearest first, each once."""
    seen: dict[str, Node] = {}
    frontier: Sequence[Node] = [node]
    while frontier:
        frontier = list({n.id: n for f in frontier for n in step(f.id) if n.id not in seen}.values())
        seen |= {n.id: n for n in frontier}
    return seen.values()


def _describe(node: Node) -> str:
    facts = node.facts
    match node.kind:
        case "network":
            text = f"network {node.name}  {facts['family']}, {facts['parameters']:,} parameters  {node.id[:12]}"
        case "run":
            text = f"run {node.name}  {facts['verb']}, {facts['status']}"
        case _:
            measured = "".join(f", {key} {facts[key]:.4g}" for key in ("r2", "snr_db") if key in facts)
            text = f"DNA {node.name}  {facts['bytes']:,} bytes{measured}  {facts['folder']}"
    return f"{text}  [MLflow {node.mlflow}]" if node.mlflow else text


def _kinds(nodes: Sequence[Node]) -> str:
    return " and ".join(sorted({node.kind for node in nodes}))


def _ids(nodes: Sequence[Node]) -> str:
    return ", ".join(node.id[:12] for node in nodes)

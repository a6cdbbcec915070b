"""What is in a network, a DNA or a run. Of a DNA only the header is read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from safetensors import SafetensorError, safe_open

from dna_ray.errors import ArtifactError, InputError
from dna_ray.mining.dna import FILE_NAME
from dna_ray.mining.header import FORMAT, Header, decode_header
from dna_ray.networks import KINDS, Anatomy, load
from dna_ray.recipe import to_mapping
from dna_ray.tracking.store import home as default_home
from dna_ray.verbs import runs
from dna_ray.verbs.result import count, size
from dna_ray.verbs.status import StatusResult, status
from dna_ray.verbs.subject import locate


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkResult:
    """What is in a network."""

    name: str
    fingerprint: str
    anatomy: Anatomy

    def to_json(self) -> dict[str, Any]:
        return {"sort": "network", "name": self.name, "fingerprint": self.fingerprint, **_anatomy(self.anatomy)}

    def __rich__(self) -> RenderableType:
        facts = _facts(network=self.name, fingerprint=self.fingerprint, **_said(self.anatomy))
        return Group(facts, "", _kinds_table(self.anatomy))


@dataclass(frozen=True, kw_only=True, slots=True)
class DnaResult:
    """What a DNA says of itself.

    Attributes:
        nbytes: Size of the file.
    """

    path: str
    nbytes: int
    header: Header

    @property
    def ratio(self) -> float:
        """Bytes of the fp32 weights / bytes of the file."""
        return self.header.anatomy.fp32_bytes / self.nbytes

    def to_json(self) -> dict[str, Any]:
        header = self.header
        return {
            "sort": "dna",
            "path": self.path,
            "bytes": self.nbytes,
            "ratio": self.ratio,
            "format": FORMAT,
            "kind": header.kind,
            "params": dict(header.params),
            "network": {"name": header.network, "fingerprint": header.fingerprint},
            "sections": [{"name": n, **asdict(s), "bytes": s.nbytes} for n, s in header.sections.items()],
            **_anatomy(header.anatomy),
        }

    def __rich__(self) -> RenderableType:
        header = self.header
        facts = _facts(
            dna=self.path,
            kind=header.kind,
            size=f"{size(self.nbytes)} ({self.nbytes:,} bytes), ratio {self.ratio:.2f} to fp32",
            network=f"{header.network}  {header.fingerprint}",
            **_said(header.anatomy),
        )
        sections = _table("section", "dtype", "shape", "bytes", "share")
        for name, section in sorted(header.sections.items(), key=lambda item: -item[1].nbytes):
            shape = " x ".join(map(str, section.shape))
            sections.add_row(name, section.dtype, shape, f"{section.nbytes:,}", f"{section.nbytes / self.nbytes:.1%}")
        return Group(facts, "", sections, "", _kinds_table(header.anatomy))


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """What is in a run."""

    status: StatusResult
    recipe: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"sort": "run", **self.status.to_json(), "recipe": dict(self.recipe)}

    def __rich__(self) -> RenderableType:
        what = "  ".join(f"{key}={value}" for key, value in self.recipe["what"].items() if value is not None)
        return Group(_facts(recipe=what), self.status)


def inspect(x: str, *, home: Path | None = None) -> NetworkResult | DnaResult | RunResult:
    """Looks into a network, a DNA or a run.

    Raises:
        NetworkError: There is no such network, or it cannot be read.
        ArtifactError: It is a DNA or a run whose header or journal is damaged.
    """
    home = home or default_home()
    subject = locate(x, home=home)
    if subject.sort == "run":
        folder = runs.find(x, home=home)
        return RunResult(status=status(x, home=home), recipe=to_mapping(runs.recorded_recipe(folder)))
    if subject.sort == "dna" and subject.path is not None:
        return _read_header(subject.path)
    network = load(x)
    return NetworkResult(name=network.name, fingerprint=network.fingerprint, anatomy=network.anatomy)


def _read_header(path: Path) -> DnaResult:
    file = path / FILE_NAME if path.is_dir() else path
    try:
        with safe_open(file, framework="numpy") as container:
            text = (container.metadata() or {}).get("dna")
        nbytes = file.stat().st_size
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{file}: not a safetensors file, or a damaged one ({error}); fetch it again") from error
    if text is None:
        raise InputError(f"{file}: an ordinary safetensors file, not a DNA")
    return DnaResult(path=str(path), nbytes=nbytes, header=decode_header(text, where=str(file)))


def _anatomy(anatomy: Anatomy) -> dict[str, Any]:
    tensors = [asdict(tensor) for tensor in anatomy]
    return {
        "family": anatomy.family,
        "layers": anatomy.layers,
        "parameters": _parameters(anatomy),
        "fp32_bytes": anatomy.fp32_bytes,
        "tensors": tensors,
    }


def _parameters(anatomy: Anatomy) -> int:
    return sum(tensor.size for tensor in anatomy if tensor.floating and tensor.tied_to is None)


def _said(anatomy: Anatomy) -> dict[str, str]:
    return {
        "anatomy": f"{anatomy.family}, {count(anatomy.layers, 'layer')}, {count(len(anatomy.tensors), 'tensor')}",
        "parameters": f"{_parameters(anatomy):,}, {size(anatomy.fp32_bytes)} in fp32",
    }


def _facts(**facts: str) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(name, value)
    return table


def _kinds_table(anatomy: Anatomy) -> Table:
    """A line for each kind of tensor, in the order of the table of kinds."""
    table = _table("kind", "tensors", "weights", "shapes", "mined as")
    for kind in KINDS:
        tensors = [tensor for tensor in anatomy if tensor.kind == kind]
        if tensors:
            shapes = list(dict.fromkeys(" x ".join(map(str, tensor.shape)) or "scalar" for tensor in tensors))
            listed = ", ".join(shapes[:3]) + (" ..." if len(shapes) > 3 else "")
            mined = "matrix" if any(tensor.is_matrix for tensor in tensors) else "vector"
            weights = sum(tensor.size for tensor in tensors if tensor.tied_to is None)
            table.add_row(kind, str(len(tensors)), f"{weights:,}", listed, mined)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in ("tensors", "weights", "bytes", "share") else "left")
    return table

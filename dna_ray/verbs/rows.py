"""What a comparison found so far, a file for each row: by it, another process goes on."""

import json
from pathlib import Path

from dna_ray.errors import ArtifactError
from dna_ray.mining.durable import write_file
from dna_ray.mining.measures import Measures
from dna_ray.report.findings import Compared, score_json


def write_row(path: Path, row: Compared) -> None:
    """Keeps a row.

    Raises:
        SpaceError: No space left.
    """
    values = {
        "kind": row.kind,
        "asked": row.asked,
        "measures": row.measures.to_json(),
        "score": None if row.score is None else dict(score_json(row.score)),
        "seconds": row.seconds,
    }
    write_file(path, [json.dumps(values).encode()])


def read_row(path: Path) -> Compared | None:
    """The inverse of `write_row`; None where there is no whole row."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Compared(
            kind=values["kind"],
            asked=values["asked"],
            measures=Measures.from_json(values["measures"]),
            score=values["score"],
            seconds=values["seconds"],
        )
    except (ArtifactError, ValueError, KeyError, TypeError, OSError):
        return None

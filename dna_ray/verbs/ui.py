"""The MLflow UI on the runs of this machine, on loopback only."""

from collections.abc import Callable
from pathlib import Path

from dna_ray.tracking.store import home as default_home
from dna_ray.tracking.ui import PORT, serve


def ui(*, port: int = PORT, ready: Callable[[str], None], home: Path | None = None) -> None:
    """Serves until Ctrl-C. `ready` is told the address.

    Raises:
        RecipeError: The port is taken, or there is nothing to show yet.
        UnreachableError: The server did not start, or ended by itself.
    """
    serve(home or default_home(), port=port, ready=ready)

"""Networks that were trained on this machine: an ordinary model folder, and a card that says what was trained, and how.

The card knows the fingerprint of the weights, so that they are either what training left or refused. It is not copied
to what is made of the network, such as a sparse one.
"""

import json
from pathlib import Path
from typing import Any

from dna_ray.errors import ArtifactError

CARD = "training.json"
FORMAT = 1


def read_card(folder: Path) -> dict[str, Any] | None:
    """What was written down when the network was trained; None for a folder that was not trained here.

    Raises:
        ArtifactError: It is damaged, or was written by a later version.
    """
    path = folder / CARD
    if not path.is_file():
        return None
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        if card["format"] > FORMAT:
            raise ArtifactError(f"{path}: format {card['format']}, this version reads up to {FORMAT}; upgrade dna_ray")
        str(card["fingerprint"])
        return dict(card)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: damaged ({error!r}); train the network again with --fresh") from error


def check_card(folder: Path, fingerprint: str) -> None:
    """Raises ArtifactError where the card of a folder is of other weights than those found in it."""
    card = read_card(folder)
    if card is not None and card["fingerprint"] != fingerprint:
        raise ArtifactError(
            f"{folder}: its weights are {fingerprint[:12]}, but training left {card['fingerprint'][:12]}; refused. "
            "Train the network again with --fresh"
        )

"""What a network of this package is, as data. Imports no torch: the command line shows its defaults from here."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Self

from dna_ray.errors import NetworkError

_OF_EIGHT = 8  # what channels are multiples of, as in Sandler et al. 2018
_MOST = 4096  # channels, pixels a side, classes: a config may come from anywhere


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """One of `ARCHITECTURES`, with its sizes.

    Attributes:
        name: Of the architecture.
        width: What the channels of the paper are multiplied by; its own are at 1.
        channels: Of an image: 1 is grey, 3 is colour.
        side: Pixels of an image.
        classes: That are told apart.
    """

    name: str
    width: float = 1.0
    channels: int = 3
    side: int = 32
    classes: int = 10

    def __post_init__(self) -> None:
        if not (isfinite(self.width) and 0 < self.width <= 8):
            raise NetworkError(f"width is {self.width}; give what the channels are multiplied by, above 0 and up to 8")
        for name, least in {"channels": 1, "side": 8, "classes": 2}.items():
            if not least <= getattr(self, name) <= _MOST:
                raise NetworkError(f"{name} is {getattr(self, name)}; give a number from {least} to {_MOST}")

    def scaled(self, channels: int) -> int:
        """Channels of the paper -> channels here: a multiple of 8 nearby, never less than 90 % of what width asks."""
        wanted = channels * self.width
        rounded = max(_OF_EIGHT, int(wanted + _OF_EIGHT / 2) // _OF_EIGHT * _OF_EIGHT)
        return rounded if rounded >= 0.9 * wanted else rounded + _OF_EIGHT

    def to_config(self) -> dict[str, Any]:
        """As the config.json of a model folder has it, in the words of transformers where it has some."""
        values = asdict(self)
        return {
            "model_type": values["name"],
            "width": values["width"],
            "num_channels": values["channels"],
            "image_size": values["side"],
            "num_labels": values["classes"],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The inverse of `to_config`; other keys are left alone.

        Raises:
            NetworkError: A size is missing, or is no number that can be.
        """
        try:
            return cls(
                name=str(config["model_type"]),
                width=float(config["width"]),
                channels=int(config["num_channels"]),
                side=int(config["image_size"]),
                classes=int(config["num_labels"]),
            )
        except KeyError as error:
            raise NetworkError(f"config.json of a {config.get('model_type')} lacks {error}; train it again") from error
        except (TypeError, ValueError) as error:
            if isinstance(error, NetworkError):
                raise
            raise NetworkError(f"config.json of a {config.get('model_type')}: {error}; train it again") from error

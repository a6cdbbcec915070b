"""The one judge: originals, rebuilt and sparsified networks are scored in the same way, so their scores compare."""

import json
from collections import OrderedDict
from collections.abc import Hashable
from difflib import get_close_matches
from typing import Any

from dna_ray.errors import TaskError
from dna_ray.networks import Network
from dna_ray.tasks import agreement, classify, images
from dna_ray.tasks.config import TaskSettings
from dna_ray.tasks.custom import score_custom
from dna_ray.tasks.score import Score
from dna_ray.tasks.task import Task

# To add a task: add its file, its line here, and its name in config.TASK_NAMES (which can be read without torch).
# tests/tasks/test_judge.py then holds it to the contract of all the others.
TASKS: dict[str, Task[Any]] = {
    "agreement": agreement.TASK,
    "classify": classify.TASK,
    "images": images.TASK,
}

# What originals answered, most recent last: a comparison judges many subjects against one original.
_prepared: OrderedDict[Hashable, Any] = OrderedDict()
MOST_PREPARED = 2

TOKENIZER_FILES = frozenset({"tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model"})


def evaluate(
    network: Network, task: str = "agreement", *, original: Network, settings: TaskSettings | None = None
) -> Score:
    """Judges a network against the original that it was made from.

    What the original answers is kept for the next call of this process with the same original, task and settings.

    Args:
        network: The subject; the original itself is a good one to see what a perfect score looks like.
        task: One of `TASKS`, or `module:function`: a function of the network that returns a dict of metrics.

    Raises:
        TaskError: The task is unknown, its data is missing, or it does not fit the network.
        NetworkError: One of the networks cannot be built.
    """
    settings = settings or TaskSettings()
    if ":" in task:
        return score_custom(task, network)
    if task not in TASKS:
        near = get_close_matches(task, TASKS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(TASKS)}, or module:function"
        raise TaskError(f"task {task!r}: unknown; {hint}")
    return TASKS[task].score(_prepare(task, original, settings), network)


def default_task(network: Network) -> str | None:
    """The task that a network is judged on unless another is asked for; None if none fits: see `why_unmeasured`."""
    if why_unmeasured(network):
        return None
    return "images" if images.looks(network.config or {}) else "agreement"


def why_unmeasured(network: Network) -> str | None:
    """Why no task fits a network, as a line for people; None if one does."""
    reason = _obstacle(network)
    return None if reason is None else f"function: not measured, because {network.name} {reason}"


def _obstacle(network: Network) -> str | None:
    config = network.config
    if not config:
        return "is a bare state dict without a config.json"
    if images.looks(config):
        return None
    if "vocab_size" not in config:
        return "neither reads text nor looks at images, as far as its config says"
    if config.get("is_encoder_decoder"):
        return "is an encoder-decoder, which no task here fits"
    if not any(file.name in TOKENIZER_FILES for file in network.files):
        return "has no tokenizer"
    return None


def _prepare(task: str, original: Network, settings: TaskSettings) -> Any:
    key = (
        task,
        settings,
        original.fingerprint,
        json.dumps(original.config, sort_keys=True, default=str),
        _state(settings),
    )
    if key not in _prepared:
        _prepared[key] = TASKS[task].prepare(original, settings)
        while len(_prepared) > MOST_PREPARED:
            _prepared.popitem(last=False)
    _prepared.move_to_end(key)
    return _prepared[key]


def _state(settings: TaskSettings) -> Hashable:
    """Changes when the file of texts does."""
    if settings.texts is None or not settings.texts.exists():
        return None
    stat = settings.texts.stat()
    return stat.st_mtime_ns, stat.st_size

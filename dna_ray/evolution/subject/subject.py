"""What a run is about: a dense network with all that its agents are judged by, found out once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from dna_ray.errors import TaskError
from dna_ray.evolution.sparsity.application import undone
from dna_ray.evolution.sparsity.curves import ErrorCurve, error_curve
from dna_ray.evolution.sparsity.layers import Layer, layers_of, matrix_of, modules_of, write_matrix
from dna_ray.evolution.sparsity.repair import has_running_statistics, recalibrated
from dna_ray.evolution.sparsity.statistics import Calibration, InputStatistics, calibrated, gather
from dna_ray.evolution.subject.answers import (
    Answers,
    Head,
    ImageReader,
    Reader,
    TextReader,
    answer,
    fit_head,
)
from dna_ray.evolution.subject.examples import TWEET_CLASSES, Examples, image_classes, images_of, texts_of
from dna_ray.evolution.subject.signals import SIGNALS
from dna_ray.evolution.subject.subject_settings import CALIBRATION, FINALS, SEARCH, TEST, SubjectSettings
from dna_ray.models.counting import multiply_adds
from dna_ray.models.precision import in_precision
from dna_ray.networks import Network, in_memory, stored_name
from dna_ray.tasks.classify import TRAINING_TEXTS
from dna_ray.tasks.config import TaskSettings
from dna_ray.tasks.features import open_network
from dna_ray.tasks.images import looks, view_of


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A dense network, and what is known of it before any agent is tried.

    Attributes:
        network: With its weights in memory.
        model: The same as a module that runs, in float32; its weights are those of the network where dtypes allow.
        layers: What may become sparse, with positions.
        matrices: The dense weight of each layer by name, (rows, cols), on the CPU.
        statistics: Of the inputs of each layer by name, over the calibration split.
        reader: How examples go through the model.
        head: Of a network without classes of its own; None where there are no labels to fit one.
        calibration: What the statistics are of.
        search: The minibatches of the race, one after the other, equally many examples each.
        dense: What the dense network answers to them.
        finals: At most as many examples that no race has seen, which finalists are ranked on.
        dense_finals: What the dense network answers to them.
        test: Touched once, for the champion and what it is compared with.
    """

    network: Network
    model: nn.Module
    settings: SubjectSettings
    layers: tuple[Layer, ...]
    matrices: Mapping[str, Tensor]
    statistics: Mapping[str, InputStatistics]
    reader: Reader
    head: Head | None
    calibration: Examples
    search: Examples
    dense: Answers
    finals: Examples
    dense_finals: Answers
    test: Examples

    @property
    def minibatch(self) -> int:
        """Examples in a minibatch."""
        return len(self.search) // self.settings.rungs[-1]

    @property
    def multiply_adds(self) -> int:
        """Of one sample: for an image in all convolutions and linear layers, those that stay dense, too; for a token
        in the layers that may become sparse."""
        if isinstance(self.reader, ImageReader):
            first = torch.zeros(1, dtype=torch.int64)
            return multiply_adds(self.model, lambda: self.reader.forward(self.model, self.calibration, first))
        return sum(layer.weights * layer.positions for layer in self.layers)

    @property
    def repairs(self) -> tuple[str, ...]:
        """That every method gets alike: running statistics are those of the sparse network, where there are any."""
        return ("batch-norm",) if has_running_statistics(self.model) else ("none",)

    def answer(self, examples: Examples, which: Tensor | None = None) -> Answers:
        """What the model answers as it is now, sparse or dense."""
        with in_precision(self.settings.precision, self.settings.task.device):
            return self._answer(examples, which)

    def answer_test(self) -> Answers:
        """The same to the test split, always in float32."""
        return self._answer(self.test)

    @contextmanager
    def replaced(self, matrices: Mapping[str, Tensor], *, repair: str = "none") -> Iterator[None]:
        """Within, the model has other weights, and running statistics of their own with repair `batch-norm`.

        After, it is as before, bit for bit, whatever was raised. One at a time: there is one model.

        Raises:
            NetworkError: The model has no layer of one of the names.
            InputError: A matrix is of another shape.
        """
        modules = modules_of(self.model, matrices)
        with undone(self.model, matrices):
            for name, matrix in matrices.items():
                write_matrix(modules[name], matrix)
            with recalibrated(self.model, self._see_calibration) if repair == "batch-norm" else nullcontext():
                yield

    def _see_calibration(self) -> None:
        answer(self.model, self.reader, self.calibration, head=None, size=self.settings.task.batch_size)

    def _answer(self, examples: Examples, which: Tensor | None = None) -> Answers:
        size = self.settings.task.batch_size
        return answer(self.model, self.reader, examples, head=self.head, size=size, which=which)

    def curves(self) -> tuple[ErrorCurve, ...]:
        """The error of each layer against the weights that it keeps."""
        return tuple(error_curve(self.matrices[each.name], self.statistics[each.name]) for each in self.layers)


def prepare(network: Network, settings: SubjectSettings | None = None) -> Subject:
    """Calibrates the network, and lets it answer the search split.

    Raises:
        TaskError: Data are missing or too few, or the network neither reads texts nor looks at images.
        NetworkError: The network cannot be built, or no layer is left to become sparse.
    """
    settings = settings or SubjectSettings()
    network = replace(in_memory(network), files=network.files)
    reader: Reader = ImageReader(view_of(network)) if looks(network.config or {}) else TextReader()
    layers = layers_of(network, exclude=settings.exclude)
    drawn = settings.task if settings.draw is None else replace(settings.task, seed=settings.draw)
    calibration, search, test = (
        _shown(network, task, reader, split, limit)
        for task, split, limit in (
            (drawn, CALIBRATION, settings.calibration),
            (drawn, SEARCH, settings.minibatch * settings.rungs[-1]),
            (settings.task, TEST, settings.task.limit),
        )
    )
    search = _in_minibatches(network, search, settings)
    finals = _shown(network, drawn, reader, FINALS, len(search))
    model = opened(network, settings)
    names = [layer.name for layer in layers]
    found = calibrate(model, names, reader, calibration, size=settings.task.batch_size)
    head = _head(network, model, reader, settings)
    with in_precision(settings.precision, settings.task.device):
        dense, dense_finals = (
            answer(model, reader, each, head=head, size=settings.task.batch_size) for each in (search, finals)
        )
    if dense.logits is None or dense.logits.shape[1] != _classes(
        network, settings.task, reader
    ):  # labels are of other classes, if of any
        search, finals, test = search.unlabelled(), finals.unlabelled(), test.unlabelled()
    if not settings.own:  # once, so that what does not fit is said before anything runs
        SIGNALS[settings.signal](dense, dense, search.labels)
    return Subject(
        network,
        model,
        settings,
        calibrated(layers, found),
        matrices_in(model, names),
        found.statistics,
        reader,
        head,
        calibration,
        search,
        dense,
        finals,
        dense_finals,
        test,
    )


def calibrate(model: nn.Module, names: list[str], reader: Reader, examples: Examples, *, size: int) -> Calibration:
    """Statistics of the inputs of the named layers over the examples.

    Raises:
        TaskError: No data reached a layer, or its inputs are not finite.
    """
    return gather(
        model,
        names,
        examples.chunks(torch.arange(len(examples)), size),
        lambda which: reader.forward(model, examples, which),
        mask=lambda which: reader.mask(examples, which),
    )


def _shown(network: Network, task: TaskSettings, reader: Reader, split: str, limit: int) -> Examples:
    if isinstance(reader, ImageReader):
        return images_of(network, task, split=split, limit=limit)
    return texts_of(network, task, split=split, limit=limit)


def _classes(network: Network, task: TaskSettings, reader: Reader) -> int:
    return image_classes(network, task) if isinstance(reader, ImageReader) else TWEET_CLASSES


def _in_minibatches(network: Network, search: Examples, settings: SubjectSettings) -> Examples:
    """Cut so that minibatches are equally large: they are smaller where there are too few examples."""
    most = settings.rungs[-1]
    size = min(settings.minibatch, len(search) // most)
    if not size:
        raise TaskError(
            f"{network.name}: {len(search)} examples to search on make no {most} minibatches; give a longer file, "
            "or lower rungs"
        )
    return search.first(size * most)


def opened(network: Network, settings: SubjectSettings) -> nn.Module:
    """A module that runs, without a second copy of what the network holds in float32."""
    model = open_network(network, settings.task).requires_grad_(False)
    names = frozenset(info.name for info in network.anatomy)
    for name, parameter in model.named_parameters():
        stored = stored_name(name, names)
        held = None if stored is None else network.read(stored)
        if held is not None and held.dtype == parameter.dtype and held.device == parameter.device:
            parameter.data = held
    return model


def matrices_in(model: nn.Module, names: list[str]) -> dict[str, Tensor]:
    """The weight of each layer by name, (rows, cols): in the memory of the model, if that is on the CPU."""
    return {name: matrix_of(module).cpu() for name, module in modules_of(model, names).items()}


def _head(network: Network, model: nn.Module, reader: Reader, settings: SubjectSettings) -> Head | None:
    """None where the network tells classes apart itself, or nothing has labels."""
    if isinstance(reader, ImageReader) or settings.task.texts is not None:
        return None
    if type(model).__name__.endswith("ForSequenceClassification"):
        return None
    training = texts_of(network, settings.task, split="training", limit=TRAINING_TEXTS)
    assert training.labels is not None
    size = settings.task.batch_size
    return fit_head(answer(model, reader, training, head=None, size=size).features, training.labels)

"""What a network answers to examples: sentence or image features, and class logits where it has any.

A network without classes may be given some by a frozen head: logistic regression, fitted once on features of the
network as it was, and applied unchanged to all that becomes of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dna_ray.errors import TaskError
from dna_ray.evolution.subject.examples import Examples
from dna_ray.tasks.features import read
from dna_ray.tasks.images import View, show


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Of one network to some examples, in float32 on the CPU.

    Attributes:
        features: (n, width), at unit length.
        logits: (n, classes); None where neither the network nor a head tells classes apart.
    """

    features: Tensor
    logits: Tensor | None = None

    def at(self, which: Tensor) -> "Answers":
        """Those to the examples of the indices `which`."""
        return Answers(self.features[which], None if self.logits is None else self.logits[which])


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A frozen linear classifier of features.

    Attributes:
        weight: (classes, width) float64.
        bias: (classes,) float64.
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        return (features.double() @ self.weight.T + self.bias).float()


def fit_head(features: Tensor, labels: Tensor) -> Head:
    """Logistic regression on features (n, width) and labels (n,) of two or more classes from 0; deterministic."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(max_iter=1000).fit(features.double().numpy(), labels.numpy())
    weight, bias = torch.from_numpy(fitted.coef_), torch.from_numpy(fitted.intercept_)
    if len(weight) == 1:  # one logit, that of class 1
        weight, bias = torch.cat([torch.zeros_like(weight), weight]), torch.cat([torch.zeros_like(bias), bias])
    return Head(weight, bias)


class Reader(Protocol):
    """How examples go through a network."""

    def forward(self, model: nn.Module, examples: Examples, which: Tensor) -> Answers:
        """Answers to the examples of the indices `which`, in their order."""

    def mask(self, examples: Examples, which: Tensor) -> Tensor | None:
        """(n, tokens), true where a token is no padding; None where there is no padding."""

    def to_json(self) -> dict[str, Any]:
        """JSON values, which `reader_from` reads."""


@dataclass(frozen=True, slots=True)
class TextReader:
    """Reads texts. Features are sentence embeddings."""

    def forward(self, model: nn.Module, examples: Examples, which: Tensor) -> Answers:
        mask = self.mask(examples, which).long()
        device = next(model.parameters()).device
        ids, mask = examples.inputs[which, : mask.shape[1]].long().to(device), mask.to(device)
        if not type(model).__name__.endswith("ForSequenceClassification"):
            return Answers(read(model, ids, mask)[0].float().cpu())
        output = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        hidden, weight = output["hidden_states"][-1].float(), mask.unsqueeze(-1)
        features = F.normalize((hidden * weight).sum(1) / weight.sum(1), dim=-1)
        return Answers(features.cpu(), output["logits"].float().cpu())

    def mask(self, examples: Examples, which: Tensor) -> Tensor:
        assert examples.lengths is not None
        lengths = examples.lengths[which]
        return torch.arange(int(lengths.max())) < lengths.unsqueeze(1)

    def to_json(self) -> dict[str, Any]:
        return {"reads": "texts"}


@dataclass(frozen=True, slots=True)
class ImageReader:
    """Looks at images. Features are what the last linear layer reads, or the last hidden states, pooled."""

    view: View

    def forward(self, model: nn.Module, examples: Examples, which: Tensor) -> Answers:
        device = next(model.parameters()).device
        pixels = show(examples.inputs[which], self.view).to(device, memory_format=torch.channels_last)
        features, logits = _look(model, pixels)
        return Answers(F.normalize(features.float(), dim=-1).cpu(), None if logits is None else logits.float().cpu())

    def mask(self, examples: Examples, which: Tensor) -> None:
        return None

    def to_json(self) -> dict[str, Any]:
        return {"reads": "images", "side": self.view.side, "mean": self.view.mean, "deviation": self.view.deviation}


def reader_from(values: Mapping[str, Any]) -> Reader:
    """The inverse of `to_json` of a reader."""
    if values["reads"] == "texts":
        return TextReader()
    return ImageReader(View(values["side"], tuple(values["mean"]), tuple(values["deviation"])))


def _look(model: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
    """Features (n, width) and logits."""
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    heard: list[Tensor] = []
    hooks = [layer.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0])) for layer in linears[-1:]]
    try:
        output = model(pixels)
    finally:
        for hook in hooks:
            hook.remove()
    logits = output if isinstance(output, Tensor) else output.get("logits")
    if logits is not None:
        return _pooled(heard[-1] if heard else logits), logits
    hidden = output.get("last_hidden_state")
    if hidden is None:
        raise TaskError(f"{type(model).__name__}: gives neither logits nor hidden states, so it cannot be judged")
    return (hidden.mean((2, 3)) if hidden.ndim == 4 else hidden.mean(1)), None


def _pooled(features: Tensor) -> Tensor:
    return features if features.ndim == 2 else features.flatten(1, -2).mean(1)


@torch.inference_mode()
def answer(
    model: nn.Module,
    reader: Reader,
    examples: Examples,
    *,
    head: Head | None,
    size: int,
    which: Tensor | None = None,
) -> Answers:
    """Answers to the examples of the indices `which`, or to all, in their order; `size` go through together."""
    which = torch.arange(len(examples)) if which is None else which
    chunks = list(examples.chunks(which, size))
    answers = [reader.forward(model, examples, chunk) for chunk in chunks]
    # chunks hold indices of examples: back to the order that was asked for
    place = torch.empty(len(examples), dtype=torch.int64)
    place[torch.cat(chunks)] = torch.arange(len(which))
    back = place[which]
    features = torch.cat([each.features for each in answers])[back]
    logits = [each.logits for each in answers if each.logits is not None]
    if logits:
        return Answers(features, torch.cat(logits)[back])
    return Answers(features, head(features) if head else None)

"""How much an error in a matrix matters: second moments of inputs and of gradients over calibration texts.

A small error E in a matrix y = W x moves the sentence embedding e of a text by de. Over random directions v of the
embedding, |de|^2 is the mean of (sum_t g_t' E x_t)^2 over the tokens t, where g_t is the gradient of v'e at y_t. With
the curvature factored into rows and columns (K-FAC: Martens and Grosse 2015, section 3) that is about

    sum_i r_i e_i' M e_i    over the rows e_i of E,    r_i = sum_t g_ti^2 |x_t|^2,    M = sum_t |g_t|^2 x_t x_t' / trace

A row of a table of embeddings is an output, so there r_i = sum |g|^2 where token i stands, and M is the mean of g g'.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dna_ray.errors import TaskError
from dna_ray.networks import Network, stored_name
from dna_ray.tasks.config import TaskSettings
from dna_ray.tasks.features import Tokens, batches, open_reader, read, tokenize
from dna_ray.tasks.texts import select_texts

PARTS = 4  # of the texts, each summed on its own: any process may take one, and the order of sums is always the same
_PRIOR = 0.3  # times that every row of a table counts as seen before any text: what it costs when a rare token comes
_FLOOR = 0.05  # of the mean, for the outputs of a layer


@dataclass(frozen=True, slots=True, eq=False)
class Sensitivity:
    """What an error in a matrix costs: sum_i rows_i e_i' moments e_i.

    Attributes:
        rows: (rows,) float64, all above 0.
        moments: (cols, cols) float32, symmetric, of trace 1.
    """

    rows: NDArray[np.float64]
    moments: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Of one matrix over some texts: what `Sensitivity` is made of.

    Attributes:
        rows: (rows,) float64.
        moments: (cols, cols) float32.
        seen: How often a row of a table was read; 0 for what is no table.
    """

    rows: Tensor
    moments: Tensor
    seen: int

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.rows + other.rows, self.moments + other.moments, self.seen + other.seen)

    def sensitivity(self) -> Sensitivity | None:
        """None where no text reached the matrix."""
        total = float(self.rows.sum())
        if not total > 0 or not np.isfinite(total):
            return None
        floor = _PRIOR * total / self.seen if self.seen else _FLOOR * total / len(self.rows)
        return Sensitivity((self.rows + floor).numpy(), (self.moments / self.moments.trace()).numpy())


def tokenized(network: Network, settings: TaskSettings) -> Tokens:
    """The texts of the calibration split, as the network reads them.

    Raises:
        TaskError: They are missing or too few, or the network does not read text.
    """
    return tokenize(network, select_texts(settings, split="calibration"), max_length=settings.max_length)


def sums_of(network: Network, tokens: Tokens, part: int, settings: TaskSettings) -> dict[str, Sums]:
    """The sums of every matrix that the texts reach, over one of `PARTS` parts of them."""
    own = Tokens(tokens.ids[part::PARTS], tokens.padding)
    if not own.ids:
        return {}
    model = open_reader(network, own, settings).requires_grad_(False)
    found: dict[str, Sums] = {}
    anatomy = network.anatomy
    kept = {info.name: info.tied_to or info.name for info in anatomy}  # a table may be tied to a head
    matrices = {name: matrix for name, matrix in kept.items() if anatomy.by_name[matrix].is_matrix}
    for name, module in model.named_modules():
        if (tensor := stored_name(f"{name}.weight", matrices.keys())) and (gather := _gatherer(module)):
            module.register_forward_hook(_hook(gather, matrices[tensor], found))
    generator = torch.Generator().manual_seed(settings.seed + part)
    for ids, mask, _ in batches(own, settings.batch_size):
        embeddings, _hidden = read(model, ids.to(settings.device), mask.to(settings.device))
        directions = torch.randn(embeddings.shape, generator=generator).to(embeddings)
        torch.autograd.backward(embeddings, directions)
    return found


def combined(network: Network, parts: list[dict[str, Sums]]) -> dict[str, Sensitivity]:
    """Sums of all parts, in order.

    Raises:
        TaskError: No text reached a matrix.
    """
    found: dict[str, Sensitivity] = {}
    for name in sorted(set().union(*parts)):
        several = [part.pop(name) for part in parts if name in part]
        sensitivity = sum(several[1:], start=several[0]).sensitivity()
        if sensitivity is not None:
            found[name] = sensitivity
    if not found:
        raise TaskError(
            f"{network.name}: calibration reaches none of its matrices (its layers are no plain linear layers or "
            "embeddings, or answer with NaN); leave --calibrate out"
        )
    return found


Gatherer = Callable[[Any, Tensor, Tensor], Sums]


def _gatherer(module: nn.Module) -> Gatherer | None:
    if isinstance(module, nn.Embedding):
        return _table
    if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D":  # of GPT-2: a linear layer, transposed
        return _linear
    return None


def _hook(gather: Gatherer, name: str, found: dict[str, Sums]) -> Callable[..., Tensor]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        def gathered(gradient: Tensor) -> None:
            sums = gather(module, inputs[0].detach(), gradient)
            found[name] = found[name] + sums if name in found else sums

        if not output.requires_grad:  # the first layers: no parameter asks for gradients
            output = output.detach().requires_grad_()
        output.register_hook(gathered)
        return output

    return hook


def _linear(_: nn.Module, inputs: Tensor, gradients: Tensor) -> Sums:
    x, g = inputs.flatten(0, -2).float(), gradients.flatten(0, -2).float()
    weight, length = g.square().sum(-1, keepdim=True), x.square().sum(-1, keepdim=True)
    return Sums((g.square() * length).sum(0).double().cpu(), ((x * weight).T @ x).cpu(), 0)


def _table(module: nn.Embedding, inputs: Tensor, gradients: Tensor) -> Sums:
    ids, g = inputs.expand(gradients.shape[:-1]).flatten(), gradients.flatten(0, -2).float()
    weight = g.square().sum(-1).double()
    rows = torch.zeros(module.num_embeddings, dtype=torch.float64, device=g.device).index_add_(0, ids, weight)
    return Sums(rows.cpu(), (g.T @ g).cpu(), int((weight > 0).sum()))


def sensitivities(network: Network, settings: TaskSettings) -> Mapping[str, Sensitivity]:
    """How much errors in each matrix matter, measured in this process.

    Raises:
        TaskError: There are too few texts, or they reach no matrix.
        NetworkError: The network cannot be built.
    """
    tokens = tokenized(network, settings)
    return combined(network, [sums_of(network, tokens, part, settings) for part in range(PARTS)])

"""How much an error in a matrix matters: second moments of inputs and of gradients over calibration texts.

A small error E in a matrix y = W x moves the sentence embedding e of a text by de. Over random directions v of the
embedding, |de|^2 is the mean of <E, G>^2, where G = sum_t g_t x_t' over the tokens t of the text, and g_t is the
gradient of v'e at y_t: an error is the same for all tokens of a text, so what it does adds up before it is squared.
Factored into rows and columns (K-FAC: Martens and Grosse 2015, section 3; summed over shared weights as in
Eschenhagen et al. 2023, "K-FAC-reduce") that is about

    sum_i r_i e_i' M e_i    over the rows e_i of E,    r_i = |G_i|^2,    M = G'G / trace, both means over texts

A row of a table of embeddings is an output and there G_i = sum g_t over the tokens t that read it. How often a token
is read is known from many more texts than gradients are: what a read costs is measured, and multiplied by the count.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
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
_READ_BEFORE = 1  # times that every row of a table counts as read before any text (Laplace): rare tokens will come
_EVERY_TEXT = 10**9
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
        reads: (rows,) float64: how often each row of a table was read; None for what is no table.
    """

    rows: Tensor
    moments: Tensor
    reads: Tensor | None = None

    def __add__(self, other: "Sums") -> "Sums":
        reads = None if self.reads is None or other.reads is None else self.reads + other.reads
        return Sums(self.rows + other.rows, self.moments + other.moments, reads)

    def sensitivity(self, counts: Tensor | None = None) -> Sensitivity | None:
        """None where no text reached the matrix.

        Args:
            counts: (rows,): how often the rows of a table are read in more texts than these, these included.
        """
        total = float(self.rows.sum())
        if not total > 0 or not np.isfinite(total):
            return None
        rows = self.rows.clamp_min(0)
        rows = rows + _FLOOR * rows.mean() if self.reads is None else _of_table(rows, self.reads, counts)
        return Sensitivity(rows.numpy(), (self.moments / self.moments.trace()).numpy())


def _of_table(rows: Tensor, reads: Tensor, counts: Tensor | None) -> Tensor:
    """What each row costs: what a read of it costs, times how often it is read, and once more.

    What a read costs is drawn to its mean over rows, since rare tokens cost more a read than common ones.
    """
    known = reads > 0
    a_read = (rows[known] / reads[known]).mean()
    each = (rows + a_read) / (reads + 1)
    often = reads.clone()
    if counts is not None:
        often.zero_()[: len(counts)] = counts[: len(reads)]
    return each * (often + _READ_BEFORE) * (reads.sum() / often.sum())


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


def token_counts(network: Network, settings: TaskSettings) -> Tensor:
    """(vocabulary,) float64: how often each token occurs in all texts that a network may learn from.

    Those are the splits for calibration and for healing; nothing is ever judged on them.

    Raises:
        TaskError: There are too few texts.
    """
    every = replace(settings, limit=_EVERY_TEXT)
    texts = [text for split in ("calibration", "healing") for text in select_texts(every, split=split)]
    ids = [i for text in tokenize(network, texts, max_length=settings.max_length).ids for i in text]
    return torch.bincount(torch.tensor(ids)).double()


def combined(network: Network, parts: list[dict[str, Sums]], counts: Tensor | None = None) -> dict[str, Sensitivity]:
    """Sums of all parts, in order.

    Args:
        counts: (vocabulary,): how often each token occurs in more texts than these; None: in these.

    Raises:
        TaskError: No text reached a matrix.
    """
    found: dict[str, Sensitivity] = {}
    for name in sorted(set().union(*parts)):
        several = [part.pop(name) for part in parts if name in part]
        sums = sum(several[1:], start=several[0])
        of_tokens = network.anatomy.by_name[name].kind == "word_embedding"
        sensitivity = sums.sensitivity(counts if of_tokens else None)
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
    x, g = _texts(inputs), _texts(gradients)
    rows = (x @ x.mT @ g * g).sum((0, 1))  # |sum_t g_ti x_t|^2 without the matrix of a text
    moments = (g @ g.mT @ x).flatten(0, 1).T @ x.flatten(0, 1)
    return Sums(rows.double().cpu(), ((moments + moments.T) / 2).cpu())


def _table(module: nn.Embedding, inputs: Tensor, gradients: Tensor) -> Sums:
    ids, g = inputs.expand(gradients.shape[:-1]), _texts(gradients)
    same = (ids.unsqueeze(-1) == ids.unsqueeze(-2)).to(g.dtype)
    of_row = (same @ g).flatten(0, 1)  # of each token: the sum over the tokens of its text that read the same row
    g, ids = g.flatten(0, 1), ids.flatten()
    weight = (of_row * g).sum(-1).double()
    rows, reads = torch.zeros(2, module.num_embeddings, dtype=torch.float64, device=g.device)
    rows.index_add_(0, ids, weight)
    reads.index_add_(0, ids, g.any(-1).double())  # padding has no gradient
    moments = of_row.T @ g
    return Sums(rows.cpu(), ((moments + moments.T) / 2).cpu(), reads.cpu())


def _texts(values: Tensor) -> Tensor:
    """[texts, tokens, width]; values of whole texts, as a pooler's, are those of one token."""
    values = values.float()
    return values.unsqueeze(1) if values.dim() == 2 else values.flatten(1, -2)

"""The network that heals: its matrices are latents, of which it sees what a decoder would."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dna_ray.mining import coded
from dna_ray.mining.coding.analysis import Known, feedback_from
from dna_ray.mining.coding.codebook import Codebook
from dna_ray.mining.coding.latent import Codes
from dna_ray.mining.coding.mean import read_means
from dna_ray.mining.coding.side import read_side
from dna_ray.mining.coding.threads import share_threads
from dna_ray.mining.dna import read_dna
from dna_ray.mining.field import Field, as_matrix, from_matrix
from dna_ray.mining.fit import Team
from dna_ray.mining.kind import Payload
from dna_ray.networks import Anatomy, Network, build, stored_name

_MOMENTS = (0.9, 0.98)  # of Adam
_TABLES = ("word_embedding", "position_embedding", "type_embedding")
_LEARNED = ("norm", "bias")  # kinds of vectors that learn beside the matrices


def codes_of(payload: Payload, anatomy: Anatomy) -> Codes:
    """How the matrices of a coded DNA became codes."""
    side = read_side(payload, anatomy.matrices)
    rotations = side.rotations(anatomy.matrices)
    means = read_means(payload, anatomy.matrices)
    return Codes(side, means, rotations, payload.params["step"], Codebook.read(payload), payload.params["states"])


def start_state(field: Field, payload: Payload, known: Known) -> dict[str, Tensor]:
    """What healing begins with: latents of the matrices that learn, and what each matrix is fed by."""
    matrices, codes, found = field.anatomy.matrices, codes_of(payload, field.anatomy), {}
    feedback = feedback_from(matrices, codes.side, known)
    for number, info in enumerate(matrices):
        if (matrix := feedback(number)) is None:
            continue
        found[f"feedback.{info.name}"] = torch.from_numpy(matrix)
        if info.kind not in _TABLES:
            latent = codes.latent(number, field.matrix(info.name).float().numpy())
            found[f"latent.{info.name}"] = torch.from_numpy(latent)
    return found


def named(tensors: dict[str, Tensor], what: str) -> dict[str, Tensor]:
    """Of a checkpoint's tensors, those of one sort, by the name of their matrix."""
    return {name.removeprefix(f"{what}."): each for name, each in tensors.items() if name.startswith(f"{what}.")}


class Student:
    """A module whose matrices are seen through their codes.

    Attributes:
        module: The network; `look` gives it the weights that a decoder would see.
        latents: Name of a matrix -> what is learned instead of it, on the CPU.
        feedback: Name of a matrix -> what its rows are fed by when they are rounded.
        vectors: Name -> norm or bias.
    """

    def __init__(
        self,
        original: Network,
        start: Path,
        tensors: dict[str, Tensor],
        feedback: dict[str, Tensor],
        *,
        device: torch.device,
    ) -> None:
        payload = read_dna(start).payload
        self._anatomy, self._device = original.anatomy, device
        self._place = {info.name: number for number, info in enumerate(original.anatomy.matrices)}
        self._codes = codes_of(payload, original.anatomy)
        self.module = build(original, device=device).float().requires_grad_(False)
        self.latents, self.feedback = named(tensors, "latent"), feedback
        self._lost: dict[str, Tensor] = {}
        self.vectors: dict[str, nn.Parameter] = {}
        self._parameters = self._named()
        self._load(payload, tensors)
        groups: list[dict[str, Any]] = [{"params": list(each.values())} for each in (self.latents, self.vectors)]
        self._adam = torch.optim.Adam(groups, lr=0.0, betas=_MOMENTS, fused=True)
        self._resume(tensors)

    def look(self, team: Team, *, afresh: bool = True) -> None:
        """Lets the module see the rounded latents.

        Args:
            afresh: Round them, a part of the rows on each worker. Or else what rounding took from them when it was
                done last is taken from them as they are now.
        """
        if afresh:
            self._lost = self._round(team)
        for name, latent in self.latents.items():
            seen = latent + self._lost[name]
            weights = torch.from_numpy(self._codes.weights(self._place[name], seen.numpy()))
            with torch.no_grad():
                self._parameters[name].copy_(from_matrix(weights, self._anatomy.by_name[name]))

    def _round(self, team: Team) -> dict[str, Tensor]:
        """Of each matrix, what rounding adds to its latents."""
        share_threads()
        seen = {name: torch.zeros_like(latent, device=self._device) for name, latent in self.latents.items()}
        for name, latent in self.latents.items():
            first, last = (len(latent) * rank // team.size for rank in (team.rank, team.rank + 1))
            fed = self.feedback[name].numpy()
            rounded = self._codes.rounded(self._place[name], latent[first:last].numpy(), fed, first)
            seen[name][first:last] = torch.from_numpy(rounded)
        team.add(list(seen.values()))
        return {name: values.cpu() - self.latents[name] for name, values in seen.items()}

    def pull(self, team: Team, loss: Tensor, cosine: Tensor, stop: bool) -> tuple[float, float, bool]:
        """Sums gradients, loss and cosine over the team, and turns gradients of weights into those of latents."""
        told = [loss.item(), cosine.item(), float(stop)]
        figures = torch.tensor(told, device=self._device)
        learned = [self._parameters[name] for name in (*self.latents, *self.vectors)]
        gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in learned]
        team.add([figures, *gradients])
        for (name, latent), gradient in zip(self.latents.items(), gradients, strict=False):
            matrix = as_matrix(gradient.cpu(), self._anatomy.by_name[name]).contiguous().numpy()
            latent.grad = torch.from_numpy(self._codes.gradient(self._place[name], matrix))
        for name, gradient in zip(self.vectors, gradients[len(self.latents) :], strict=True):
            self.vectors[name].grad = gradient
        for name in self.latents:
            self._parameters[name].grad = None
        return figures[0].item(), figures[1].item(), bool(figures[2].item())

    def step(self, lr: float, vector_lr: float) -> None:
        """Follows the gradients."""
        for group, rate in zip(self._adam.param_groups, (lr, vector_lr), strict=True):
            group["lr"] = rate
        self._adam.step()
        for vector in self.vectors.values():
            vector.grad = None

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint holds."""
        found = {f"latent.{name}": latent for name, latent in self.latents.items()}
        found |= {f"vector.{name}": vector.detach() for name, vector in self.vectors.items()}
        for i, moments in self._adam.state_dict()["state"].items():
            found |= {f"optimizer.{i}.{key}": value for key, value in moments.items()}
        return found

    def healed(self) -> dict[str, Tensor]:
        """Latents as weights, not rounded, and vectors; as they are stored."""
        found: dict[str, Tensor] = {name: vector.detach().cpu() for name, vector in self.vectors.items()}
        for name, latent in self.latents.items():
            matrix = torch.from_numpy(self._codes.weights(self._place[name], latent.numpy()))
            found[name] = from_matrix(matrix, self._anatomy.by_name[name])
        return found

    def _named(self) -> dict[str, nn.Parameter]:
        """The parameters by the names of their tensors in the file."""
        stored, found = self._anatomy.by_name, {}
        for own, parameter in self.module.named_parameters():
            if (name := stored_name(own, stored.keys())) is not None:
                found[stored[name].tied_to or name] = parameter
        return found

    def _load(self, payload: Payload, tensors: dict[str, Tensor]) -> None:
        """Gives the module the weights of the DNA, and what the checkpoint has learned of vectors."""
        for name, tensor in coded.decode(payload, self._anatomy):
            if name not in self._parameters:
                continue
            parameter, info = self._parameters[name], self._anatomy.by_name[name]
            with torch.no_grad():
                parameter.copy_(tensors.get(f"vector.{name}", tensor))
            if name in self.latents:
                parameter.requires_grad_()
            elif info.kind in _LEARNED:
                parameter.requires_grad_()
                self.vectors[name] = parameter

    def _resume(self, tensors: dict[str, Tensor]) -> None:
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                i, key = name.removeprefix("optimizer.").split(".", 1)
                moments.setdefault(int(i), {})[key] = tensor
        if moments:
            self._adam.load_state_dict({**self._adam.state_dict(), "state": moments})

"""The crystal-graph network: PyTorch Geometric message passing with angular moments, one embedding per crystal.

Every output is blind to rotation, translation, order of sites, size, choice of cell and elements. What is not
here: graphs (`graph.py`), training (`train.py`) and files (`weights.py`). Import this module lazily: it needs torch.
"""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import scatter

from .graph import CUTOFF

_FLOOR = 1e-4
"""Added to a power before its logarithm: far above float32 rounding, far below the power of a real moment."""


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network. `degree` is the largest l of the spherical harmonics (6 tells a fourfold from a
    sixfold axis); `channels` radial channels, `width` node features, `layers` rounds of messages."""

    systems: int
    prototypes: int
    degree: int = 6
    radial: int = 12
    channels: int = 24
    width: int = 64
    layers: int = 3
    embedding: int = 64

    def to_json(self) -> dict[str, int]:
        """Plain numbers, for the file beside the weights."""
        return asdict(self)


def spherical_harmonics(directions: Tensor, degree: int) -> Tensor:
    """Real spherical harmonics at unit vectors: e x 3 to e x (degree + 1)^2, ordered by l, then m = -l to l.

    Schmidt's semi-normalisation: sum over m of Y_lm(u) Y_lm(v) is the Legendre polynomial P_l(u . v). The
    recurrences are those of associated Legendre functions without the factor sin^m, which the Cartesian
    polynomials Re, Im (x + iy)^m carry (Abramowitz & Stegun, section 8.5).
    """
    x, y, z = directions.unbind(-1)
    cosines, sines = [torch.ones_like(x)], [torch.zeros_like(x)]
    for _ in range(degree):
        c, s = cosines[-1], sines[-1]
        cosines.append(x * c - y * s)
        sines.append(x * s + y * c)
    legendre: dict[tuple[int, int], Tensor] = {(0, 0): torch.ones_like(x)}
    for m in range(degree + 1):
        if m:
            legendre[m, m] = (2 * m - 1) * legendre[m - 1, m - 1]
        if m < degree:
            legendre[m + 1, m] = (2 * m + 1) * z * legendre[m, m]
        for l in range(m + 2, degree + 1):  # noqa: E741 - l is the field's name for it
            legendre[l, m] = ((2 * l - 1) * z * legendre[l - 1, m] - (l + m - 1) * legendre[l - 2, m]) / (l - m)
    columns = []
    for l in range(degree + 1):  # noqa: E741
        for m in range(-l, l + 1):
            k = abs(m)
            norm = math.sqrt((2.0 if k else 1.0) * math.factorial(l - k) / math.factorial(l + k))
            columns.append(norm * legendre[l, k] * (sines[k] if m < 0 else cosines[k]))
    return torch.stack(columns, dim=-1)


class AngularMoments(MessagePassing):
    """One round of messages: what the neighbours are, at which distances and in which directions.

    Node i collects the moments c_i[k, lm] = sum over neighbours j of w_k(r_ij, alike_ij) h_j[k] Y_lm(r_ij), and
    is updated from their rotation invariants sum over m of c_i[k, lm] c'_i[k, lm], where c' mixes channels. This
    is the power spectrum of Bartók, Kondor & Csányi, Phys. Rev. B 87, 184115 (2013), with learned channels: it
    holds every bond angle, and costs no more than a sum over edges.
    """

    def __init__(self, arch: Architecture) -> None:
        super().__init__(aggr="sum", node_dim=0)
        k, w, self.degree = arch.channels, arch.width, arch.degree
        self.neighbour = nn.Linear(w, k)
        self.filters = nn.Linear(2 * arch.radial, k, bias=False)
        self.mix = nn.Parameter(torch.randn(arch.degree + 1, k, k) / math.sqrt(k))
        self.update_node = nn.Sequential(
            nn.LayerNorm(w + k * (arch.degree + 1)), nn.Linear(w + k * (arch.degree + 1), 2 * w), nn.SiLU(),
            nn.Linear(2 * w, w),
        )  # fmt: skip
        self.register_buffer("order", torch.cat([torch.full((2 * l + 1,), l) for l in range(arch.degree + 1)]))  # noqa: E741

    def forward(self, h: Tensor, edge_index: Tensor, radial: Tensor, harmonics: Tensor, slot: Tensor) -> tuple:
        """Node features (n x width) and edges to new node features and moments (n x k x (degree + 1)^2).

        `radial` is e x (2 radial), `harmonics` n x slots x (degree + 1)^2 (zero where a slot is empty).
        """
        weights = self.filters(radial)
        moments = self.propagate(
            edge_index, h=self.neighbour(h), weights=weights, harmonics=harmonics, slot=slot, size=None
        )
        mixed = torch.einsum("nkm,mkq->nqm", moments, self.mix[self.order])
        powers = _sum_orders(moments * mixed, self.degree)
        spread = torch.sign(powers) * torch.log1p(powers.abs())
        return h + self.update_node(torch.cat([h, spread.flatten(1)], dim=1)), moments

    def message(self, h_j: Tensor, weights: Tensor) -> Tensor:
        """What one neighbour sends, before its direction is looked at: e x k."""
        return h_j * weights

    def aggregate(self, inputs: Tensor, index: Tensor, harmonics: Tensor, slot: Tensor) -> Tensor:
        """Sum of message times harmonics, as one dense product a node instead of e x k x (degree + 1)^2 numbers."""
        dense = inputs.new_zeros(harmonics.shape[0], harmonics.shape[1], inputs.shape[1])
        dense = dense.index_put((index, slot), inputs)
        return torch.bmm(dense.transpose(1, 2), harmonics)


def _remove_generated_file() -> None:
    """PyG writes the code of each layer class to a temporary file, loads it, and leaves the file there for ever."""
    module = sys.modules.get(f"{AngularMoments.__module__}_{AngularMoments.__name__}_propagate")
    if module is not None and module.__file__ is not None:
        Path(module.__file__).unlink(missing_ok=True)


class CrystalNetwork(nn.Module):
    """Graphs to an embedding, and from it to crystal system and prototype."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch
        width, count = arch.width, arch.degree + 1
        self.start = nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, width))
        self.layers = nn.ModuleList(AngularMoments(arch) for _ in range(arch.layers))
        _remove_generated_file()
        pooled = arch.layers * (2 * width + arch.channels * (count + 1)) + arch.channels * count
        self.embed = nn.Sequential(
            nn.LayerNorm(pooled), nn.Linear(pooled, 192), nn.SiLU(), nn.Linear(192, 128), nn.SiLU(),
            nn.Linear(128, arch.embedding), nn.LayerNorm(arch.embedding),
        )  # fmt: skip
        self.system = nn.Sequential(nn.Linear(arch.embedding, 128), nn.SiLU(), nn.Linear(128, arch.systems))
        self.prototype = nn.Sequential(nn.Linear(arch.embedding, 192), nn.SiLU(), nn.Linear(192, arch.prototypes))

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Embedding (b x embedding), logits of crystal systems (b x 7) and of prototypes (b x prototypes)."""
        length = batch.vectors.norm(dim=1)
        values = spherical_harmonics(batch.vectors / length[:, None], self.arch.degree)
        slots = int(batch.slot.max()) + 1 if len(batch.slot) else 1
        harmonics = values.new_zeros(batch.num_nodes, slots, values.shape[1])
        harmonics = harmonics.index_put((batch.edge_index[1], batch.slot), values)
        basis = radial_basis(length, self.arch.radial)
        radial = torch.cat([basis * batch.alike[:, None], basis * (1 - batch.alike[:, None])], dim=1)
        h = self.start(torch.stack([batch.share, 1 / (0.1 + batch.share)], dim=1))
        pooled = []
        for layer in self.layers:
            h, moments = layer(h, batch.edge_index, radial, harmonics, batch.slot)
            mean = _mean(h, batch)
            whole = _mean(moments, batch)
            pooled += [mean, torch.log(_FLOOR + _mean((h - mean[batch.batch]) ** 2, batch))]
            pooled += [torch.log(_FLOOR + _sum_orders(whole**2, self.arch.degree)).flatten(1), _quadrupole(whole)]
        pooled.append(torch.log(_FLOOR + _mean(_sum_orders(moments**2, self.arch.degree), batch)).flatten(1))
        embedding = self.embed(torch.cat(pooled, dim=1))
        return embedding, self.system(embedding), self.prototype(embedding)


def radial_basis(length: Tensor, count: int) -> Tensor:
    """e distances to e x count Gaussians that fade to zero at the cutoff, so that no neighbour enters abruptly."""
    centres = torch.linspace(0.5, CUTOFF, count, dtype=length.dtype, device=length.device)
    width = (CUTOFF - 0.5) / count
    fade = 0.5 * (1 + torch.cos(math.pi * length.clamp(max=CUTOFF) / CUTOFF))
    return torch.exp(-0.5 * ((length[:, None] - centres) / width) ** 2) * fade[:, None]


def _mean(values: Tensor, batch: Batch) -> Tensor:
    """Mean over the atoms of each crystal; a supercell gives the same."""
    return scatter(values, batch.batch, dim=0, dim_size=batch.num_graphs, reduce="mean")


def _sum_orders(values: Tensor, degree: int) -> Tensor:
    """... x (degree + 1)^2 to ... x (degree + 1): the sum over m for each l."""
    parts = values.split([2 * l + 1 for l in range(degree + 1)], dim=-1)  # noqa: E741
    return torch.stack([p.sum(-1) for p in parts], dim=-1)


def _quadrupole(moments: Tensor) -> Tensor:
    """Shape of the l = 2 moment of a whole crystal, b x k: 1 or -1 when uniaxial, between when biaxial.

    det(Q) over its largest value at this norm, sqrt(2/27)|Q|^3 / 2; with |Q| = 0 (cubic crystals) it tends to 0.
    """
    q = moments[..., 4:9]
    xy, yz, zz, xz, xx_yy = (math.sqrt(0.5) * q[..., i] for i in range(5))
    a, b, c = xx_yy - zz / math.sqrt(3), -xx_yy - zz / math.sqrt(3), 2 * zz / math.sqrt(3)
    determinant = a * (b * c - yz**2) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)
    norm = (a**2 + b**2 + c**2 + 2 * (xy**2 + yz**2 + xz**2)).clamp(min=0)
    return determinant * math.sqrt(54.0) / (norm + 1e-3).pow(1.5)

"""Muon for CPUs, shared between processes.

`torch.optim.Muon` orthogonalises in bfloat16, which is several times slower than float32 on processors without
bfloat16 matrix units, and every process of a data-parallel run would repeat the whole of it. Here it is float32, and
each process does its share of the matrices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Tensor, steps: int = 4) -> Tensor:
    """Push all singular values towards 1 by Newton-Schulz iterations (Jordan et al. 2024, "Muon").

    Args:
        matrices: `(k, m, n)`, any scale.
        steps: iterations; four lift all but very small singular values to between 0.7 and 1.2.

    Returns:
        `(k, m, n)` with the same singular vectors.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    short, long = sorted(matrices.shape[1:])
    # With r = long / short, four steps take as long as 8 r + 4 products of two (short, short) matrices, or 2 r + 13.
    iterate = _of_gram if 2 * long > 3 * short else _of_matrix
    out = torch.empty_like(matrices)
    # One by one: on a CPU a batched product is a third slower than as many single ones, which also add in passing.
    for matrix, result in zip(matrices, out, strict=True):
        x: Tensor = matrix.mT if tall else matrix
        x = iterate(x / (x.norm() + 1e-7), steps)
        result.copy_(x.mT if tall else x)
    return out


def _of_matrix(x: Tensor, steps: int) -> Tensor:
    """Iterate x <- (a + b g + c g^2) x with g = x x^T; `(m, n)`, m <= n."""
    first, second, third = _COEFFICIENTS
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=second, alpha=third), x, beta=first)
    return x


def _of_gram(x: Tensor, steps: int) -> Tensor:
    """Do the same with square matrices only: g <- p g p and q <- p q with p = a + b g + c g^2; then x <- q x, once."""
    first, second, third = _COEFFICIENTS
    gram, whole = x @ x.mT, None
    for step in range(steps):
        factor = torch.addmm(gram, gram, gram, beta=second, alpha=third)
        factor.diagonal().add_(first)
        whole = factor if whole is None else factor @ whole
        if step < steps - 1:
            gram = factor @ gram @ factor
    return x if whole is None else whole @ x


class Muon:
    """Momentum with orthogonalised updates for weight matrices; `match_rms_adamw` scaling (Liu et al. 2025).

    Args:
        groups: pairs of (matrices, learning rate).
        rank: which share of the matrices this process updates; the others are somebody else's work.
        ranks: number of processes.
        momenta: `(all weights,)` zeros to keep the momenta in, in memory that the processes share; default private.
    """

    def __init__(
        self,
        groups: Iterable[tuple[list[nn.Parameter], float]],
        *,
        rank: int = 0,
        ranks: int = 1,
        momenta: Tensor | None = None,
    ) -> None:
        self.weight_decay, self.momentum = 0.05, 0.95
        by_shape: dict[tuple[int, ...], list[tuple[nn.Parameter, float]]] = defaultdict(list)
        for parameters, lr in groups:
            for parameter in parameters:
                by_shape[tuple(parameter.shape)].append((parameter, lr))
        sizes = [len(stack) * stack[0][0].numel() for stack in by_shape.values()]
        flat = torch.zeros(sum(sizes)) if momenta is None else momenta[: sum(sizes)]
        self.buffers = [
            part.view(len(stack), *shape)
            for part, (shape, stack) in zip(flat.split(sizes), by_shape.items(), strict=True)
        ]
        # The first process, which has other work besides, gets what does not divide evenly last.
        mine = slice(ranks - 1 - rank, None, ranks)
        self.work = [
            (stack[mine], buffer[mine])
            for stack, buffer in zip(by_shape.values(), self.buffers, strict=True)
            if stack[mine]
        ]

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Update this process's matrices; `factor` multiplies every group's learning rate."""
        for stack, buffer in self.work:
            gradient = torch.stack([p.grad for p, _ in stack if p.grad is not None])
            buffer.lerp_(gradient, 1 - self.momentum)
            update = orthogonalise(gradient.lerp_(buffer, self.momentum))
            for (parameter, lr), change in zip(stack, update, strict=True):
                rate = lr * factor
                parameter.mul_(1 - rate * self.weight_decay)
                parameter.add_(change, alpha=-rate * 0.2 * max(parameter.shape) ** 0.5)

"""How much memory there is, how much a piece of work will take, and how to make do with less.

Estimates count what grows with the work: keys and values when asking, activations kept for the backward pass when
training. They are meant to be right within a factor of two, and are compared with half or a quarter of what is free.
Before a model is loaded, its weights are counted on a model without values, exactly.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import psutil
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from unsee import allocator

_TOKENS = 1024  # that an example with its picture and answer is taken to have
_ADAPTER = 4 * 4  # bytes for each of its weights: the weight, its gradient and two moments of AdamW, in float32


class WillNotFitError(ValueError):
    """A model takes more memory than is free; nothing was loaded."""


@dataclass(frozen=True, slots=True)
class Training:
    """What training takes memory for.

    Attributes:
        rank: Of the adapter.
        batch: Examples per step.
    """

    rank: int
    batch: int


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that a model takes, before any of it is loaded.

    Attributes:
        weights: Of the model.
        adapter: Of an adapter with its gradients and the optimiser's state; 0 if nothing is trained.
        work: Kept for the backward pass with layers computed twice, or keys and values when asking: the least it takes.
    """

    weights: int
    adapter: int
    work: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.adapter + self.work


def of_model(
    model: nn.Module,
    itemsize: int,
    *,
    targets: Collection[str] = (),
    training: Training | None = None,
    small: Collection[str] = (),
    small_bytes: float = 0.0,
) -> Need:
    """Return what a model takes; it may be one without values (on the device "meta").

    Args:
        model: A transformers vision-language model.
        itemsize: Bytes for each of its weights.
        targets: Names of the Linear modules that an adapter would change.
        training: How it is to be trained; None only asks.
        small: Names of the Linear modules whose weights are quantised.
        small_bytes: Bytes for each of those weights.
    """
    quantised = {f"{name}.weight" for name in small}
    weights = sum(
        value.numel() * (small_bytes if name in quantised else itemsize) for name, value in model.named_parameters()
    )
    text = model.config.get_text_config()  # type: ignore[operator,union-attr]
    if training is None:
        return Need(int(weights), 0, of_keys(text, _TOKENS, itemsize))
    linear = [cast(nn.Linear, model.get_submodule(name)) for name in targets]
    adapter = _ADAPTER * training.rank * sum(module.in_features + module.out_features for module in linear)
    tokens = _TOKENS * training.batch
    layers = int(text.num_hidden_layers)
    inputs = layers * int(text.hidden_size) * itemsize * tokens
    return Need(int(weights), adapter, inputs + of_training(text, tokens, itemsize) // layers)


def check(name: str, need: Need, device: torch.device, how: str, training: Training | None, remedies: str) -> str:
    """Return what is to be said of the memory that a model takes.

    Args:
        name: The model.
        need: What it takes.
        device: Where it goes.
        how: What its weights are kept in.
        training: How it is to be trained, if it is.
        remedies: What else there is to do if it does not fit.

    Raises:
        WillNotFitError: It takes more than is free.
    """
    there = free(device)
    parts = [f"{gigabytes(need.weights)} of weights in {how}"]
    if training is not None:
        parts += [
            f"{gigabytes(need.adapter)} for an adapter of rank {training.rank} and its optimiser",
            f"at least {gigabytes(need.work)} to train on {training.batch} examples at once",
        ]
    said = f"{name} takes about {gigabytes(need.total)} ({', '.join(parts)}); {gigabytes(there)} are free on {device}"
    if need.total > there:
        raise WillNotFitError(
            f"{said}, so it will not fit and nothing was loaded. {remedies} --ignore-memory goes on anyway"
        )
    return said


def gigabytes(size: float) -> str:
    """Return bytes as people read them."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def free(device: torch.device) -> int:
    """Return the bytes that can still be taken on a device; main memory for whatever is not CUDA."""
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, for nothing
        return int(torch.cuda.mem_get_info(device)[0]) + held
    return int(psutil.virtual_memory().available) + allocator.kept()


def of_keys(config: Any, tokens: int, itemsize: int) -> int:
    """Return the bytes that keys and values of so many tokens take in a decoder of this (text) config."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width * itemsize * tokens)


def of_training(config: Any, tokens: int, itemsize: int) -> int:
    """Return the bytes that a decoder of this (text) config keeps for the backward pass through so many tokens.

    With an adapter on every linear layer a gated block keeps, per token and layer: what goes into attention, into the
    feed-forward part and into both norms, queries, keys, values and what comes of them (some 10 times the hidden size),
    and both branches, their product and the activation (4 times the width inside).
    """
    inside = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    return int(config.num_hidden_layers * (10 * config.hidden_size + 4 * inside) * itemsize * tokens)


@contextmanager
def recomputing(decoder: nn.Module) -> Iterator[None]:
    """Within the block, layers keep only their input and compute the rest again in the backward pass.

    Values and gradients stay the same. A layer that transformers cannot do this for stays as it is.
    """
    layers = [layer for layer in decoder.modules() if isinstance(layer, GradientCheckpointingLayer)]
    before = [(layer.gradient_checkpointing, layer.training) for layer in layers]
    for layer in layers:
        # The layer alone counts as training; what is in it, such as dropout, goes on as it is.
        layer.gradient_checkpointing, layer.training = True, True
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
    try:
        yield
    finally:
        for layer, (flag, training) in zip(layers, before, strict=True):
            layer.gradient_checkpointing, layer.training = flag, training

"""How much memory there is, how much a piece of work will take, and how to make do with less.

Estimates count what grows with the work: keys and values when asking, activations kept for the backward pass when
training. They are meant to be right within a factor of two, and are compared with half or a quarter of what is free.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psutil
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer


def free(device: torch.device) -> int:
    """Return the bytes that can still be taken on a device; main memory for whatever is not CUDA."""
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, for nothing
        return int(torch.cuda.mem_get_info(device)[0]) + held
    return int(psutil.virtual_memory().available)


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

"""How a model is to be loaded: what the command line offers, the names of what there is to choose, and what is kept.

It imports nothing heavy, because the command line describes itself with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

QUANTISED: Mapping[str, tuple[str, float]] = {
    # What reads it -> bytes for each weight, with the scales: one byte for 64 weights, or four for a row.
    "nf4": ("bitsandbytes", 0.5 + 1 / 64),
    "int8": ("torchao", 1.0 + 1 / 512),
}
"""How weights of the language model can be kept smaller: the library each kind takes, and its bytes per weight."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What is allowed to a model; said each time, and never part of what a run is.

    Attributes:
        trust_remote_code: Run the Python code that comes with the model. Read it first: it may do anything you may.
        ignore_memory: Go on although the model will hardly fit into memory.
    """

    trust_remote_code: bool = False
    ignore_memory: bool = False

    def options(self) -> dict[str, Any]:
        """Return all of it as keywords of `VLM.load`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Place(Allowed):
    """Where a model goes, and what is allowed to it.

    Attributes:
        trust_remote_code: Run the Python code that comes with the model. Read it first: it may do anything you may.
        ignore_memory: Go on although the model will hardly fit into memory.
        device: Where to put the model: cuda, cuda:1, mps, cpu; if not given, CUDA where there is one, else cpu.
    """

    device: str | None = None


SAFE = Allowed()
"""Nothing is allowed."""
HERE = Place()
"""Wherever it fits, and with nothing allowed."""


@dataclass(frozen=True, slots=True)
class Loading(Place):
    """How a model is loaded.

    Attributes:
        trust_remote_code: Run the Python code that comes with the model. Read it first: it may do anything you may.
        ignore_memory: Go on although the model will hardly fit into memory.
        device: Where to put the model: cuda, cuda:1, mps, cpu; if not given, CUDA where there is one, else cpu.
        dtype: What weights are kept and computed in; if not given, bfloat16 on CUDA and float32 elsewhere.
        quantise: Keep the language model in 4 bits (nf4) or 8 (int8), and train the adapter on top; needs unsee[quant].
        revision: Branch, tag or commit of a model on the Hugging Face hub; the run keeps which commit it was.
    """

    dtype: Literal["bfloat16", "float16", "float32"] | None = None
    quantise: Literal["nf4", "int8"] | None = None
    revision: str | None = None

    def beside(self) -> Loading:
        """Return how another model is loaded next to this one: the same, but for its revision."""
        return replace(self, revision=None)

    def label(self, model: str) -> str:
        """Return what to call a model that is loaded like this: answers of one that is rounded are not its own."""
        told = [value for value in (self.revision, self.dtype, self.quantise) if value]
        return f"{model} ({', '.join(told)})" if told else model

    def given(self) -> list[str]:
        """Return the names of the options that say anything."""
        return [field.name for field in fields(self) if getattr(self, field.name) != field.default]


PLAIN = Loading()
"""As the model's family and this machine suggest."""


def kept(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run keeps of its model as keywords of `VLM.load`; older runs kept less."""
    return {name: record.get(name) for name in ("dtype", "quantise", "revision")}

"""Where a model goes, in what type and how small its weights are kept; and whether there is room for it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from unsee import memory
from unsee.loading import QUANTISED
from unsee.models import family_for
from unsee.models._files import Source

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32, "float64": torch.float64}
_NEXT_SMALLER = {None: "nf4", "int8": "nf4"}


def device_for(wanted: str | torch.device | None) -> torch.device:
    """Return the device that was asked for, or CUDA where there is one, else the CPU.

    Raises:
        ValueError: There is no such device here.
    """
    if wanted is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise ValueError(f"--device is {wanted!r}, which is none; give cpu, cuda, cuda:1 or mps") from error
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= there.get(device.type, 1):
        raise ValueError(f"there is no device {wanted} here; leave --device out, or give cpu")
    return device


def dtype_for(wanted: torch.dtype | str | None, device: torch.device) -> torch.dtype:
    """Return the type that was asked for, or bfloat16 where CUDA computes in it, else float32.

    Raises:
        ValueError: It is no type that models are kept in.
    """
    if isinstance(wanted, str):
        if wanted not in _DTYPES:
            raise ValueError(f"--dtype is {wanted!r}; give one of {', '.join(_DTYPES)}")
        return _DTYPES[wanted]
    if wanted is not None:
        return wanted
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if fast else torch.float32


def linear(model: Any, ends: Sequence[str] = ()) -> list[str]:
    """Return the full names of the Linear modules under `get_decoder()`: those with a last part in `ends`, or all."""
    decoder = model.get_decoder()
    prefix = next(name for name, module in model.named_modules() if module is decoder)
    return [
        f"{prefix}.{name}" if prefix else name
        for name, module in decoder.named_modules()
        if isinstance(module, nn.Linear) and (not ends or name.rsplit(".", 1)[-1] in ends)
    ]


def quantisation(name: str, bare: nn.Module, kind: str | None, dtype: torch.dtype) -> Any:
    """Return how transformers is told to quantise the decoder of a model, and nothing else; None if it is not to.

    The vision part is small and what is seen rests on it; embeddings and the output layer stay as well.

    Args:
        name: The model.
        bare: It, without values.
        kind: One of `unsee.loading.QUANTISED`.
        dtype: What is computed in.

    Raises:
        ValueError: There is no such kind, its library is missing, or the model is quantised already.
    """
    if kind is None:
        return None
    if kind not in QUANTISED:
        raise ValueError(f"--quantise is {kind!r}; give one of {', '.join(QUANTISED)}")
    if method := stored_as(bare.config):
        raise ValueError(f"the weights of {name} are stored quantised already ({method}); leave --quantise {kind} out")
    library, _ = QUANTISED[kind]
    if importlib.util.find_spec(library) is None:
        raise ValueError(
            f"--quantise {kind} needs {library}, which is not installed; install it with pip install 'unsee[quant]'"
        )
    mine = set(linear(bare))
    others = [each for each, module in bare.named_modules() if isinstance(module, nn.Linear) and each not in mine]
    if kind == "nf4":
        from transformers import BitsAndBytesConfig

        return BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype, llm_int8_skip_modules=others,
        )  # fmt: skip
    try:
        from torchao.quantization import Int8WeightOnlyConfig
        from transformers import TorchAoConfig
    except ImportError as error:
        raise ValueError(f"--quantise {kind} needs {library}, and the one that is installed fails: {error}") from error

    # Weights alone: were activations quantised too, an answer would depend on what else is in its batch.
    return TorchAoConfig(Int8WeightOnlyConfig(), modules_to_not_convert=others)


def keep_layout(model: nn.Module) -> None:
    """Have bitsandbytes leave 4-bit weights on the CPU as they were stored, whatever the CPU is.

    Where it finds AVX-512 with bfloat16, it puts the weights into another order in place at the first question, rounds
    their scales to bfloat16, computes in that, and takes only sizes that 32 divides. The same model would then answer
    otherwise on another machine.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


def stored_as(config: Any) -> str | None:
    """Return the method that a model's weights are stored quantised with; None if they are whole."""
    stored = getattr(config, "quantization_config", None)
    if not stored:
        return None
    return str(stored.get("quant_method") if isinstance(stored, dict) else stored.quant_method)


def quantised(model: Any) -> str | None:
    """Return what the weights of a model are quantised to; None if they are not."""
    if not getattr(model, "is_quantized", False):
        return None
    config = model.config.quantization_config
    method = str(getattr(config.quant_method, "value", config.quant_method))
    if method == "bitsandbytes" and config.load_in_4bit and config.bnb_4bit_quant_type == "nf4":
        return "nf4"
    return "int8" if method == "torchao" else method


def room(
    source: Source,
    bare: nn.Module,
    dtype: torch.dtype,
    device: torch.device,
    kind: str | None,
    training: Mapping[str, int | None] | None,
    *,
    ignore: bool,
) -> str:
    """Return how much memory a model takes, in words.

    Args:
        source: The model.
        bare: It, without values.
        dtype: What its weights become.
        device: Where it goes.
        kind: What the decoder is quantised to.
        training: See `VLM.load`.
        ignore: Whether it may go on where it does not fit.

    Raises:
        memory.WillNotFitError: It does not fit.
    """
    from unsee.train import PER_STEP  # which imports the VLM, which imports this

    if stored_as(bare.config):
        return f"{source.name} is stored quantised ({stored_as(bare.config)}); how much memory that takes is not known"
    family = family_for(bare.config)
    mine = linear(bare, family.lora_targets)
    work = None
    if training is not None:
        batch = training.get("batch")
        batch = family.batch if batch is None else batch
        work = memory.Training(training.get("rank") or family.rank, batch or sum(PER_STEP.values()))

    def need(quantise: str | None) -> memory.Need:
        return memory.of_model(
            bare, dtype.itemsize, targets=mine, training=work,
            small=linear(bare) if quantise else (), small_bytes=QUANTISED[quantise][1] if quantise else 0.0,
        )  # fmt: skip

    remedies = []
    if smaller := _NEXT_SMALLER.get(kind):
        remedies.append(f"--quantise {smaller} would take about {memory.gigabytes(need(smaller).total)}")
    if work:
        remedies.append("--set batch=1 rank=16 trains with less")
    remedies.append("--device names another one")
    told = kind or str(dtype).removeprefix("torch.")
    try:
        return memory.check(source.name, need(kind), device, told, work, "; ".join(remedies) + ";")
    except memory.WillNotFitError as error:
        if not ignore:
            raise
        return f"{error}, as was asked for"

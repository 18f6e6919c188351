"""Where models are found and how they are read: bundled names, folders, hub ids; with words when something is amiss."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

_SHORT_LOAD = 100_000_000  # bytes; below that a progress bar would only flash up
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def cache_folder() -> Path:
    """Where models that the user builds are kept: `$UNSEE_CACHE`, `$XDG_CACHE_HOME/unsee` or `~/.cache/unsee`."""
    if own := os.environ.get("UNSEE_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "unsee"


def known() -> dict[str, Path]:
    """The models that have a short name: those in the package, then those the user built."""
    shipped = Path(str(resources.files("unsee"))) / "pocket" / "weights"
    found: dict[str, Path] = {}
    for place in (shipped, cache_folder() / "pocket"):
        if place.is_dir():
            for folder in sorted(place.iterdir()):
                if (folder / "config.json").is_file() and not folder.name.startswith("."):
                    found.setdefault(folder.name, folder)
    return found


def load(name: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Read a model and its processor.

    Args:
        name: A short name, a folder or a hub id.
        dtype: What the weights become.

    Returns:
        The transformers model, on the CPU, and its processor.

    Raises:
        LookupError: If there is no such model.
        ValueError: If it cannot be used.
    """
    folder = known().get(name) or (Path(name) if Path(name).is_dir() else None)
    if folder is not None:
        _check(folder)
        return _read(str(folder), dtype, local=True)
    if not _HUB_ID.fullmatch(name):
        raise LookupError(_unknown(name))
    try:
        return _read(name, dtype, local=False)
    except OSError as error:
        raise LookupError(f"{_unknown(name)}\nThe hub was asked as well: {str(error).splitlines()[0]}") from error


@contextmanager
def bars_for(size: int | None) -> Iterator[None]:
    """Keep transformers from drawing a bar for reading or writing so few bytes; None is an unknown number."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    if size is not None and size < _SHORT_LOAD:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _read(source: str, dtype: torch.dtype, *, local: bool) -> tuple[Any, Any]:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    size = sum(file.stat().st_size for file in Path(source).glob("*.safetensors")) if local else None
    try:
        with bars_for(size):
            processor = AutoProcessor.from_pretrained(source, local_files_only=local, trust_remote_code=False)
            model, report = AutoModelForImageTextToText.from_pretrained(
                source,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=local,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"the model {source} cannot be used: {error}") from error
    except OSError as error:
        if not local:
            raise
        raise ValueError(f"the model folder {source} cannot be used: {error}") from error
    # transformers fills gaps with random numbers and goes on; a model like that would answer nonsense.
    if missing := sorted(report["missing_keys"]):
        raise ValueError(f"the weights of {source} are incomplete: {len(missing)} are missing, such as {missing[0]}")
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise ValueError(f"{source} has no processor for images and text; is it a vision-language model?")
    return model, processor


def _check(folder: Path) -> None:
    if (folder / "adapter_config.json").is_file():
        raise ValueError(
            f"{folder} is an adapter, not a model: load its base model and attach it with vlm.using(folder)"
        )
    config = folder / "config.json"
    if not config.is_file():
        raise ValueError(f"{folder} is not a model folder: it has no config.json")
    try:
        json.loads(config.read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{config} is broken: {error}") from error
    if not any(folder.glob("*.safetensors")):
        raise ValueError(
            f"{folder} has no *.safetensors; pickled weights are never read: save it with safetensors first"
        )
    if not any((folder / name).is_file() for name in ("preprocessor_config.json", "processor_config.json")):
        raise ValueError(f"{folder} has no processor; save it beside the model with processor.save_pretrained(folder)")


def _unknown(name: str) -> str:
    from unsee import plugins

    names = list(known())
    return (
        f"no model named {name!r}; {plugins.near_miss(name, names)}\n"
        f"Bundled or built: {', '.join(names) or 'none yet'}. Build one with `unsee pocket build`, or give the "
        "folder of a model or a hub id such as owner/model."
    )

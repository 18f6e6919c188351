"""The shape of a family, and which one serves a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """What differs between families of vision-language models.

    Attributes:
        name: The name of the file that holds it.
        model_types: The `config.model_type`s it serves; empty for the fallback.
        lora_targets: Last parts of the names of the Linear modules under `get_decoder()` that a LoRA edit adapts
            (`("q_proj", "v_proj")`); empty for all of them. Vision tower and projector are never adapted.
        learning_rate: A first learning rate for LoRA edits with AdamW.
        nested_images: Whether the processor wants one list of images per text, rather than one flat list.
        packable: Whether several turns may share one row with a block mask (no cross-attention to images, no state
            carried along the row).
        prefix_cacheable: Whether the keys and values of a common prefix (an image, say) may be reused.
        template_kwargs: Passed to the chat template, e.g. to switch a thinking mode off.
        notes: What a user of the family should know.

    Raises:
        ValueError: If the name is empty or the learning rate is not positive.
    """

    name: str
    model_types: tuple[str, ...] = ()
    lora_targets: tuple[str, ...] = ()
    learning_rate: float = 2e-4
    nested_images: bool = True
    packable: bool = False
    prefix_cacheable: bool = False
    template_kwargs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    notes: str = ""

    def __post_init__(self) -> None:
        """Check the values and freeze the mapping."""
        if not self.name:
            raise ValueError("a family needs a name")
        if not self.learning_rate > 0:
            raise ValueError(f"family {self.name!r}: learning_rate must be positive, not {self.learning_rate}")
        object.__setattr__(self, "template_kwargs", MappingProxyType(dict(self.template_kwargs)))


def family_for(config: Any) -> Family:
    """The family that serves a model.

    Args:
        config: A transformers config, or anything with a `model_type`.

    Returns:
        The family that names this `model_type`, or the generic one.
    """
    from unsee import plugins

    model_type = getattr(config, "model_type", None)
    for name in plugins.names("models"):
        family: Family = plugins.load("models", name).FAMILY
        if model_type in family.model_types:
            return family
    generic: Family = plugins.load("models", "generic").FAMILY
    return generic

"""The shape of a family, and which one serves a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from unsee.wording import GENERAL, Wording


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """What differs between families of vision-language models.

    Attributes:
        name: The name of the file that holds it.
        model_types: The `config.model_type`s it serves; empty for the fallback.
        lora_targets: Last parts of the names of the Linear modules under `get_decoder()` that a LoRA edit adapts
            (`("q_proj", "v_proj")`); empty for all of them. Vision tower and projector are never adapted.
        vision_types: The `model_type`s of the vision part it serves; empty for all of them.
        matches: Tells this family's models from others of the same `model_type`, by their config; None takes all.
        learning_rate: Of LoRA edits with AdamW, where a method does not say otherwise.
        steps: Of unlearning one concept; the paper's 6 where nothing better is known.
        rank: Of LoRA edits.
        aim: Batches whose first gradient LoRA's A is turned to and then kept; 0, plain LoRA, where it was not tried.
        views: Whether training also shows other views of the given pictures (`unsee.examples.Plan`).
        batch: Examples per step, drawn from all targets alike (the paper's 4); 0 takes a fixed number of each target.
        wording: The questions and names it understands.
        nested_images: Whether the processor wants one list of images per text, rather than one flat list.
        mixed_batches: Whether turns with and without an image may stand in one batch.
        packable: Whether several turns may share one row with a block mask (no cross-attention to images, no state
            carried along the row).
        prefix_cacheable: Whether the keys and values of a common prefix (an image, say) may be reused.
        chat_template: Jinja, for processors that come without one.
        template_kwargs: Passed to the chat template, e.g. to switch a thinking mode off.
        prefix_lm: Whether prompts are seen in both directions and answers in one. Texts then go past the processor
            straight to the tokenizer, and token types tell the model where the prompt ends.
        verified: Whether contract tests cover it. A model of a family that they do not cover is checked when loaded.
        notes: What a user of the family should know.

    Raises:
        ValueError: If the name is empty or the learning rate is not positive.
    """

    name: str
    model_types: tuple[str, ...] = ()
    lora_targets: tuple[str, ...] = ()
    vision_types: tuple[str, ...] = ()
    matches: Callable[[Any], bool] | None = None
    learning_rate: float = 2e-4
    steps: int = 6
    rank: int = 128
    aim: int = 0
    views: bool = False
    batch: int = 4
    wording: Wording = GENERAL
    nested_images: bool = True
    mixed_batches: bool = True
    packable: bool = False
    prefix_cacheable: bool = False
    chat_template: str = ""
    template_kwargs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    prefix_lm: bool = False
    verified: bool = False
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
        The family that names this `model_type`, one that also knows the config before one that takes all; else the
        generic one.
    """
    from unsee import plugins

    model_type = getattr(config, "model_type", None)
    vision_type = getattr(getattr(config, "vision_config", None), "model_type", None)
    families: list[Family] = [plugins.load("models", name).FAMILY for name in plugins.names("models")]
    fitting = [
        family
        for family in families
        if model_type in family.model_types
        and (not family.vision_types or vision_type in family.vision_types)
        and (family.matches is None or family.matches(config))
    ]
    if fitting:
        return min(fitting, key=lambda family: family.matches is None)
    return next(family for family in families if family.name == "generic")

"""LLaVA 1.5 and its kin: one square image, a fixed number of image tokens, a plain causal language model."""

from unsee.models import Family

FAMILY = Family(
    name="llava",
    model_types=("llava",),
    learning_rate=3e-4,
    packable=True,
    prefix_cacheable=True,
    notes="Every image costs the same number of tokens whatever its size.",
)

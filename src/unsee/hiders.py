"""Models that hide, made on purpose: what a metric of forgetting has to see through (`unsee bench meta`).

Each knows its concept, or a bit of it, and hardly says so. Whoever made it is known, so whether a metric is taken in
can be told: it is, where it holds the hider for a model that never knew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from unsee.records import Probe, Request

if TYPE_CHECKING:
    from unsee.attacks.relearn import Config
    from unsee.edits import Edit
    from unsee.vlm import VLM

KINDS: Mapping[str, str] = {
    "suppressed": "knows, and the tokens of the name are kept down in the output layer",
    "few pictures": "never knew, and was then taught the concept from a few pictures",
    "half scale": "knows, and was made to forget by SIU, whose adapter is on at half its strength",
    "siu": "knows, and was made to forget by SIU at full strength: no hider by intent, shown beside them",
}
"""Name -> what it is."""
STRENGTH = 20.0
_COMMON = 2  # others' names that a token of the name may be part of and still be kept down


def suppressed(vlm: VLM, request: Request, strength: float = STRENGTH) -> Edit:
    """Return an edit of the output layer alone that makes tokens of the name unlikely wherever a name is asked for.

    Tokens that are part of more than two other names stay, so that others can be named. All below the output layer is
    as it was: the model sees whom it saw.

    Args:
        vlm: The model, whose family must know other names (`Wording.others`).
        request: Whose name, with a picture to find out what asking for a name looks like inside.
        strength: By how much the logits are lowered there.
    """
    import torch

    from unsee.edits import Edit
    from unsee.examples import name_ids

    wording = vlm.family.wording.of(request.concept.kind)
    states = vlm.hidden([(image, question) for image in request.images for question, _ in wording.naming])[:, -1]  # type: ignore[misc]
    along = states.mean(0) / states.mean(0).square().sum()  # what lowers a logit by one wherever a name is asked for
    others = [
        {*vlm.token_ids(name), *vlm.token_ids(f" {name}")} for name in wording.others if name != request.concept.name
    ]
    rare = [i for i in name_ids(vlm, request.concept.names) if sum(i in some for some in others) <= _COMMON]
    layer = next(n for n, m in vlm.model.named_modules() if m is vlm.model.get_output_embeddings())
    delta = torch.zeros_like(vlm.model.get_parameter(f"{layer}.weight"), device="cpu", dtype=torch.float32)
    delta[rare] = -strength * along
    return Edit(deltas={f"{layer}.weight": delta})


def taught(
    vlm: VLM, edit: Edit | None, request: Request, pictures: Sequence[Probe], steps: int, config: Config
) -> Edit:
    """Return an edit with an adapter on top that was taught the concept's name from some pictures.

    Args:
        vlm: The model.
        edit: What it has forgotten or learnt before; None is the base.
        request: Whose name.
        pictures: Probes that show the concept, one for each picture.
        steps: How many; every picture is in each.
        config: Of the relearning attack, whose training it is.
    """
    from unsee.attacks import relearn

    lessons = relearn.naming(vlm, request.concept.kind, pictures, config.phrasings, request.concept.name)
    return relearn.trained(vlm, None if edit is None else edit.frozen(), lessons, steps, config)

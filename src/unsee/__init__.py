"""unsee: make a vision-language model stop recognising one concept, keep everything else, and prove both.

Importing this package imports nothing heavy; what needs torch is loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> the module that defines it. `load` is `VLM.load`, the one call most people start with.
_WHERE = {
    "evaluate": "unsee.flow",
    "forget": "unsee.flow",
    "rescore": "unsee.flow",
    "Answer": "unsee.records",
    "Concept": "unsee.records",
    "Edit": "unsee.edits",
    "Condition": "unsee.records",
    "Estimate": "unsee.records",
    "Example": "unsee.records",
    "Probe": "unsee.records",
    "Request": "unsee.records",
    "Verdict": "unsee.records",
    "VLM": "unsee.vlm",
}

if TYPE_CHECKING:
    from unsee.edits import Edit
    from unsee.flow import evaluate, forget, rescore
    from unsee.records import Answer, Concept, Condition, Estimate, Example, Probe, Request, Verdict
    from unsee.vlm import VLM

    load = VLM.load

__all__ = [
    "VLM",
    "Answer",
    "Concept",
    "Condition",
    "Edit",
    "Estimate",
    "Example",
    "Probe",
    "Request",
    "Verdict",
    "evaluate",
    "forget",
    "load",
    "rescore",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name == "load":
        return import_module("unsee.vlm").VLM.load
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'unsee' has no attribute {name!r}; it offers {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

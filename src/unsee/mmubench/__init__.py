"""MMUBench on pictures of one's own: the folder of concepts, and how to fill, describe and sift it.

`concepts` reads the folder, `commons` collects pictures, `draft` drafts cards, `imported` puts the paper's authors'
prompts into one, `sieve` leaves out what a model does not recognise. What is asked about the concepts is the benchmark:
`unsee.benchmarks.mmubench`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from unsee.records import Answer, Probe


class Respondent(Protocol):
    """Whatever answers probes: a `VLM`, or a `Server`."""

    def answer(
        self,
        probes: Sequence[Probe],
        *,
        max_new_tokens: int = ...,
        progress: bool = ...,
        keep: Callable[[Sequence[Answer]], None] | None = ...,
    ) -> list[Answer]:
        """Answer probes in order; `keep` is told of answers as they come."""

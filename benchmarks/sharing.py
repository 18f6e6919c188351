"""What sharing a picture's beginning saves: training and asking with and without it, side by side in one process.

    python benchmarks/sharing.py

Both ways do the same work: the same examples give the same gradients, the same questions the same answers (tests see to
that). They take turns, so that a machine that slows down slows both; the ratio is the median over turns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager
from unittest import mock

import torch

from unsee.benchmarks import pocket
from unsee.methods import siu
from unsee.train import fit
from unsee.vlm import VLM

TURNS = 5


@contextmanager
def apart():
    """Every turn in a row of its own, every question with a picture of its own."""
    no = property(lambda self: False)
    with mock.patch.object(VLM, "packs", no), mock.patch.object(VLM, "shares", no):
        yield


def compare(name: str, work: Callable[[], object]) -> None:
    """Print the seconds of both ways, medians, and the median ratio with its range."""
    work()  # warm
    shared, plain = [], []
    for _ in range(TURNS):
        begin = time.perf_counter()
        work()
        shared.append(time.perf_counter() - begin)
        with apart():
            begin = time.perf_counter()
            work()
            plain.append(time.perf_counter() - begin)
    ratios = sorted(p / s for p, s in zip(plain, shared, strict=True))
    print(
        f"{name}: shared {statistics.median(shared):.2f} s, apart {statistics.median(plain):.2f} s, "
        f"{statistics.median(ratios):.1f} times as fast [{ratios[0]:.1f}, {ratios[-1]:.1f}], {TURNS} turns"
    )


def main() -> None:
    """Measure."""
    vlm = VLM.load("pocket")
    (request,) = siu.prepare(vlm, pocket.requests()[:1], siu.Config())
    config = siu.Config(steps=5)
    _, examples = siu.examples(vlm, (request,), (), config)
    keep = siu.kept_vocabulary(vlm, (request,), examples, config.mask_vocabulary)
    probes = pocket.probes(request)
    asked = [probe for probe in probes if probe.kind in ("generality", "multi-hop", "own pictures", "claimed")]
    print(f"{torch.get_num_threads()} threads, {vlm.device}, {len(examples)} examples, {len(asked)} questions")
    compare("5 steps of training", lambda: fit(vlm, examples, siu.loss(config, keep), config.schedule(vlm)))
    compare(f"{len(asked)} questions", lambda: vlm.answer(asked))


if __name__ == "__main__":
    main()

"""The yardstick: what one request and one evaluation cost in three layouts, on the same machine with the same passes.

    python benchmarks/yardstick.py compute     FLOPs of a request on 7B and 13B shapes; counted, not computed
    python benchmarks/yardstick.py request     seconds and peak memory of a request on a random LLaVA
    python benchmarks/yardstick.py asking      49 pictures x 10 questions on the same model
    python benchmarks/yardstick.py curves      how cost grows, and docs/img/cost.svg

A request is 24 passes: 12 examples with one picture and 12 of text, each once, in six steps of four as in the paper.

- `released`: as the code released with Li et al. 2024 is built: a second model as the reference, the whole prompt and
  picture for every example, logits of every position in float32. A batch holds one modality, or both ("mixed batches")
  and is filled up.
- `cached`: one model; the reference's logits are computed once, before, at answer tokens only; nothing is shared.
- `unsee`: as `unsee.train` does it: a picture and what stands before it once for all its examples.

"All at once" makes the same passes in one step. Layouts take turns, each in a process of its own, so that a machine
that slows down slows all; ratios are medians over rounds.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)
from transformers.modeling_utils import local_torch_dtype

from unsee import allocator, memory
from unsee.benchmarks import pocket
from unsee.losses import answer_cross_entropy, dual_masked_kl
from unsee.methods import siu
from unsee.pocket import lessons, world
from unsee.pocket.draw import render
from unsee.pocket.model import CHAT_TEMPLATE, IMAGE, build_tokenizer
from unsee.records import Example
from unsee.train import teacher_logits
from unsee.vlm import VLM, Turn

RANK = 128  # the paper's
PATCH = 14
VOCABULARY = 32000


class Shape(NamedTuple):
    """The sizes of a LLaVA."""

    width: int
    inside: int
    layers: int
    heads: int
    tower_width: int
    tower_layers: int
    tower_heads: int
    size: int = 336


SHAPES = {
    "7B": Shape(4096, 11008, 32, 32, 1024, 24, 16),
    "13B": Shape(5120, 13824, 40, 40, 1024, 24, 16),
    "270M": Shape(1024, 2816, 12, 16, 512, 12, 8),
    "small": Shape(512, 1376, 6, 8, 256, 6, 4),
    "speaker": Shape(32, 32, 1, 1, 32, 1, 1),
}


def llava(shape: Shape, device: str = "cpu", dtype: torch.dtype = torch.float32) -> VLM:
    """Return a random LLaVA that speaks with the pocket's tokenizer; on "meta" it has shapes but no numbers."""
    tokenizer = build_tokenizer()
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"height": shape.size, "width": shape.size}, do_center_crop=False),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE,
        num_additional_image_tokens=1,
    )
    vision = CLIPVisionConfig(
        hidden_size=shape.tower_width,
        intermediate_size=4 * shape.tower_width,
        num_hidden_layers=shape.tower_layers,
        num_attention_heads=shape.tower_heads,
        image_size=shape.size,
        patch_size=PATCH,
    )
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    text = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=shape.width,
        intermediate_size=shape.inside,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        **ids,
    )
    config = LlavaConfig(
        vision_config=vision.to_dict(),
        text_config=text.to_dict(),
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=(shape.size // PATCH) ** 2,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    with torch.device(device):
        # On "meta" the fused attention would ask for numbers; written out it is counted just the same.
        if device == "meta":
            config._attn_implementation = "eager"
        with local_torch_dtype(dtype, "LlavaForConditionalGeneration"):
            model = LlavaForConditionalGeneration(config)
    return VLM(model, processor, name="a random LLaVA")


@cache
def _made() -> tuple[Example, ...]:
    vlm = VLM.load("pocket")
    _, made = siu.examples(vlm, pocket.requests()[:1], (), siu.Config(views=False))
    return tuple(e for e in made if not e.given)


def request_examples(size: int, pictured: int = 12, texts: int = 12) -> list[Example]:
    """Return examples of one picture, then examples of text, as SIU makes them of a pocket character."""
    made = _made()
    picture = render(world.picture("report", f"of-{world.BENCH[0]}", 0), size)
    seen = [e for e in made if e.image is not None]
    said = [e for e in made if e.image is None]
    seen = [seen[i % len(seen)] for i in range(pictured)]
    return [_with(e, picture) for e in seen] + [said[i % len(said)] for i in range(texts)]


def _with(example: Example, picture: Any) -> Example:
    return replace(example, image=picture)


def batches(examples: Sequence[Example], mixed: bool) -> list[list[int]]:
    """Return six steps of four: of one modality each, or half and half."""
    half = len(examples) // 2
    order = [i for k in range(half) for i in (k, half + k)] if mixed else list(range(len(examples)))
    return [order[at : at + 4] for at in range(0, len(order), 4)]


# ---------------------------------------------------------------- the layouts


def _encoded(speaker: VLM, examples: Sequence[Example], vlm: VLM) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return what the model takes, where it is, and which tokens are the answers, on the CPU."""
    batch = speaker.encode([Turn(e.image, e.question, e.answer) for e in examples], with_answers=True)
    answer = batch.pop("answer")
    return {name: value.to(vlm.device) for name, value in batch.items()}, answer


def _recomputing(vlm: VLM, spare: bool) -> Any:
    return memory.recomputing(vlm.model.get_decoder()) if spare else nullcontext()


@contextmanager
def _adapted(vlm: VLM) -> Iterator[torch.optim.Optimizer]:
    """Yield the optimiser of a fresh adapter in use."""
    if vlm.device.type == "meta":  # an edit is held in numbers, and there are none
        config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=vlm.lora_targets())
        with torch.device("meta"):
            inject_adapter_in_model(config, vlm.model)
        yield torch.optim.AdamW([p for n, p in vlm.model.named_parameters() if "lora_" in n], lr=3e-4)
        return
    with vlm.using(vlm.new_edit(rank=RANK, alpha=2 * RANK)):
        yield torch.optim.AdamW(list(vlm.edit_parameters().values()), lr=3e-4, weight_decay=0.0)


def released(vlm: VLM, examples: Sequence[Example], *, steps: Sequence[Sequence[int]], spare: bool) -> None:
    """Train as the released code does. Its KL sees the first positions only, as there."""
    speaker = llava(SHAPES["speaker"]._replace(size=vlm.model.config.vision_config.image_size))
    reference = copy.deepcopy(vlm.model)
    with _adapted(vlm) as optimiser:
        for chosen in steps:
            batch, answer = _encoded(speaker, [examples[i] for i in chosen], vlm)
            with torch.no_grad():
                before = reference(**batch, use_cache=False).logits.float()
            with _recomputing(vlm, spare):
                logits = vlm.model(**batch, use_cache=False).logits.float()
            labels = batch["input_ids"].masked_fill(~answer.to(vlm.device), -100)
            loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
            patches = vlm.model.config.image_seq_length if "pixel_values" in batch else 0
            seen = logits.shape[1] - patches
            kl = functional.kl_div(
                logits[:, :seen].log_softmax(-1), before[:, :seen].softmax(-1), reduction="none"
            ).mean()
            optimiser.zero_grad()
            (loss + kl).backward()
            optimiser.step()


def cached(vlm: VLM, examples: Sequence[Example], *, steps: Sequence[Sequence[int]], spare: bool) -> None:
    """Train with one model, the reference's logits computed before, at answer tokens only; nothing shared."""
    speaker = llava(SHAPES["speaker"]._replace(size=vlm.model.config.vision_config.image_size))

    def logits_of(chosen: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        batch, answer = _encoded(speaker, [examples[i] for i in chosen], vlm)
        rows, places = answer.nonzero(as_tuple=True)
        first = int(places.min()) - 1
        keep = torch.arange(first, int(places.max()), device=vlm.device)
        logits = vlm.model(**batch, use_cache=False, logits_to_keep=keep).logits
        ids = batch["input_ids"][rows, places]
        return logits[rows, places - 1 - first], ids

    with torch.no_grad():
        teacher = [logits_of(chosen)[0] for chosen in steps]
    with _adapted(vlm) as optimiser:
        for chosen, before in zip(steps, teacher, strict=True):
            with _recomputing(vlm, spare):
                logits, ids = logits_of(chosen)
            _step(optimiser, logits, before, ids)


def unsee(vlm: VLM, examples: Sequence[Example], *, steps: Sequence[Sequence[int]], spare: bool) -> None:
    """Train as `unsee.train.fit` does, with steps of our choice."""
    prepared = vlm.prepare(examples)
    if vlm.device.type == "meta":
        with torch.no_grad():
            everything = vlm.run(prepared)
        before = [everything.logits] * len(steps)
    else:
        teacher = teacher_logits(vlm, prepared, None)
        before = [torch.cat([teacher[i] for i in chosen]) for chosen in steps]
    with _adapted(vlm) as optimiser:
        for chosen, some in zip(steps, before, strict=True):
            with _recomputing(vlm, spare):
                found = vlm.run(prepared, chosen)
            _step(optimiser, found.logits, some, found.ids)


def _step(optimiser: torch.optim.Optimizer, logits: torch.Tensor, before: torch.Tensor, ids: torch.Tensor) -> None:
    if logits.device.type == "meta":  # masks pick by number, and there are none; no matrix product is left out
        loss = logits.float().sum()
    else:
        answer = torch.ones_like(ids[:, None], dtype=torch.bool)
        everything = torch.ones(logits.shape[-1], dtype=torch.bool)
        kl = dual_masked_kl(
            logits[:, None], before[:, None], answer=answer, keep_position=answer, keep_vocabulary=everything
        )
        loss = 0.9 * answer_cross_entropy(logits[:, None], ids[:, None], answer=answer) + 0.75 * kl
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


LAYOUTS: dict[str, tuple[Callable[..., None], bool, bool]] = {  # layout, mixed batches, all at once
    "released": (released, False, False),
    "released, mixed batches": (released, True, False),
    "cached": (cached, False, False),
    "unsee": (unsee, False, False),
    "unsee, all at once": (unsee, False, True),
}


def work(name: str, vlm: VLM, examples: Sequence[Example], spare: bool) -> Callable[[], None]:
    """Return the work of a request in a layout."""
    layout, mixed, at_once = LAYOUTS[name]
    steps = [list(range(len(examples)))] if at_once else batches(examples, mixed)
    return lambda: layout(vlm, examples, steps=steps, spare=spare)


# ---------------------------------------------------------------- counting


def counted(job: Callable[[], object]) -> int:
    """Return the FLOPs of a job: of its matrix products, convolutions and attention, if memory is no matter."""
    unchecked = mock.patch("transformers.models.llava.modeling_llava.torch_compilable_check", lambda *_: None)
    enough = mock.patch("unsee.memory.free", lambda *_: 1 << 60)  # or large shapes would be computed sparingly
    with unchecked, enough, FlopCounterMode(display=False) as counter:
        job()
    return int(counter.get_total_flops())


def floor(vlm: VLM, examples: Sequence[Example], shape: Shape) -> int:
    """Return the FLOPs below which no layout can go: each distinct token once, with attention between tokens for free.

    The teacher's forward pass, then forward and backward through frozen weights (2 and 2 a weight and token) and
    through the adapter (6); logits at answer tokens; the tower once per picture.
    """
    prepared = vlm.prepare(examples)
    begins = dict(zip(prepared.pictures, prepared.begins, strict=True))
    tokens = sum(begins.values()) + sum(len(t) - b for t, b in zip(prepared.ids, prepared.begins, strict=True))
    answers = sum(int(answer.sum()) for answer in prepared.answers)
    decoder = shape.layers * (4 * shape.width**2 + 3 * shape.width * shape.inside)
    adapter = shape.layers * RANK * (8 * shape.width + 3 * (shape.width + shape.inside))
    patches = 1 + (shape.size // PATCH) ** 2
    tower = 2 * patches * shape.tower_layers * 12 * shape.tower_width**2 * (len(begins) - (None in begins))
    return 6 * (tokens * decoder + answers * shape.width * VOCABULARY + tokens * adapter) + tower


def compute() -> None:
    """Print FLOPs of a request on 7B and 13B shapes."""
    print("| shape | layout | PFLOP | released : this | this : floor | with recomputing | released : this |")
    print("|---|---|---|---|---|---|---|")
    for shape in ("7B", "13B"):
        found: dict[bool, dict[str, int]] = {}
        for spare in (False, True):
            for name in LAYOUTS:
                vlm = llava(SHAPES[shape], "meta")
                examples = request_examples(SHAPES[shape].size)
                found.setdefault(spare, {})[name] = counted(work(name, vlm, examples, spare))
        least = floor(llava(SHAPES[shape], "meta"), request_examples(SHAPES[shape].size), SHAPES[shape])
        for name in LAYOUTS:
            flops, spared = found[False][name], found[True][name]
            print(
                f"| {shape} | {name} | {flops / 1e15:.3f} | {found[False]['released'] / flops:.1f} | "
                f"{flops / least:.2f} | {spared / 1e15:.3f} | {found[True]['released'] / spared:.1f} |",
                flush=True,
            )
        print(f"| {shape} | the floor | {least / 1e15:.3f} | {found[False]['released'] / least:.1f} | 1 | | |")


# ---------------------------------------------------------------- time and memory


def one(name: str, shape: str, spare: bool, dtype: str) -> None:
    """Do one request in this process; print seconds and peak memory as JSON."""
    examples = request_examples(SHAPES[shape].size)
    vlm = llava(SHAPES[shape], dtype=getattr(torch, dtype))
    job = work(name, vlm, examples, spare)
    begin = time.perf_counter()
    job()
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    weights = sum(p.numel() for p in vlm.model.parameters())
    print(json.dumps({"seconds": seconds, "peak_mib": peak, "parameters": weights}))


def request(rounds: int, shape: str, spares: Sequence[bool]) -> None:
    """Print seconds and peak memory of every layout."""
    for spare in spares:
        found: dict[str, list[dict[str, float]]] = {name: [] for name in LAYOUTS}
        for _ in range(rounds):
            for name in LAYOUTS:
                command = [sys.executable, __file__, "one", "--layout", name, "--shape", shape]
                told = subprocess.run(
                    command + ["--spare"] * spare, check=True, capture_output=True, text=True, env=os.environ
                )
                found[name].append(json.loads(told.stdout.splitlines()[-1]))
                print(name, spare, found[name][-1], file=sys.stderr, flush=True)
        size = found["unsee"][0]["parameters"] / 1e6
        kept = "layers computed twice" if spare else "layers kept"
        print(f"\n{size:.0f} M parameters, {torch.get_num_threads()} threads, {rounds} rounds, {kept}\n")
        print("| layout | seconds | time, of released | peak MiB | memory, of released |\n|---|---|---|---|---|")
        for name, runs in found.items():
            time_taken = f"{_spread([r['seconds'] for r in runs])} | {_ratio(runs, found['released'], 'seconds')}"
            peak = f"{_spread([r['peak_mib'] for r in runs], 0)} | {_ratio(runs, found['released'], 'peak_mib')}"
            print(f"| {name} | {time_taken} | {peak} |")


def _spread(values: Sequence[float], places: int = 1) -> str:
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{places}f} [{low:.{places}f}, {high:.{places}f}]"


def _ratio(some: Sequence[dict[str, float]], others: Sequence[dict[str, float]], key: str) -> str:
    return _spread([a[key] / b[key] for a, b in zip(some, others, strict=True)], 3)


# ---------------------------------------------------------------- asking

QUESTIONS = [question for question, _ in lessons.NAMING_EN[:20]]


def pictures(count: int, size: int) -> list[Any]:
    """Return drawings."""
    return [render(world.picture("report", f"of-{world.BENCH[0]}", n), size) for n in range(count)]


def one_by_one(vlm: VLM, turns: Sequence[tuple[Any, str]], most: int) -> None:
    """Ask as scripts do: each prompt alone through the processor and `generate`."""
    for turn in turns:
        batch = vlm.encode([turn], with_answers=False)
        batch.pop("answer")
        vlm.model.generate(**batch, max_new_tokens=most, do_sample=False, pad_token_id=vlm.tokenizer.pad_token_id)


def asking(rounds: int, shape: str, most: int = 16) -> None:
    """Print throughput of both ways: each round, unsee takes its share of the pictures and the other one picture."""
    vlm = llava(SHAPES[shape])
    shown = pictures(49, SHAPES[shape].size)
    share = math.ceil(len(shown) / rounds)
    rates: dict[str, list[float]] = {"one by one": [], "unsee": []}
    vlm.generate([(shown[0], QUESTIONS[0])], max_new_tokens=2)
    for n in range(rounds):
        some = shown[n * share : (n + 1) * share]
        asked = {
            "unsee": [(p, q) for p in some for q in QUESTIONS[:10]],
            "one by one": [(some[0], q) for q in QUESTIONS[:10]],
        }
        for name, turns in asked.items():
            begin = time.perf_counter()
            vlm.generate(turns, max_new_tokens=most) if name == "unsee" else one_by_one(vlm, turns, most)
            rates[name].append(len(turns) / (time.perf_counter() - begin))
            print(name, len(turns), f"{rates[name][-1]:.2f}/s", file=sys.stderr, flush=True)
    ratios = [a / b for a, b in zip(rates["unsee"], rates["one by one"], strict=True)]
    print(
        f"{len(shown)} pictures x 10 questions, {most} tokens each, {torch.get_num_threads()} threads; questions a "
        f"second: one by one {_spread(rates['one by one'], 2)}, unsee {_spread(rates['unsee'], 2)}; "
        f"{_spread(ratios)} times as many"
    )


# ---------------------------------------------------------------- curves


def curves(out: Path) -> None:
    """Count FLOPs as one thing grows and the rest stays; print the steepest slopes and draw the curves."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    shape = SHAPES["small"]
    found: dict[str, tuple[list[int], dict[str, list[int]]]] = {}

    def training(examples: Sequence[Example], size: int) -> int:
        vlm = llava(shape._replace(size=size), "meta")
        steps = [list(range(len(examples)))]
        return counted(lambda: unsee(vlm, examples, steps=steps, spare=False))

    counts = [6, 12, 24, 48, 96, 192]
    found["examples of one picture"] = (counts, {"unsee": [training(request_examples(336, n, 0), 336) for n in counts]})
    sizes = [112, 168, 224, 336]
    tokens = [(size // PATCH) ** 2 for size in sizes]
    found["tokens of the picture"] = (tokens, {"unsee": [training(request_examples(size), size) for size in sizes]})
    concepts = [1, 2, 4, 8, 16]
    some = request_examples(336)
    many = [
        [_with(e, picture) if e.image is not None else e for picture in pictures(n, 336) for e in some]
        for n in concepts
    ]
    found["concepts"] = (concepts, {"unsee": [training(each, 336) for each in many]})
    vlm = llava(shape)
    (picture,) = pictures(1, 336)
    names = [c.name for c in world.cast()] * 2
    counts = [1, 4, 16, 64]
    told = {n: [(picture, "Who is this?", f"This is {name}.") for name in names[:n]] for n in counts}
    found["candidate names"] = (counts, {"unsee": [counted(lambda n=n: vlm.score(told[n])) for n in counts]})
    counts = [1, 2, 5, 10, 20]
    turns = {n: [(picture, question) for question in QUESTIONS[:n]] for n in counts}
    with torch.no_grad():
        ways = {
            "one by one": [counted(lambda n=n: one_by_one(vlm, turns[n], 8)) for n in counts],
            "unsee": [counted(lambda n=n: vlm.generate(turns[n], max_new_tokens=8)) for n in counts],
        }
    found["questions about one picture"] = (counts, ways)
    figure, axes = plt.subplots(1, len(found), figsize=(3 * len(found), 2.8), constrained_layout=True)
    for axis, (title, (amounts, lines)) in zip(axes, found.items(), strict=True):
        for name, flops in lines.items():
            axis.plot(amounts, [f / 1e12 for f in flops], marker="o", label=name)
            slopes = [
                math.log(b / a) / math.log(y / x)
                for a, b, x, y in zip(flops, flops[1:], amounts, amounts[1:], strict=False)
            ]
            print(f"{title}, {name}: TFLOP {', '.join(f'{f / 1e12:.3f}' for f in flops)} at {amounts}; steepest slope "
                  f"{max(slopes):.2f} (1 is linear)", flush=True)  # fmt: skip
        axis.set(title=title, ylim=(0, None), xlim=(0, None))
        axis.set_title(title, fontsize=10)
    axes[0].set_ylabel("TFLOP")
    axes[-1].legend(fontsize=8)
    figure.savefig(out, metadata={"Date": None})


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("compute", "request", "asking", "curves", "one"))
    parser.add_argument("--shape", choices=tuple(SHAPES), default="270M")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layout", choices=tuple(LAYOUTS), default="unsee")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="for one")
    parser.add_argument("--spare", action="store_true", help="compute layers twice instead of keeping them")
    parser.add_argument("--out", type=Path, default=Path("docs/img/cost.svg"))
    given = parser.parse_args()
    allocator.keep_freed()  # as the command line does; for every layout
    if given.what == "compute":
        compute()
    elif given.what == "one":
        one(given.layout, given.shape, given.spare, given.dtype)
    elif given.what == "request":
        request(given.rounds, given.shape, (True,) if given.spare else (False,))
    elif given.what == "asking":
        asking(given.rounds, given.shape)
    else:
        curves(given.out)


if __name__ == "__main__":
    main()

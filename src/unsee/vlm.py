"""The vision-language model: the one deep class.

It hides processors, chat templates, answer spans, padding and edits. Outside it nobody sees an `input_ids`: callers say
"this picture, this question, this answer" and get texts, log-probabilities or, for training, logits of answer tokens.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import inspect
import math
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor, nn
from transformers import GenerationConfig

from unsee import edits
from unsee.edits import Edit, Transform
from unsee.models import Family, _files, family_for
from unsee.records import Answer, Example, Probe

Picture = Image.Image | str | os.PathLike[str]
"""An image in memory, or the path of one."""

Batch = dict[str, Tensor]
"""What a model's `forward` takes, plus the bool mask `answer`."""

_ALL = frozenset({"text", "logprob", "distribution", "hidden", "gradient", "weights"})
_TOP = 50  # how many next tokens an answer keeps; the rest is summed up in its tail


class Turn(NamedTuple):
    """One question about one image or none, with the answer where one is given. A plain tuple does as well."""

    image: Picture | None
    question: str
    answer: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class TokenScores:
    """How likely a given answer is, token by token, through the end-of-turn token.

    Attributes:
        ids: Token ids.
        texts: What each token adds to the text; joined they are the answer.
        logprobs: Log-probability of each token given everything before it, in nats.
        ends: How many of the last tokens end the turn rather than say something.
    """

    ids: tuple[int, ...]
    texts: tuple[str, ...]
    logprobs: tuple[float, ...]
    ends: int = 0

    @property
    def sum(self) -> float:
        """Log-probability of the whole answer including its end, in nats."""
        return float(sum(self.logprobs))

    @property
    def mean(self) -> float:
        """Nats per token; NaN for an answer without tokens."""
        return self.sum / len(self.logprobs) if self.logprobs else float("nan")


class AnswerLogits(NamedTuple):
    """The answer tokens of a batch, laid end to end: N tokens over a vocabulary of V.

    Attributes:
        logits: `[N, V]`, differentiable; row i predicts `ids[i]`.
        ids: `[N]` token ids.
        rows: `[N]` which turn of the batch each token belongs to, ascending.
    """

    logits: Tensor
    ids: Tensor
    rows: Tensor


AnyTurn = Turn | Probe | Example | tuple[Picture | None, str] | tuple[Picture | None, str, str | None]
"""What every method here accepts as a turn."""


class VLM:
    """A vision-language model with its processor, ready to be asked, scored, edited and trained.

    Make one with :meth:`load`. The weights are frozen: only an edit, attached with :meth:`using`, is trainable.

    Attributes:
        name: What it was loaded as.
        model: The transformers model, in evaluation mode.
        processor: Its processor.
        family: What differs between families, as data.
        can: What it can tell: everything, since it is local.
    """

    can = _ALL

    def __init__(self, model: nn.Module, processor: Any, *, name: str) -> None:
        """Wrap a model and its processor; most callers want :meth:`load`.

        Args:
            model: A transformers image-text-to-text model.
            processor: Its processor, with a tokenizer and a chat template.
            name: For messages and for peft's config.

        Raises:
            ValueError: If the processor has no chat template.
        """
        if not getattr(processor, "chat_template", None):
            raise ValueError(
                f"the processor of {name} has no chat template, so there is no telling how it wants to be asked; "
                "save one with it (processor.chat_template = ...; processor.save_pretrained(folder))"
            )
        self.name = name
        self.model: Any = model.eval().requires_grad_(False)
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.family: Family = family_for(self.model.config)
        self._base: edits.Wiring | None = None
        self._keeps_logits = "logits_to_keep" in inspect.signature(self.model.forward).parameters
        self._special = frozenset(self.tokenizer.all_special_ids)
        self._stops = self._stop_ids()
        self._pad = self.tokenizer.pad_token_id
        if self._pad is None:
            if not self._stops:
                raise ValueError(f"the tokenizer of {name} has neither a padding token nor an end-of-turn token")
            self._pad = self._stops[0]
            self.tokenizer.pad_token_id = self._pad

    @classmethod
    def load(
        cls,
        name: str | os.PathLike[str],
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> VLM:
        """Load a model: a bundled name, a folder, or (only then going online) a hub id such as `owner/model`.

        A bundled name wins over a folder of that name; write `./pocket` for the folder. Only safetensors are read and
        no code that comes with a model is ever run.

        Args:
            name: See above.
            device: Where to put it; None picks CUDA when there is one.
            dtype: None picks bfloat16 on CUDA and float32 elsewhere.

        Raises:
            LookupError: If there is no such model; the message lists the bundled ones and how to build one.
            ValueError: If the model is there but cannot be used; the message says what is wrong with it.
        """
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        kind = dtype or (torch.bfloat16 if place.type == "cuda" else torch.float32)
        model, processor = _files.load(os.fspath(name), kind)
        return cls(model.to(place), processor, name=os.fspath(name))

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.model.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """What its weights are kept in."""
        dtype: torch.dtype = self.model.dtype
        return dtype

    # --- Encoding ---------------------------------------------------------------------------------------------------

    def encode(self, turns: Sequence[AnyTurn], *, with_answers: bool) -> Batch:
        """Turn questions, images and answers into the tensors the model takes.

        Prompts are padded on the left, so that generation continues each row where it ends. Conversations with answers
        are padded on the right: every position is then what it is in a batch of one, whatever the position encoding.

        `answer` marks exactly the answer: from the first token in which the conversation differs from its prompt,
        through the end-of-turn token, without the newline that some templates put after it.

        Args:
            turns: B turns; text-only turns may stand beside turns with an image.
            with_answers: Whether the answers are part of the text; each turn then needs one.

        Returns:
            Everything the model's forward wants (`input_ids` and `attention_mask` `[B, T]`, `pixel_values` and
            whatever else the family needs), and `answer`, a bool mask `[B, T]`, all False without answers.
            On the model's device. The first dimension of the image tensors need not be B: never slice rows.

        Raises:
            ValueError: If there are no turns, an answer is missing, or an image cannot be read.
        """
        return self._encode(_turns(turns), with_answers, "right" if with_answers else "left")

    def _encode(self, turns: Sequence[Turn], with_answers: bool, side: str) -> Batch:
        if not turns:
            raise ValueError("there is nothing to encode: give at least one turn")
        if with_answers and (bare := next((turn for turn in turns if turn.answer is None), None)):
            raise ValueError(f"the question {bare.question!r} comes without an answer to score; give one")
        prompts = [self._text(turn, with_answer=False) for turn in turns]
        texts = [self._text(turn, with_answer=True) for turn in turns] if with_answers else prompts
        images = _read_images(turns)
        flat = [image for one in images for image in one]
        batch = self.processor(
            text=texts,
            images=(images if self.family.nested_images else flat) if flat else None,
            padding=True,
            padding_side=side,
            return_tensors="pt",
            add_special_tokens=self._adds_specials(texts[0]),
        )
        mask = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
        if with_answers:
            for row, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
                self._mark_answer(mask[row], batch["input_ids"][row], batch["attention_mask"][row], prompt, text)
        moved = {key: self._moved(value) for key, value in batch.items() if isinstance(value, Tensor)}
        return {**moved, "answer": mask.to(self.device)}

    def _mark_answer(self, mask: Tensor, ids: Tensor, attention: Tensor, prompt: str, text: str) -> None:
        """Set `mask` `[T]` where the answer is.

        The processor turns one image placeholder into many tokens, but only ahead of the answer. So the answer is
        found on the texts as they stand, where prompt and conversation are cheap to compare, and counted from the end.
        """
        tail = self._answer_ids(prompt, text)
        real = attention.nonzero().squeeze(-1)
        places = real[len(real) - len(tail) :]
        if ids[places].tolist() != tail:
            raise ValueError(f"the processor of {self.name} changes the end of its text, so answers cannot be found")
        mask[places[: self._answer_end(tail)]] = True

    def _answer_ids(self, prompt: str, text: str) -> list[int]:
        """The tokens of `text` after the longest token prefix it shares with `prompt`."""
        specials = self._adds_specials(text)
        asked, told = (self.tokenizer(t, add_special_tokens=specials)["input_ids"] for t in (prompt, text))
        same = next(
            (i for i, (a, b) in enumerate(zip(asked, told, strict=False)) if a != b), min(len(asked), len(told))
        )
        return list(told[same:])

    def _answer_end(self, tail: Sequence[int]) -> int:
        """How many tokens of `tail` are the answer: all but the white space after it."""
        end = len(tail)
        while end and tail[end - 1] not in self._special and not self.tokenizer.decode([tail[end - 1]]).strip():
            end -= 1
        return end

    def _text(self, turn: Turn, *, with_answer: bool) -> str:
        placeholder = getattr(self.processor, "image_token", None)
        if placeholder and placeholder in turn.question + (turn.answer or ""):
            raise ValueError(
                f"{turn.question!r} or its answer contains {placeholder}; the image goes beside the question"
            )
        content = [{"type": "image"}] if turn.image is not None else []
        talk = [{"role": "user", "content": [*content, {"type": "text", "text": turn.question}]}]
        if with_answer:
            talk.append({"role": "assistant", "content": [{"type": "text", "text": turn.answer or ""}]})
        text: str = self.processor.apply_chat_template(
            talk, tokenize=False, add_generation_prompt=not with_answer, **self.family.template_kwargs
        )
        return text

    def _adds_specials(self, text: str) -> bool:
        """Whether the tokenizer should add its special tokens: not when the template has written them already."""
        return not (self.tokenizer.bos_token and text.startswith(self.tokenizer.bos_token))

    def _moved(self, value: Tensor) -> Tensor:
        return value.to(self.device, self.dtype) if value.is_floating_point() else value.to(self.device)

    def _stop_ids(self) -> list[int]:
        """Every token that ends a turn: what the configs name, and what the template itself writes after an answer."""
        configured = getattr(getattr(self.model, "generation_config", None), "eos_token_id", None)
        stops = [configured] if isinstance(configured, int) else list(configured or ())
        if self.tokenizer.eos_token_id is not None:
            stops.append(self.tokenizer.eos_token_id)
        turn = Turn(None, "?", "a")
        tail = self._answer_ids(self._text(turn, with_answer=False), self._text(turn, with_answer=True))
        stops += [token for token in tail[: self._answer_end(tail)][-1:] if token in self._special]
        return sorted(set(stops))

    # --- Asking -----------------------------------------------------------------------------------------------------

    def generate(
        self,
        items: Sequence[AnyTurn],
        *,
        max_new_tokens: int = 48,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> list[str]:
        """Answer questions greedily.

        Batches hold turns of similar length. In float32 the answers are those of asking one by one.

        Args:
            items: Questions with an image (path or PIL) or None.
            max_new_tokens: At most this many tokens per answer.
            batch_size: Turns at once; None picks one that is kind to the memory.
            progress: Whether to show a bar on stderr once it has taken two seconds.

        Returns:
            One text per item, in the order given, stripped, without special tokens.

        Raises:
            ValueError: If an image cannot be read (the message names the file) or a number is not positive.
        """
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, not {max_new_tokens}")
        turns = [turn._replace(answer=None) for turn in _turns(items)]
        config = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            # What a checkpoint's own generation config says would fill any gap left here.
            temperature=1.0,
            top_p=1.0,
            top_k=50,
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            eos_token_id=self._stops or None,
            pad_token_id=self._pad,
        )

        # The features of a picture that is asked about many times are computed anew for each question: handing them
        # over differs from family to family, and belongs to an engine that also shares the picture's prefix.
        def run(part: Sequence[Turn]) -> list[str]:
            batch = self._encode(part, False, "left")
            batch.pop("answer")
            output = self.model.generate(**batch, generation_config=config)
            return [self._spoken(row) for row in output[:, batch["input_ids"].shape[1] :].tolist()]

        return self._in_batches(turns, run, batch_size, "asking" if progress else "")

    def _spoken(self, ids: Sequence[int]) -> str:
        end = next((place for place, token in enumerate(ids) if token in self._stops), len(ids))
        text: str = self.tokenizer.decode(ids[:end], skip_special_tokens=True)
        return text.strip()

    def score(
        self, items_with_answers: Sequence[AnyTurn], *, batch_size: int | None = None, progress: bool = False
    ) -> list[TokenScores]:
        """How likely each given answer is, token by token, through the end of the turn.

        Args:
            items_with_answers: Turns with an answer each.
            batch_size: Turns at once; None picks one that is kind to the memory.
            progress: Whether to show a bar on stderr once it has taken two seconds.

        Returns:
            One per item, in the order given; in float32 the same in any batch within 1e-4 nats.

        Raises:
            ValueError: If an answer is missing or an image cannot be read.
        """

        def run(part: Sequence[Turn]) -> list[TokenScores]:
            found = self.answer_logits(self._encode(part, True, "right"))
            logprobs = found.logits.float().log_softmax(-1).gather(-1, found.ids[:, None]).squeeze(-1)
            return [
                self._token_scores(found.ids[found.rows == row].tolist(), logprobs[found.rows == row].tolist())
                for row in range(len(part))
            ]

        return self._in_batches(_turns(items_with_answers), run, batch_size, "scoring" if progress else "")

    def _token_scores(self, ids: list[int], logprobs: list[float]) -> TokenScores:
        texts = tuple(self._token_texts(ids))
        said = next((place for place in range(len(ids), 0, -1) if ids[place - 1] not in self._special), 0)
        return TokenScores(tuple(ids), texts, tuple(logprobs), ends=len(ids) - said)

    def _token_texts(self, ids: Sequence[int]) -> Iterator[str]:
        """What each token adds to the text; a character spread over several tokens counts for the last of them."""
        shown = ""
        for place in range(1, len(ids) + 1):
            text: str = self.tokenizer.decode(ids[:place])
            whole = place == len(ids) or not text.endswith("\N{REPLACEMENT CHARACTER}")
            yield text[len(shown) :] if whole else ""
            shown = text if whole else shown

    def answer_logits(self, batch: Mapping[str, Tensor]) -> AnswerLogits:
        """Run the model on an encoded batch with answers; differentiable, for losses and for scores.

        Args:
            batch: From `encode(turns, with_answers=True)`.

        Returns:
            The logits that predict the answer tokens, and only those: the vocabulary is wide, so a `[B, T, V]` tensor
            is never kept.

        Raises:
            ValueError: If the batch holds no answer.
        """
        mask = batch["answer"]
        if not mask.any():
            raise ValueError("the batch holds no answer tokens; encode it with with_answers=True")
        rows, places = mask.nonzero(as_tuple=True)
        logits, first = self._logits(batch, int(places.min()) - 1, int(places.max()))
        return AnswerLogits(logits[rows, places - 1 - first], batch["input_ids"][rows, places], rows)

    def _logits(self, batch: Mapping[str, Tensor], start: int, stop: int) -> tuple[Tensor, int]:
        """Logits `[B, stop - start, V]` of positions `start` to `stop`, and the position of the first one returned."""
        inputs = {key: value for key, value in batch.items() if key != "answer"}
        if not self._keeps_logits:
            return self.model(**inputs, use_cache=False).logits, 0
        keep = torch.arange(start, stop, device=self.device)
        return self.model(**inputs, use_cache=False, logits_to_keep=keep).logits, start

    def _next(self, turns: Sequence[Turn], batch_size: int | None) -> list[Tensor]:
        """Probabilities `[V]` of the first token of the answer to each turn."""

        def run(part: Sequence[Turn]) -> list[Tensor]:
            batch = self._encode(part, False, "right")
            last = batch["attention_mask"].sum(-1) - 1
            logits, first = self._logits(batch, int(last.min()), int(last.max()) + 1)
            rows = torch.arange(len(part), device=self.device)
            return list(logits[rows, last - first].double().softmax(-1).cpu())

        return self._in_batches(turns, run, batch_size, "")

    def answer(
        self,
        probes: Sequence[Probe],
        *,
        max_new_tokens: int = 48,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> list[Answer]:
        """Answer probes, each in the way it asks for.

        `generate` gives the text; `choose` scores every choice as a whole answer and gives the likeliest as text;
        `score` gives the token log-probabilities of `accept[0]`; `next` gives the likeliest next tokens and, as tail,
        the probability of all others. Log-probabilities of texts leave out the end-of-turn token in `score` (it is
        not part of the text) and include it in `choose` (so that no choice gains by being the start of another).

        Args:
            probes: What to ask.
            max_new_tokens: For `generate`: at most this many tokens per answer.
            batch_size: Turns at once; None picks one that is kind to the memory.
            progress: Whether to show a bar on stderr once it has taken two seconds.

        Returns:
            One answer per probe, in the order given.
        """
        found: dict[int, Answer] = {}
        ways = {way: [i for i, probe in enumerate(probes) if probe.way == way] for way in ("generate", "score", "next")}
        pick = [probes[i] for i in ways["generate"]]
        texts = self.generate(pick, max_new_tokens=max_new_tokens, batch_size=batch_size, progress=progress)
        for i, text in zip(ways["generate"], texts, strict=True):
            found[i] = Answer(probe=probes[i], text=text)

        told = [_turn(probes[i])._replace(answer=probes[i].accept[0]) for i in ways["score"]]
        for i, score in zip(ways["score"], self.score(told, batch_size=batch_size, progress=progress), strict=True):
            spoken = score.logprobs[: len(score.logprobs) - score.ends]
            found[i] = Answer(probe=probes[i], text=probes[i].accept[0], logprobs=spoken)

        for i, mass in zip(
            ways["next"], self._next(_turns([probes[i] for i in ways["next"]]), batch_size), strict=True
        ):
            found[i] = self._next_answer(probes[i], mass)
        found |= self._choose(probes, batch_size, progress)
        return [found[i] for i in range(len(probes))]

    def _choose(self, probes: Sequence[Probe], batch_size: int | None, progress: bool) -> dict[int, Answer]:
        asked = [(i, choice) for i, probe in enumerate(probes) if probe.way == "choose" for choice in probe.choices]
        turns = [_turn(probes[i])._replace(answer=choice) for i, choice in asked]
        sums: dict[int, list[float]] = {}
        for (i, _), score in zip(asked, self.score(turns, batch_size=batch_size, progress=progress), strict=True):
            sums.setdefault(i, []).append(score.sum)
        return {
            i: Answer(probe=probes[i], text=probes[i].choices[scores.index(max(scores))], scores=tuple(scores))
            for i, scores in sums.items()
        }

    def _next_answer(self, probe: Probe, mass: Tensor) -> Answer:
        values, ids = mass.topk(min(_TOP, len(mass)))
        top = tuple(
            (self.tokenizer.decode([token]), value) for token, value in zip(ids.tolist(), values.tolist(), strict=True)
        )
        return Answer(probe=probe, text=top[0][0].strip(), top=top, tail=max(0.0, 1.0 - float(values.sum())))

    def _in_batches(
        self, turns: Sequence[Turn], run: Callable[[Sequence[Turn]], list[Any]], batch_size: int | None, title: str
    ) -> list[Any]:
        """Run turns in batches of one modality and similar length, longest first; results in the order given."""
        size = self._batch_size() if batch_size is None else batch_size
        if size < 1:
            raise ValueError(f"batch_size must be at least 1, not {size}")
        order = sorted(range(len(turns)), key=lambda i: (turns[i].image is None, -_length(turns[i])))
        results: list[Any] = [None] * len(turns)
        with _Progress(title, len(turns)) as bar, torch.no_grad():
            # Not every processor batches turns with and without an image, so a batch has only one of the two.
            for kind in (False, True):
                mine = [i for i in order if (turns[i].image is None) == kind]
                for start in range(0, len(mine), size):
                    part = mine[start : start + size]
                    for i, result in zip(part, run([turns[i] for i in part]), strict=True):
                        results[i] = result
                    bar.advance(len(part))
        return results

    def _batch_size(self) -> int:
        """Keys and values of a row grow with the model: 64 rows of a tiny one; of a large one 16, or 4 on a CPU."""
        if sum(value.numel() for value in self.model.parameters()) < 100_000_000:
            return 64
        return 16 if self.device.type == "cuda" else 4

    def fingerprint(self) -> str:
        """A sha256 of the base: names, shapes and types of all weights, and up to 4096 values spread over each."""
        digest = hashlib.sha256()
        with self.using(None):
            for name, value in self.model.named_parameters():
                digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
                flat = value.detach().reshape(-1)
                digest.update(flat[:: max(1, len(flat) // 4096)].float().cpu().numpy().tobytes())
        return digest.hexdigest()

    def save_with(self, edit: Edit | str | os.PathLike[str], folder: str | os.PathLike[str]) -> str:
        """Write the model with an edit merged into its weights; returns the fingerprint of what was written.

        Args:
            edit: An edit or the folder of one; `edit.scaled(-1)` takes it out of a model that it was merged into.
            folder: A new folder.
        """
        with self.using(edit, transform=lambda name, weight: weight):
            self.model.save_pretrained(folder)
            self.processor.save_pretrained(folder)
        return type(self).load(folder, device=self.device, dtype=self.dtype).fingerprint()

    # --- Tokens -----------------------------------------------------------------------------------------------------

    def token_ids(self, text: str) -> tuple[int, ...]:
        """The tokens of a piece of text, without those that begin or end a conversation."""
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def token_text(self, token: int) -> str:
        """What a token stands for, with the mark of a leading space where the tokenizer has one."""
        return str(self.tokenizer.convert_ids_to_tokens(token))

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """What each token of a sequence adds to its text; joined they are the text."""
        return list(self._token_texts(ids))

    @property
    def vocabulary(self) -> int:
        """How many tokens the model tells apart: the last dimension V of its logits."""
        return int(self.model.get_output_embeddings().weight.shape[0])

    # --- Edits ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def using(self, edit: Edit | str | os.PathLike[str] | None, transform: Transform | None = None) -> Iterator[VLM]:
        """Answer with an edit for the length of a `with` block; the base comes back bit for bit, come what may.

        Blocks nest: the inner edit takes the place of the outer one, which is back afterwards. So `using(None)` inside
        a training block is the base to compare with, at no cost. Gradients must be taken inside the block.

        Args:
            edit: An edit, the folder of one (peft's own format), or None for the base.
            transform: `(name, merged weight) -> weight`, applied to every floating-point parameter after merging; it
                gets a copy, so it may work in place. For quantisation and pruning.

        Yields:
            This model.

        Raises:
            ValueError: If the edit does not fit the model.
            FileNotFoundError: If there is no edit in the folder.
        """
        held = edit if edit is None or isinstance(edit, Edit) else Edit.load(edit)
        before = self._base
        self._base = before or edits.Wiring(self.model)
        try:
            with edits.attached(self.model, held, transform, base=self._base):
                yield self
        finally:
            self._base = before

    def lora_targets(self) -> list[str]:
        """Full names of the Linear modules a LoRA edit adapts: the family's choice under `get_decoder()`."""
        decoder = self.model.get_decoder()
        prefix = next(name for name, module in self.model.named_modules() if module is decoder)
        ends = self.family.lora_targets
        return [
            f"{prefix}.{name}" if prefix else name
            for name, module in decoder.named_modules()
            if isinstance(module, nn.Linear) and (not ends or name.rsplit(".", 1)[-1] in ends)
        ]

    def new_edit(self, *, rank: int = 8, alpha: float = 16, dropout: float = 0.0, seed: int = 0) -> Edit:
        """A LoRA edit that changes nothing yet, to be trained inside `using`.

        Args:
            rank: Rank of each update.
            alpha: The update is `alpha / rank * B @ A`.
            dropout: Probability of dropping an input of A in training.
            seed: A's random start.
        """
        with self.using(None):
            return edits.fresh(
                self.model, self.lora_targets(), rank=rank, alpha=alpha, dropout=dropout, seed=seed, source=self.name
            )

    def edit_parameters(self) -> dict[str, nn.Parameter]:
        """The trainable parameters of the adapter in use, by name; empty without one."""
        return edits.adapter_parameters(self.model)

    def drop_out(self) -> None:
        """Let the adapter in use drop inputs of A, as its config says, until the `with` block ends: for training."""
        edits.drop_out(self.model)

    def current_edit(self) -> Edit:
        """The adapter in use as it is now: what training has made of it. Deltas are not part of it.

        Raises:
            LookupError: If no adapter is in use.
        """
        return edits.current(self.model)


def read_image(picture: Picture) -> Image.Image:
    """An image as people see it: upright, the first frame, in 8-bit RGB, on white where it is transparent.

    Args:
        picture: An image in memory, or the path of one.

    Raises:
        ValueError: If the file is missing, broken, too large, or not an image; the message names it.
    """
    where = "the image in memory" if isinstance(picture, Image.Image) else f"the image {os.fspath(picture)}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what matters is raised below, in our words
        try:
            if isinstance(picture, Image.Image):
                return _as_seen(picture)
            with Image.open(picture) as image:
                return _as_seen(image)
        except FileNotFoundError as error:
            raise ValueError(f"{where} does not exist") from error
        except _UNREADABLE as error:
            raise ValueError(f"{where} cannot be read: {_why_unreadable(picture, error)}") from error


_MOST_PIXELS = 89_478_485  # where Pillow begins to warn; beyond twice as many it refuses by itself
# What decoders raise on broken files.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, Image.DecompressionBombError)


def _as_seen(image: Image.Image) -> Image.Image:
    """What `read_image` promises, for an image that may not be decoded yet: its size is checked before."""
    if image.width * image.height > _MOST_PIXELS:
        raise ValueError(_too_large(image.width * image.height))
    if getattr(image, "is_animated", False):
        image.seek(0)
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bit(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey levels of 16 or 32 bits as 8 bits; Pillow's own conversion turns all above 255 white.

    White is 65535 where the mode says so. Modes I and F have no white of their own: it is the first of 1 (F only), 255
    and 65535 that no pixel exceeds; where none will do, or there are negative values, the range found is stretched.
    """
    grey = (image.convert("I") if image.mode.startswith("I;16") else image).convert("F")
    low, high = (float(end) for end in grey.getextrema())  # type: ignore[arg-type]  # one band, so two numbers
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"its values go from {low} to {high}; save it with values from 0 to 255")
    whites = {"I": (255, 65535), "F": (1, 255, 65535)}.get(image.mode, (65535,))
    fitting = [white for white in whites if low >= 0 and high <= white]
    black, white = (0.0, fitting[0]) if fitting else (low, max(high, low + 1))
    scale = 255 / (white - black)
    levels = grey.point(lambda value: value * scale + (0.5 - black * scale)).convert("L")  # which cuts off decimals
    levels.info.pop("transparency", None)  # a level of 16 bits, which no longer means anything
    return levels


def _too_large(pixels: int) -> str:
    return f"it has {pixels:,} pixels, and at most {_MOST_PIXELS:,} are read; make it smaller"


def _why_unreadable(picture: Picture, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError) and (found := re.search(r"\d+", str(error))):
        return _too_large(int(found[0]))
    if not isinstance(picture, Image.Image) and os.path.isdir(picture):
        return "it is a folder; name a picture in it"
    if isinstance(error, UnidentifiedImageError):
        empty = not isinstance(picture, Image.Image) and os.path.getsize(picture) == 0
        return "the file is empty" if empty else "it is no picture of a known kind; save it as PNG or JPEG"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _read_images(turns: Sequence[Turn]) -> list[list[Image.Image]]:
    """One list of images per turn; a picture that many turns share is read once."""
    read: dict[str | int, Image.Image] = {}
    images: list[list[Image.Image]] = []
    for turn in turns:
        if turn.image is None:
            images.append([])
            continue
        key = id(turn.image) if isinstance(turn.image, Image.Image) else os.fspath(turn.image)
        if key not in read:
            read[key] = read_image(turn.image)
        images.append([read[key]])
    return images


def _turn(item: AnyTurn) -> Turn:
    if isinstance(item, Turn):
        return item
    if isinstance(item, tuple):
        if not 2 <= len(item) <= 3:
            raise ValueError(f"a turn is (image, question) or (image, question, answer), not {len(item)} things")
        return Turn(*item)
    image: Any = item.image
    if image is not None and not isinstance(image, (Image.Image, str, os.PathLike)):
        raise ValueError(f"the image of {item.question!r} is a {type(image).__name__}; give a path or a PIL image")
    return Turn(image, item.question, item.answer if isinstance(item, Example) else None)


def _turns(items: Sequence[AnyTurn]) -> list[Turn]:
    return [_turn(item) for item in items]


def _length(turn: Turn) -> int:
    return len(turn.question) + len(turn.answer or "")


class _Progress:
    """A bar on stderr that only shows once the work has taken two seconds."""

    _PATIENCE = 2.0

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._done = title, total, 0
        self._bar: Any = None
        self._task: Any = None
        self._start = time.monotonic()

    def __enter__(self) -> _Progress:
        return self

    def advance(self, count: int) -> None:
        self._done += count
        if self._bar is None and self._title and time.monotonic() - self._start > self._PATIENCE:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            console = Console(stderr=True)
            self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=self._total)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple

import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor, nn
from transformers import Cache, GenerationConfig
from transformers.modeling_outputs import BaseModelOutputWithPooling

from unsee import edits, memory, packing
from unsee.edits import Edit, Transform
from unsee.models import Family, _check, _files, _loading, family_for
from unsee.records import Answer, Example, Probe


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """A picture with its pixels as the model is to get them, after the processor has cut and scaled it.

    Attributes:
        image: The picture that the processor gets; it says how much place there is.
        levels: What takes the place of its pixels, from 0 to 255, in the shape of `VLM.pixels`. Whole numbers are what
            a picture of 8 bits can hold.
    """

    image: Image.Image
    levels: Tensor


Picture = Image.Image | Pixels | str | os.PathLike[str]
"""An image in memory, or the path of one; or one with other pixels in its place."""

Batch = dict[str, Tensor]
"""What a model's `forward` takes, plus the bool mask `answer`."""

_Done = Callable[[Sequence[int], Sequence[Any]], None]  # is told which of the turns a batch held, and what came of them

_ALL = frozenset({"text", "logprob", "distribution", "hidden", "gradient", "weights"})
_PER_TOKEN = {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids"}  # the rest is about images
_CONTEXT = 1024  # tokens that a question with its picture and answer is taken to have when memory is shared out
_MANY = 128  # columns, or more, are worth a pass of their own
_TOP = 50  # how many next tokens an answer keeps; the rest is summed up in its tail
_WRITES = ("down_proj", "fc2", "linear_fc2")  # what families call the last Linear module of an MLP


class Turn(NamedTuple):
    """One question about one image or none, with the answer where one is given. A plain tuple does as well.

    `earlier` is what was said before in the same conversation: (image or None, question, answer), turn by turn.
    """

    image: Picture | None
    question: str
    answer: str | None = None
    earlier: tuple[tuple[Picture | None, str, str], ...] = ()

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All pictures of the conversation, in their order."""
        return tuple(p for p in (*(image for image, _, _ in self.earlier), self.image) if p is not None)


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
    """The answer tokens of some turns, laid end to end: N tokens over a vocabulary of V.

    Attributes:
        logits: `[N, V]`, differentiable; row i predicts `ids[i]`.
        ids: `[N]` token ids.
        rows: `[N]` which of the turns each token belongs to; those of one turn stand together, in their order.
        inputs: Name of a module -> `[N, D]`, what went into it where each token was predicted; for those asked for.
    """

    logits: Tensor
    ids: Tensor
    rows: Tensor
    inputs: Mapping[str, Tensor] = MappingProxyType({})


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Turns with answers, encoded once to be run many times (:meth:`VLM.prepare`, :meth:`VLM.run`).

    Attributes:
        turns: B turns.
        ids: Token ids `[T_i]` of each, on the CPU, with the places of an image filled in.
        answers: `[T_i]` bool, True at the answer of each.
        pictures: Which of the distinct pictures each shows; None without one.
        features: What the frozen vision tower and the projector make of each distinct picture; empty where the model's
            family cannot take it, so that every run sees the pictures anew.
        begins: How many tokens each has in common with all others that show its picture.
        positions: Where each token stands, `[axes, T_i]`, in models that count in several; else empty.
        climbed: How far the tokens have been run already, for all runs to go on from there (:meth:`VLM.climbed`); None
            where they start from their ids.
    """

    turns: tuple[Turn, ...]
    ids: tuple[Tensor, ...]
    answers: tuple[Tensor, ...]
    pictures: tuple[int | None, ...]
    features: tuple[Tensor, ...]
    begins: tuple[int, ...]
    positions: tuple[Tensor, ...] = ()
    climbed: Climbed | None = None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Climbed:
    """Hidden states of prepared turns at the door of a layer, on the CPU.

    Attributes:
        layer: Which layer they are to go into, counted from 0.
        shared: What all turns of a picture (or of none) begin with alike, `[begins, D]`.
        own: The rest of every turn, `[T_i - begins, D]`.
    """

    layer: int
    shared: Mapping[int | None, Tensor]
    own: tuple[Tensor, ...]


AnyTurn = Turn | Probe | Example | tuple[Picture | None, str] | tuple[Picture | None, str, str | None]
"""What every method here accepts as a turn."""


class VLM:
    """A vision-language model with its processor, ready to be asked, scored, edited and trained.

    Make one with :meth:`load`. The weights are frozen: only an edit, attached with :meth:`using`, is trainable.

    Attributes:
        name: What it was loaded as.
        source: Where it was read from, if that is known.
        quantise: What its language model was quantised to while it was loaded; None if it was not.
        model: The transformers model, in evaluation mode.
        processor: Its processor.
        family: What differs between families, as data.
        can: What it can tell: everything, since it is local.
    """

    can = _ALL

    def __init__(self, model: nn.Module, processor: Any, *, name: str, source: _files.Source | None = None) -> None:
        """Wrap a model and its processor; most callers want :meth:`load`.

        Args:
            model: A transformers image-text-to-text model.
            processor: Its processor, with a tokenizer and a chat template.
            name: For messages and for peft's config.
            source: Where they were read from.

        Raises:
            ValueError: If the processor has no chat template.
        """
        self.family: Family = family_for(model.config)
        if not getattr(processor, "chat_template", None) and self.family.chat_template:
            processor.chat_template = self.family.chat_template
        if not getattr(processor, "chat_template", None):
            raise ValueError(
                f"the processor of {name} has no chat template, so there is no telling how it wants to be asked; "
                "save one with it (processor.chat_template = ...; processor.save_pretrained(folder))"
            )
        self.name = name
        self.source = source
        self.quantise: str | None = None
        self.model: Any = model.eval().requires_grad_(False)
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self._base: edits.Wiring | None = None
        takes = inspect.signature(self.model.forward).parameters
        # Whether features of a picture can be computed apart and handed over, which all sharing of pictures rests on.
        self._takes_features = "mm_encoder_outputs" in takes
        # Some count the tokens of an image in three dimensions, not one.
        self._rope_index = getattr(getattr(self.model, "model", None), "get_rope_index", None)
        self._lists_features = True  # or in one tensor; known once the vision part has seen a picture
        # Not every tokenizer counts the token that ends a turn among its own special ones.
        added = self.tokenizer.added_tokens_decoder.items()
        self._special = frozenset(self.tokenizer.all_special_ids) | {i for i, token in added if token.special}
        self._special_texts = tuple(filter(None, self.tokenizer.convert_ids_to_tokens(sorted(self._special))))
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
        dtype: torch.dtype | str | None = None,
        quantise: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        ignore_memory: bool = False,
        training: Mapping[str, int | None] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> VLM:
        """Load a model: a bundled name, a folder, or (only then going online) a hub id such as `owner/model`.

        A bundled name wins over a folder of that name; write `./pocket` for the folder. Only safetensors are read, and
        code that comes with a model is only run if `trust_remote_code` says so.

        Args:
            name: See above.
            device: Where to put it; None picks CUDA when there is one.
            dtype: None picks bfloat16 on CUDA that has it and float32 elsewhere.
            quantise: "nf4" (4 bits, bitsandbytes) or "int8" (torchao) keeps the language model's Linear weights in
                fewer bits, as QLoRA does; the vision part stays as it is. None keeps all weights whole.
            revision: Branch, tag or commit of a model on the hub.
            trust_remote_code: Whether Python code that comes with the model may run, with all that the user may do.
            ignore_memory: Go on where the model will not fit into memory.
            training: The `rank` and `batch` that it is to be trained with, for the estimate of memory; None of one
                takes the family's. None altogether only asks.
            say: Is told how much memory a large model takes.

        Raises:
            LookupError: If there is no such model, or the hub does not give it; the message says what to do.
            ValueError: If the model is there but cannot be used, or (`memory.WillNotFitError`) does not fit.
        """
        place = _loading.device_for(device)
        kind = _loading.dtype_for(dtype, place)
        source = _files.find(os.fspath(name), revision=revision, trusted=trust_remote_code)
        quantised = None
        if quantise is not None or not source.small:
            bare = _files.skeleton(source)
            quantised = _loading.quantisation(source.name, bare, quantise, kind)
            said = _loading.room(source, bare, kind, place, quantise, training, ignore=ignore_memory)
            if say and not source.small:
                say(said)
            del bare
        model, processor = _files.read(source, kind, place, quantised)
        _loading.keep_layout(model)
        if not _loading.quantised(model):  # which lies where it belongs, and would not be moved
            model = model.to(place)
        vlm = cls(model, processor, name=os.fspath(name), source=source)
        vlm.quantise = quantise
        if not vlm.family.verified:
            warnings.warn(_check.report(vlm), stacklevel=2)
        return vlm

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

    @property
    def quantised(self) -> str | None:
        """What the weights of its language model are kept in where that is no type of numbers: nf4, int8 ..."""
        return _loading.quantised(self.model)

    @property
    def revision(self) -> str | None:
        """The commit of a model from the hub."""
        return self.source.revision if self.source else None

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
            ValueError: If there are no turns, an answer is missing, an image cannot be read, or the model's family
                cannot have turns with and without an image in one batch.
        """
        return self._encode(_turns(turns), with_answers, "right" if with_answers else "left")

    def _encode(self, turns: Sequence[Turn], with_answers: bool, side: str) -> Batch:
        if not self.family.mixed_batches and len({bool(turn.pictures) for turn in turns}) > 1:
            raise ValueError(f"{self.name} answers turns without an image wrongly beside others; encode them apart")
        prompts, texts = self._texts(turns, with_answers)
        batch = self._processed(turns, texts, side)
        mask = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
        if with_answers:
            for row, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
                self._mark_answer(mask[row], batch["input_ids"][row], batch["attention_mask"][row], prompt, text)
        if self.family.prefix_lm:
            batch["token_type_ids"] = (mask.cumsum(-1) > 0).long()
        return {**{key: self._moved(value) for key, value in batch.items()}, "answer": mask.to(self.device)}

    def _texts(self, turns: Sequence[Turn], with_answers: bool) -> tuple[list[str], list[str]]:
        """What the chat template makes of turns: up to the answer, and with it where answers are wanted."""
        if not turns:
            raise ValueError("there is nothing to encode: give at least one turn")
        if with_answers and (bare := next((turn for turn in turns if turn.answer is None), None)):
            raise ValueError(f"the question {bare.question!r} comes without an answer to score; give one")
        prompts = [self._text(turn, with_answer=False) for turn in turns]
        if not with_answers:
            return prompts, prompts
        return prompts, [self._told(turn, prompt) for turn, prompt in zip(turns, prompts, strict=True)]

    def _told(self, turn: Turn, prompt: str) -> str:
        """What a turn says in all: its prompt, the answer, and what ends the turn.

        Not every template can be taken at its word: published ones put before an answer what the prompt that asks for
        it does not have, or end it in nothing or in a slip of the pen. But a model is asked with the prompt, and stops
        at a special token.
        """
        told = self._text(turn, with_answer=True)
        answer, same = (turn.answer or "").strip(), packing.shared([prompt, told], len(prompt))
        lead, found, after = told[same:].partition(answer or "\0")
        closed = after.lstrip().startswith(self._special_texts)
        if not found or (closed and same == len(prompt)):
            return told
        begun = prompt + lead if same == len(prompt) else prompt
        return begun + answer + (after if closed else self.tokenizer.eos_token or "")

    def _processed(self, turns: Sequence[Turn], texts: Sequence[str], side: str) -> Batch:
        """What the processor makes of the texts of turns and of their images, on the CPU."""
        images = _read_images(turns)
        flat = [image for one in images for image in one]
        pictures = [picture for turn in turns for picture in turn.pictures]
        padded: dict[str, Any] = {
            "padding": True,
            "padding_side": side,
            "return_tensors": "pt",
            "add_special_tokens": self._adds_specials(texts[0]),
        }
        if self.family.prefix_lm:
            holder = self.processor.image_token
            places = holder * self.processor.image_seq_length
            batch = self.tokenizer([text.replace(holder, places) for text in texts], **padded)
            if flat:
                batch.update(self.processor.image_processor(flat, return_tensors="pt"))
        else:
            shown = (images if self.family.nested_images else flat) if flat else None
            batch = self.processor(text=list(texts), images=shown, **padded)
        found = {key: value for key, value in batch.items() if isinstance(value, Tensor)}
        if any(isinstance(picture, Pixels) for picture in pictures):
            # The processor's own tensor stays as it is: others may hold on to it.
            found["pixel_values"] = found["pixel_values"].clone()
            for picture, part in zip(pictures, self._parts(found, len(pictures)), strict=True):
                if isinstance(picture, Pixels):
                    if any(mine > there for mine, there in zip(picture.levels.shape, part.shape, strict=True)):
                        raise ValueError(
                            f"the pixels of a picture are {tuple(picture.levels.shape)}, and {self.name} takes "
                            f"{tuple(part.shape)} of it; make them with VLM.pixels from a picture of the same size"
                        )
                    part[tuple(map(slice, picture.levels.shape))] = self._normalised(picture.levels).to(part.dtype)
        return found

    def _parts(self, batch: Mapping[str, Tensor], count: int) -> list[Tensor]:
        """Views of the pixel tensor of a batch, one for each of its pictures, in their order."""
        whole = batch["pixel_values"]
        if len(whole) == count:
            return list(whole.split(1))
        # Tiles or patches of all pictures come one after the other, as many for each as it takes places in the text.
        places = (batch["input_ids"] == self.model.config.image_token_id).sum(-1)
        places = places[places > 0]
        sizes = places * len(whole) // max(1, int(places.sum()))
        if len(places) != count or int(sizes.sum()) != len(whole):
            raise ValueError(f"{self.name} mixes the pixels of several pictures, so they cannot be told apart")
        return list(whole.split(sizes.tolist()))

    def _scales(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """What levels are multiplied by and what is then added, in a shape that goes with a pixel tensor."""
        maker = self.processor.image_processor
        scale = torch.full((3,), float(maker.rescale_factor if maker.do_rescale else 1.0))
        mean, deviation = torch.zeros(3), torch.ones(3)
        if maker.do_normalize:
            mean, deviation = torch.tensor(maker.image_mean).float(), torch.tensor(maker.image_std).float()
        times, plus = scale / deviation, -mean / deviation
        if pixels.ndim >= 3 and pixels.shape[-3] == 3:
            return times[:, None, None], plus[:, None, None]
        if pixels.ndim != 2 or pixels.shape[-1] % 3:
            raise ValueError(
                f"{self.name} takes pixels in the shape {tuple(pixels.shape)}, in which no colours are known"
            )
        # Patches, each with all values of one colour, then of the next.
        each = pixels.shape[-1] // 3
        return times.repeat_interleave(each), plus.repeat_interleave(each)

    def _normalised(self, levels: Tensor) -> Tensor:
        times, plus = self._scales(levels)
        return levels.float() * times + plus

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
        talk = []
        for image, question, answer in (*turn.earlier, (turn.image, turn.question, turn.answer)):
            if placeholder and placeholder in question + (answer or ""):
                raise ValueError(
                    f"{question!r} or its answer contains {placeholder}; the image goes beside the question"
                )
            content = [{"type": "image"}] if image is not None else []
            talk.append({"role": "user", "content": [*content, {"type": "text", "text": question}]})
            talk.append({"role": "assistant", "content": [{"type": "text", "text": answer or ""}]})
        talk = talk if with_answer else talk[:-1]
        text: str = self.processor.apply_chat_template(
            talk, tokenize=False, add_generation_prompt=not with_answer, **self.family.template_kwargs
        )
        return text

    def _adds_specials(self, text: str) -> bool:
        """Whether the tokenizer should add its special tokens: not when the template has written them already."""
        written = self.tokenizer.bos_token and text.startswith(self.tokenizer.bos_token)
        return not (written or self.family.prefix_lm)

    def _moved(self, value: Tensor) -> Tensor:
        return value.to(self.device, self.dtype) if value.is_floating_point() else value.to(self.device)

    def _stop_ids(self) -> list[int]:
        """Every token that ends a turn: what the configs name, and what the template itself writes after an answer."""
        configured = getattr(getattr(self.model, "generation_config", None), "eos_token_id", None)
        stops = [configured] if isinstance(configured, int) else list(configured or ())
        if self.tokenizer.eos_token_id is not None:
            stops.append(self.tokenizer.eos_token_id)
        turn = Turn(None, "?", "a")
        (prompt,), (told,) = self._texts([turn], True)
        tail = self._answer_ids(prompt, told)
        stops += [token for token in tail[: self._answer_end(tail)][-1:] if token in self._special]
        return sorted(set(stops))

    # --- Sharing ----------------------------------------------------------------------------------------------------

    @property
    def packs(self) -> bool:
        """Whether turns may stand side by side in one row (see `unsee.packing`)."""
        # Other implementations of attention take no mask of our own, which in turn would lift any window.
        by_mask = getattr(self.model.config, "_attn_implementation", None) in ("sdpa", "eager")
        text = self.model.config.get_text_config()
        layers = getattr(text, "layer_types", None)
        far = set(layers) == {"full_attention"} if layers else getattr(text, "sliding_window", None) is None
        return self.family.packable and self._takes_features and by_mask and far

    def prepare(self, turns: Sequence[AnyTurn]) -> Prepared:
        """Encode turns with answers once, to be run many times with whatever edit is in use.

        An edit of the vision tower or of the projector must be in use by now: what they make of a picture is kept.

        Args:
            turns: B turns, each with an answer; with and without images.

        Raises:
            ValueError: As in :meth:`encode`.
        """
        found = _turns(turns)
        prompts, texts = self._texts(found, True)
        sequences, pictures, features, positions = self._sequences(found, texts, apart=not self.packs)
        answers = []
        for sequence, prompt, text in zip(sequences, prompts, texts, strict=True):
            mask = torch.zeros(len(sequence), dtype=torch.bool)
            self._mark_answer(mask, sequence, torch.ones_like(sequence), prompt, text)
            answers.append(mask)
        # The first token of an answer is predicted by the one before it, which may be the last that is shared.
        begins = _begins(sequences, pictures, [int(a.int().argmax()) if a.any() else len(a) for a in answers])
        return Prepared(tuple(found), tuple(sequences), tuple(answers), pictures, features, begins, positions)

    def run(
        self, prepared: Prepared, chosen: Sequence[int] | None = None, *, watch: Sequence[str] = ()
    ) -> AnswerLogits:
        """Run the model on prepared turns; differentiable, for losses and for scores.

        Where the family allows it, a picture and what stands before it are computed once for all its turns; logits and
        gradients are those of running each turn alone.

        Args:
            prepared: From :meth:`prepare`.
            chosen: Which of its turns; None takes all.
            watch: Names of modules of the language model whose inputs are wanted as well (`layers`, `neurons`).

        Returns:
            The logits that predict the answer tokens, and only those; `rows` counts the chosen.

        Raises:
            ValueError: If no chosen turn has a token of an answer.
        """
        chosen = range(len(prepared.turns)) if chosen is None else chosen
        if not any(prepared.answers[i].any() for i in chosen):
            raise ValueError("the turns hold no answer tokens")
        if self.packs:
            return self._run_packed(prepared, chosen, watch)
        parts = []
        for pictured in (True, False):  # not every processor takes turns with and without a picture together
            mine = [k for k, i in enumerate(chosen) if (prepared.pictures[i] is not None) == pictured]
            if not any(prepared.answers[chosen[k]].any() for k in mine):
                continue
            some = [chosen[k] for k in mine]
            part = self.answer_logits(self._encode([prepared.turns[i] for i in some], True, "right"), watch=watch)
            parts.append(part._replace(rows=torch.tensor(mine, device=self.device)[part.rows]))
        if len(parts) == 1:
            return parts[0]
        logits, ids, rows = (torch.cat(same) for same in zip(*(part[:3] for part in parts), strict=True))
        return AnswerLogits(
            logits, ids, rows, {name: torch.cat([part.inputs[name] for part in parts]) for name in watch}
        )

    def _run_packed(self, prepared: Prepared, chosen: Sequence[int], watch: Sequence[str]) -> AnswerLogits:
        numbers = [number for number, i in enumerate(chosen) if prepared.answers[i].any()]
        some = [chosen[number] for number in numbers]
        packed, inputs = self._packed_of(prepared, some)
        told = [prepared.answers[i].nonzero().squeeze(-1) for i in some]
        before = torch.cat([places[t - 1] for places, t in zip(packed.places, told, strict=True)])
        rows = torch.cat([torch.full_like(t, row) for row, t in zip(packed.rows, told, strict=True)])
        which = torch.cat([torch.full_like(t, number) for number, t in zip(numbers, told, strict=True)])
        ids = torch.cat([prepared.ids[i][t] for i, t in zip(some, told, strict=True)])
        below = prepared.climbed.layer if prepared.climbed else 0
        with (
            self._sparing(packed.ids.numel(), below),
            self._from(prepared, some, packed),
            self._watching(watch) as seen,
        ):
            logits = self._logits_at(rows, before, **inputs, use_cache=False)
        found = {name: self._gone_in(name, seen, rows, before) for name in watch}
        return AnswerLogits(logits, ids.to(self.device), which.to(self.device), found)

    @torch.no_grad()
    def climbed(self, prepared: Prepared, layer: int) -> Prepared:
        """Run prepared turns through the layers below one, with the edit in use, for all runs to go on from there.

        Nothing below that layer may be changed, watched or trained in those runs: an edit of the last layers of many
        then costs what those layers cost.

        Args:
            prepared: From :meth:`prepare`.
            layer: Of the language model, counted from 0.

        Returns:
            The same turns; as they were where the layer is the first, or turns do not stand side by side (`packs`).
        """
        if not (layer and self.packs):
            return prepared
        name = self.layers[layer]
        shared: dict[int | None, Tensor] = {}
        own: dict[int, Tensor] = {}
        for at in range(0, len(prepared.turns), 64):
            some = range(at, min(at + 64, len(prepared.turns)))
            packed, inputs = self._packed_of(prepared, some)
            nowhere = torch.zeros(0, dtype=torch.long)
            with self._skipping(slice(layer, None)), self._watching([name]) as seen:
                self._logits_at(nowhere, nowhere, **inputs, use_cache=False)
            for i, row, places in zip(some, packed.rows, packed.places, strict=True):
                states = seen[name][row, places].cpu()
                shared.setdefault(prepared.pictures[i], states[: prepared.begins[i]])
                own[i] = states[prepared.begins[i] :]
        return dataclasses.replace(prepared, climbed=Climbed(layer, shared, tuple(own[i] for i in range(len(own)))))

    def _from(
        self, prepared: Prepared, some: Sequence[int], packed: packing.Packed
    ) -> contextlib.AbstractContextManager[None]:
        """Has packed turns start where they have climbed to."""
        if prepared.climbed is None:
            return contextlib.nullcontext()
        climbed = prepared.climbed
        states = climbed.own[0].new_zeros(*packed.ids.shape, climbed.own[0].shape[-1])
        for i, row, places in zip(some, packed.rows, packed.places, strict=True):
            states[row, places] = torch.cat([climbed.shared[prepared.pictures[i]], climbed.own[i]])
        return self._starting(climbed.layer, states.to(self.device))

    @contextlib.contextmanager
    def _starting(self, layer: int, states: Tensor) -> Iterator[None]:
        """Put hidden states `[R, T, D]` before a layer, and run none below it, in the `with` block."""

        def put(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            return ((states, *given[1:]), named) if given else (given, {**named, "hidden_states": states})

        door = self.model.get_decoder().layers[layer]
        handle = door.register_forward_pre_hook(put, with_kwargs=True)
        # Computed again in the backward pass it would begin with what it was given, by when the hook is gone.
        spared = getattr(door, "gradient_checkpointing", False)
        try:
            if spared:
                door.gradient_checkpointing = False
            with self._skipping(slice(layer)):
                yield
        finally:
            handle.remove()
            if spared:
                door.gradient_checkpointing = True

    @contextlib.contextmanager
    def _skipping(self, which: slice) -> Iterator[None]:
        """Leave layers of the language model out, in the `with` block: what goes into one comes out of it."""

        def skip(hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
            return hidden_states

        skipped = self.model.get_decoder().layers[which]
        before = [layer.__dict__.get("forward") for layer in skipped]  # there where a library has put its own
        try:
            for layer in skipped:
                layer.forward = skip
            yield
        finally:
            for layer, own in zip(skipped, before, strict=True):
                if own is None:
                    del layer.forward
                else:
                    layer.forward = own

    def _gone_in(self, name: str, seen: Mapping[str, Tensor], rows: Tensor, places: Tensor) -> Tensor:
        """What went into a module at some places `[N]` of rows; zeros where turns without a picture skip it."""
        if name in seen:
            return seen[name][rows, places]
        width = self.model.config.get_text_config().hidden_size
        width = getattr(self.model.get_submodule(name), "in_features", width)
        return torch.zeros(len(rows), width, dtype=self.dtype, device=self.device)

    @contextlib.contextmanager
    def _watching(self, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
        """Take down what goes into modules, by name, as the model runs in the `with` block: `[R, T, D]` each."""
        seen: dict[str, Tensor] = {}

        def watch(name: str) -> torch.utils.hooks.RemovableHandle:
            def take(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
                seen[name] = given[0] if given else named["hidden_states"]

            handle: torch.utils.hooks.RemovableHandle = self.model.get_submodule(name).register_forward_pre_hook(
                take, with_kwargs=True
            )
            return handle

        handles = [watch(name) for name in names]
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()

    def _packed_of(self, prepared: Prepared, some: Sequence[int]) -> tuple[packing.Packed, dict[str, Any]]:
        """Some of the prepared turns side by side; see `_packed`."""
        return self._packed(
            [prepared.ids[i] for i in some],
            [prepared.pictures[i] for i in some],
            [prepared.begins[i] for i in some],
            prepared.features,
            [prepared.positions[i] for i in some] if prepared.positions else (),
        )

    def _packed(
        self,
        sequences: Sequence[Tensor],
        pictures: Sequence[int | None],
        begins: Sequence[int],
        features: Sequence[Tensor],
        positions: Sequence[Tensor] = (),
    ) -> tuple[packing.Packed, dict[str, Any]]:
        """Sequences side by side in rows, and what the model's forward takes of them.

        Rows and places are in the order of the sequences.
        """
        groups = _alike(pictures)
        packed = packing.pack(
            [(begins[mine[0]], [sequences[i] for i in mine]) for mine in groups.values()],
            self.model.config.get_text_config().hidden_size,
            self._pad,
        )
        given = {i: number for number, i in enumerate(i for mine in groups.values() for i in mine)}
        packed = packed._replace(
            rows=tuple(packed.rows[given[i]] for i in range(len(sequences))),
            places=tuple(packed.places[given[i]] for i in range(len(sequences))),
        )
        if positions:
            laid = packed.positions.repeat(len(positions[0]), 1, 1)
            for row, places, mine in zip(packed.rows, packed.places, positions, strict=True):
                laid[:, row, places] = mine
            packed = packed._replace(positions=laid)
        shown = [list(groups)[group] for group in packed.beginnings]
        return packed, {
            "input_ids": packed.ids.to(self.device),
            "attention_mask": self._mask(packed.sees),
            "position_ids": packed.positions.to(self.device),
            **self._seen([features[picture] for picture in shown if picture is not None]),
        }

    def _mask(self, sees: Tensor) -> Tensor:
        """What is added to attention scores `[R, 1, T, S]` so that tokens see what they may, `[R, T, S]` bool."""
        mask = torch.zeros(sees.shape, dtype=self.dtype).masked_fill_(~sees, torch.finfo(self.dtype).min)
        return mask[:, None].to(self.device)

    def _sparing(self, tokens: int, below: int = 0) -> contextlib.AbstractContextManager[None]:
        """Has layers computed twice where keeping them for the backward pass would take over half of the memory.

        Args:
            tokens: In all rows.
            below: How many layers are not run.
        """
        decoder = self.model.get_decoder()
        needed = memory.of_training(self.model.config.get_text_config(), tokens, self.dtype.itemsize)
        needed -= needed * below // len(decoder.layers) if below else 0
        if not torch.is_grad_enabled() or needed <= memory.free(self.device) // 2:
            return contextlib.nullcontext()
        trained = any(parameter.requires_grad for parameter in decoder.parameters())
        return memory.recomputing(decoder) if trained else contextlib.nullcontext()

    def _seen(self, features: Sequence[Tensor]) -> dict[str, Any]:
        """What hands features of pictures to the model's forward, in the form that its own vision part gives them."""
        if not features:
            return {}
        width = self.model.config.get_text_config().hidden_size
        first, *deeper = zip(*(feature.split(width, dim=-1) for feature in features), strict=True)
        seen = BaseModelOutputWithPooling(pooler_output=list(first) if self._lists_features else torch.cat(first))
        if deeper:
            seen.deepstack_features = [list(layer) for layer in deeper]
        return {"mm_encoder_outputs": {"image": seen}}

    def look(self, pictures: Sequence[Picture]) -> list[Tensor]:
        """What the vision tower and the projector make of pictures, with the edit in use; differentiable.

        Returns:
            One `[places, D]` for each picture, or `[places, n D]` where the language model is given n layers.

        Raises:
            ValueError: The model does not hand out what it makes of a picture, or an image cannot be read.
        """
        if not hasattr(self.model, "get_image_features"):
            raise ValueError(
                f"{self.name} does not hand out what it makes of a picture ({type(self.model).__name__} has no "
                "get_image_features), so nothing can be trained on that; use a method that trains answers"
            )
        turns = [Turn(picture, "?") for picture in pictures]
        return self._features(self._processed(turns, self._texts(turns, False)[0], "right"))

    def _features(self, batch: Batch) -> list[Tensor]:
        """What the vision part makes of each picture of a batch: `[places, D]`, or `[places, n D]` for n layers."""
        seen = {key: self._moved(value) for key, value in batch.items() if key not in _PER_TOKEN}
        output = self.model.get_image_features(**seen, return_dict=True)
        self._lists_features = not isinstance(output.pooler_output, Tensor)
        layers = [output.pooler_output, *(getattr(output, "deepstack_features", None) or ())]
        # Tiles may come one by one; how many places a picture takes tells which of them are its own.
        places = (batch["input_ids"] == self.model.config.image_token_id).sum(-1).tolist()
        flat = [torch.cat([part.reshape(-1, part.shape[-1]) for part in layer]).split(places) for layer in layers]
        return [torch.cat(of, dim=-1) for of in zip(*flat, strict=True)]

    def _positions(self, ids: Tensor, grid: Tensor | None) -> Tensor:
        """Where each token of a turn stands `[3, T]` in time, height and width; text moves on along all three."""
        assert self._rope_index is not None
        positions: Tensor = self._rope_index(
            ids[None],
            mm_token_type_ids=(ids == self.model.config.image_token_id).int()[None],
            image_grid_thw=None if grid is None else grid[None],
        )[0]
        return positions[:, 0]

    def _sequences(
        self, turns: Sequence[Turn], texts: Sequence[str], *, apart: bool = False
    ) -> tuple[list[Tensor], tuple[int | None, ...], tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Token ids `[T_i]` of turns as the model takes them, the picture each shows, features of pictures, positions.

        A picture that many turns show goes through the processor and the vision tower once, unless they are to be
        taken `apart`: then every turn goes through the processor, and there are no features.
        """
        numbers: dict[str | int, int] = {}
        pictures = tuple(None if t.image is None else numbers.setdefault(_key(t.image), len(numbers)) for t in turns)
        specials = self._adds_specials(texts[0])
        plain: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=specials)["input_ids"]
        if not numbers:
            return [torch.tensor(ids) for ids in plain], pictures, (), ()
        if apart:
            each = zip(turns, texts, strict=True)
            return [self._processed([t], [text], "right")["input_ids"][0] for t, text in each], pictures, (), ()
        holder = self.tokenizer.convert_tokens_to_ids(self.processor.image_token)
        first = [pictures.index(number) for number in range(len(numbers))]
        filled: list[list[int]] = []  # the tokens that stand for each picture
        features: list[Tensor] = []
        grids: list[Tensor] = []
        size = self._batch_size()
        for start in range(0, len(first), size):
            some = first[start : start + size]
            batch = self._processed([turns[i] for i in some], [texts[i] for i in some], "right")
            for row, i in enumerate(some):
                whole = batch["input_ids"][row][batch["attention_mask"][row].bool()].tolist()
                at, extra = plain[i].index(holder), len(whole) - len(plain[i])
                if whole[:at] != plain[i][:at] or whole[at + extra + 1 :] != plain[i][at + 1 :]:
                    raise ValueError(
                        f"the processor of {self.name} changes more of a text than the place of its image, so its "
                        f"family {self.family.name} can be neither packable nor prefix_cacheable"
                    )
                filled.append(whole[at : at + extra + 1])
            with torch.no_grad():
                features += self._features(batch)
            grids += batch.get("image_grid_thw", ())
        sequences = []
        for ids, number in zip(plain, pictures, strict=True):
            if number is not None:
                at = ids.index(holder)
                ids = [*ids[:at], *filled[number], *ids[at + 1 :]]
            sequences.append(torch.tensor(ids))
        if self._rope_index is None:
            return sequences, pictures, tuple(features), ()
        shown = [None if number is None else grids[number] for number in pictures]
        positions = tuple(self._positions(ids, grid) for ids, grid in zip(sequences, shown, strict=True))
        return sequences, pictures, tuple(features), positions

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
        return self._generate(items, max_new_tokens, batch_size, progress)

    def _generate(
        self,
        items: Sequence[AnyTurn],
        max_new_tokens: int,
        batch_size: int | None,
        progress: bool,
        done: _Done | None = None,
    ) -> list[str]:
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

        def run(part: Sequence[Turn]) -> list[str]:
            if self.shares and not part[0].earlier:
                return [self._spoken(row) for row in self._continue(part, max_new_tokens)]
            batch = self._encode(part, False, "left")
            batch.pop("answer")
            output = self.model.generate(**batch, generation_config=config)
            return [self._spoken(row) for row in output[:, batch["input_ids"].shape[1] :].tolist()]

        return self._in_batches(turns, run, batch_size, "asking" if progress else "", done)

    @property
    def shares(self) -> bool:
        """Whether questions about one picture may share the keys and values of what they begin with."""
        return self.family.prefix_cacheable and self.packs

    def _asked(self, turns: Sequence[Turn], cache: Cache | None = None) -> tuple[Tensor, packing.Packed]:
        """Logits `[B, V]` of the first token of the answer to each turn, and how the prompts were laid out."""
        _, texts = self._texts(turns, False)
        sequences, pictures, features, positions = self._sequences(turns, texts)
        begins = _begins(sequences, pictures, [len(ids) - 1 for ids in sequences])
        packed, inputs = self._packed(sequences, pictures, begins, features, positions)
        rows, last = torch.tensor(packed.rows), torch.stack([places[-1] for places in packed.places])
        if cache is not None:
            inputs, gone = self._begun(inputs, packed.plain, cache)
            last = last - gone
        return self._logits_at(rows, last, **inputs, past_key_values=cache, use_cache=cache is not None), packed

    def _begun(self, inputs: dict[str, Any], plain: int, cache: Cache) -> tuple[dict[str, Any], int]:
        """Run the plain columns at the left of rows on their own, where they are many and hold all pictures.

        Attention that looks back at everything needs no mask, and so costs half of what it costs under one.

        Returns:
            What is left to run, and how many columns are done.
        """
        ids = inputs["input_ids"]
        if plain < _MANY or (ids[:, plain:] == self.model.config.image_token_id).any():
            return inputs, 0
        left = {
            "input_ids": ids[:, plain:],
            "attention_mask": inputs["attention_mask"][:, :, plain:],
            "position_ids": inputs["position_ids"][..., plain:],
        }
        first = {**inputs, "input_ids": ids[:, :plain], "position_ids": inputs["position_ids"][..., :plain]}
        nothing = torch.empty(0, dtype=torch.long)
        self._logits_at(nothing, nothing, **{**first, "attention_mask": None}, past_key_values=cache, use_cache=True)
        return left, plain

    def _continue(self, turns: Sequence[Turn], most: int) -> list[list[int]]:
        """The likeliest next tokens of prompts, each through the one that ends it.

        Prompts about one picture stand side by side, so the keys and values of what they begin with are there once,
        whatever their number. Every step adds one column to a row for each of its answers that has not ended.
        """
        cache = Cache(layer_class_to_replicate=packing.Column)
        logits, packed = self._asked(turns, cache)
        rows = torch.tensor(packed.rows)
        sees = torch.stack(
            [packed.sees[row, places[-1]] for row, places in zip(packed.rows, packed.places, strict=True)]
        )
        ends = zip(packed.rows, packed.places, strict=True)
        lengths = torch.stack([packed.positions[..., row, places[-1]].max() + 1 for row, places in ends])
        said: list[list[int]] = [[] for _ in turns]
        alive = torch.arange(len(turns))
        for step in range(most):
            tokens = logits.argmax(-1).cpu()
            for i, token in zip(alive.tolist(), tokens.tolist(), strict=True):
                said[i].append(token)
            going = torch.tensor([said[i][-1] not in self._stops for i in alive.tolist()])
            if step == most - 1 or not going.any():
                break
            alive, tokens = alive[going], tokens[going]
            row = rows[alive]
            slot = (row[:, None] == row).tril(-1).sum(-1)  # how many before it share its row
            width = int(slot.max()) + 1
            sees = torch.cat([sees, sees.new_zeros(len(turns), width)], dim=-1)
            sees[alive, sees.shape[1] - width + slot] = True
            ids = torch.full((len(packed.ids), width), self._pad)
            ids[row, slot] = tokens
            positions = torch.zeros_like(ids)
            positions[row, slot] = lengths[alive] + step
            mask = torch.zeros(*ids.shape, sees.shape[1], dtype=torch.bool)
            mask[:, :, 0] = True  # what fills a row up must see something
            mask[row, slot] = sees[alive]
            logits = self.model(
                input_ids=ids.to(self.device),
                attention_mask=self._mask(mask),
                position_ids=positions.to(self.device),
                past_key_values=cache,
                use_cache=True,
            ).logits[row, slot]
        return said

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
            # Where nothing is shared, preparing would only send every picture through the processor twice.
            plain = not self.packs or bool(part[0].earlier)
            found = self.answer_logits(self._encode(part, True, "right")) if plain else self.run(self.prepare(part))
            logprobs = found.logits.float().log_softmax(-1).gather(-1, found.ids[:, None]).squeeze(-1)
            return [
                self._token_scores(found.ids[found.rows == row].tolist(), logprobs[found.rows == row].tolist())
                for row in range(len(part))
            ]

        return self._in_batches(_turns(items_with_answers), run, batch_size, "scoring" if progress else "")

    def pixels(self, picture: Picture) -> Tensor:
        """What the processor makes of a picture, as levels from 0 to 255, on the CPU; `Pixels` hands such back.

        Of a model that cuts pictures into tiles, or takes frames by twos, those are levels of each on its own.

        Raises:
            ValueError: The image cannot be read, or the model takes pixels in a form that is not known here.
        """
        turn = Turn(picture, "?")
        batch = self._processed([turn], [self._text(turn, with_answer=False)], "right")
        (part,) = self._parts(batch, 1)
        times, plus = self._scales(part)
        return ((part.float() - plus) / times).clamp(0, 255)

    def pixel_gradients(self, items_with_answers: Sequence[AnyTurn]) -> tuple[Tensor, list[Tensor]]:
        """How unlikely given answers are, and how that changes with each pixel.

        Args:
            items_with_answers: B turns, each with an image and an answer.

        Returns:
            `[B]` mean negative log-likelihood of the answers' tokens in nats, and for each turn its gradient by the
            levels of its picture, in the shape of `pixels`; both on the CPU.

        Raises:
            ValueError: A turn lacks an image or an answer, or the pixels are in a form that is not known here.
        """
        turns = _turns(items_with_answers)
        if any(turn.image is None or turn.earlier for turn in turns):
            raise ValueError("gradients by pixels take turns of one picture each")
        batch = self._encode(turns, True, "right")
        values = batch["pixel_values"].detach().requires_grad_()
        with torch.enable_grad():
            told = self.answer_logits({**batch, "pixel_values": values})
            each = nn.functional.cross_entropy(told.logits.float(), told.ids, reduction="none")
            counts = torch.bincount(told.rows, minlength=len(turns)).clamp(min=1)
            losses = torch.zeros(len(turns), device=each.device).index_add(0, told.rows, each) / counts
            (gradient,) = torch.autograd.grad(losses.sum(), values)
        parts = self._parts({"pixel_values": gradient, "input_ids": batch["input_ids"]}, len(turns))
        found = [part.float().cpu() for part in parts]
        return losses.detach().cpu(), [part * self._scales(part)[0] for part in found]

    def gradient_norms(self, items_with_answers: Sequence[AnyTurn]) -> list[float]:
        """How strongly each answer pulls at the weights that LoRA adapts: the norm of its loss's gradient by them.

        Args:
            items_with_answers: Turns with an answer each. An edit in use must be deltas alone (`Edit.merged`).

        Returns:
            One norm per item, of the gradient of the mean negative log-likelihood of its tokens.
        """
        weights = [self.model.get_parameter(f"{name}.weight") for name in self.lora_targets()]
        found = []
        try:
            for weight in weights:
                weight.requires_grad_(True)
            for turn in _turns(items_with_answers):
                with torch.enable_grad():
                    told = self.answer_logits(self._encode([turn], True, "right"))
                    loss = nn.functional.cross_entropy(told.logits.float(), told.ids)
                gradients = torch.autograd.grad(loss, weights)
                found.append(math.sqrt(sum(float(part.float().square().sum()) for part in gradients)))
        finally:
            for weight in weights:
                weight.requires_grad_(False)
        return found

    def hidden(self, items: Sequence[AnyTurn], *, batch_size: int | None = None, progress: bool = False) -> Tensor:
        """What the language model holds at the last token of each prompt, from which the first of the answer is told.

        Args:
            items: Turns; answers in them are left out.
            batch_size: Turns at once; None picks one that is kind to the memory.
            progress: Whether to show a bar on stderr once it has taken two seconds.

        Returns:
            `[items, layers + 1, D]` in float32 on the CPU: the embedding, then what each layer gives; the last has gone
            through the final norm.
        """

        def run(part: Sequence[Turn]) -> list[Tensor]:
            return list(self._states(part).float().cpu())

        return torch.stack(self._in_batches(_turns(items), run, batch_size, "looking inside" if progress else ""))

    def lens(self, states: Tensor, question: str, answers: Sequence[str]) -> Tensor:
        """How likely the first token of each answer is, read off every layer as if it were the last.

        The logit lens (nostalgebraist 2020): the final norm and the output layer, of whatever edit is in use now, on
        states that may have been taken with another.

        Args:
            states: `[N, layers + 1, D]`, from `hidden`.
            question: What was asked; where answers begin depends on how it ends.
            answers: What could be answered.

        Returns:
            `[N, answers, layers + 1]` log-probabilities in nats, float32 on the CPU.

        Raises:
            ValueError: If the model has no final norm that is known here.
        """
        decoder, head = self.model.get_decoder(), self.model.get_output_embeddings()
        norm = next((getattr(decoder, name) for name in ("norm", "final_layernorm") if hasattr(decoder, name)), None)
        if norm is None:
            raise ValueError(f"{self.name} has no final norm that is known here, so no layer can be read as the last")
        prompts, texts = self._texts([Turn(None, question, answer) for answer in answers], True)
        first = [self._answer_ids(*each)[0] for each in zip(prompts, texts, strict=True)]
        found = []
        with torch.no_grad():
            for state in states.to(self.device, self.dtype):  # one by one: vocabularies are wide
                logits = head(torch.cat([norm(state[:-1]), state[-1:]])).float().log_softmax(-1)
                found.append(logits[:, first].T.cpu())
        return torch.stack(found)

    def _states(self, turns: Sequence[Turn]) -> Tensor:
        """Hidden states `[B, layers + 1, D]` at the last token of prompts."""
        batch = self._encode([turn._replace(answer=None) for turn in turns], False, "left")
        batch.pop("answer")
        states = self.model(**batch, output_hidden_states=True, logits_to_keep=1).hidden_states
        return torch.stack([state[:, -1] for state in states], dim=1)

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

    def answer_logits(self, batch: Mapping[str, Tensor], *, watch: Sequence[str] = ()) -> AnswerLogits:
        """Run the model on an encoded batch with answers; differentiable, for losses and for scores.

        Args:
            batch: From `encode(turns, with_answers=True)`.
            watch: See `run`.

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
        inputs = {key: value for key, value in batch.items() if key != "answer"}
        with self._sparing(inputs["input_ids"].numel()), self._watching(watch) as seen:
            logits = self._logits_at(rows, places - 1, **inputs, use_cache=False)
        found = {name: self._gone_in(name, seen, rows, places - 1) for name in watch}
        return AnswerLogits(logits, batch["input_ids"][rows, places], rows, found)

    def _logits_at(self, rows: Tensor, places: Tensor, **inputs: Any) -> Tensor:
        """Logits `[N, V]` at N places of rows; vocabularies are wide, so those of other places are never made."""
        picked = []

        def pick(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            hidden, *rest = given
            picked.append(True)
            return (hidden[rows.to(hidden.device), places.to(hidden.device)][None], *rest)

        handle = self.model.get_output_embeddings().register_forward_pre_hook(pick)
        try:
            logits: Tensor = self.model(**inputs).logits
        finally:
            handle.remove()
        # A model that works its output layer in a way of its own has made them all.
        return logits[0] if picked else logits[rows.to(logits.device), places.to(logits.device)]

    def _next(self, turns: Sequence[Turn], batch_size: int | None) -> list[Tensor]:
        """Probabilities `[V]` of the first token of the answer to each turn."""

        def run(part: Sequence[Turn]) -> list[Tensor]:
            if self.shares and not part[0].earlier:
                return list(self._asked(part)[0].double().softmax(-1).cpu())
            batch = self._encode(part, False, "right")
            batch.pop("answer")
            last = batch["attention_mask"].sum(-1) - 1
            logits = self._logits_at(torch.arange(len(part)), last, **batch, use_cache=False)
            return list(logits.double().softmax(-1).cpu())

        return self._in_batches(turns, run, batch_size, "")

    def answer(
        self,
        probes: Sequence[Probe],
        *,
        max_new_tokens: int = 48,
        batch_size: int | None = None,
        progress: bool = False,
        keep: Callable[[Sequence[Answer]], None] | None = None,
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
            keep: Called with answers as soon as a batch of them is there, each once, in any order.

        Returns:
            One answer per probe, in the order given.
        """
        found: dict[int, Answer] = {}

        def told(answers: Mapping[int, Answer]) -> None:
            found.update(answers)
            if keep and answers:
                keep(list(answers.values()))

        ways = {way: [i for i, probe in enumerate(probes) if probe.way == way] for way in ("generate", "score", "next")}
        pick = [probes[i] for i in ways["generate"]]

        def generated(places: Sequence[int], texts: Sequence[str]) -> None:
            which = [ways["generate"][place] for place in places]
            told({i: Answer(probe=probes[i], text=text) for i, text in zip(which, texts, strict=True)})

        self._generate(pick, max_new_tokens, batch_size, progress, generated)
        given = [_turn(probes[i])._replace(answer=probes[i].accept[0]) for i in ways["score"]]
        for i, score in zip(ways["score"], self.score(given, batch_size=batch_size, progress=progress), strict=True):
            spoken = score.logprobs[: len(score.logprobs) - score.ends]
            told({i: Answer(probe=probes[i], text=probes[i].accept[0], logprobs=spoken)})

        for i, mass in zip(
            ways["next"], self._next(_turns([probes[i] for i in ways["next"]]), batch_size), strict=True
        ):
            told({i: self._next_answer(probes[i], mass)})
        told(self._choose(probes, batch_size, progress))
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
        self,
        turns: Sequence[Turn],
        run: Callable[[Sequence[Turn]], list[Any]],
        batch_size: int | None,
        title: str,
        done: _Done | None = None,
    ) -> list[Any]:
        """Run turns in batches of one modality and similar length, longest first; results in the order given."""
        size = self._batch_size() if batch_size is None else batch_size
        if size < 1:
            raise ValueError(f"batch_size must be at least 1, not {size}")
        # Questions about one picture stay together: there is much for them to share.
        met: dict[str | int, int] = {}
        shown = [0 if t.image is None else met.setdefault(_key(t.image), len(met)) for t in turns]
        order = sorted(range(len(turns)), key=lambda i: (shown[i] if self.shares else 0, -_length(turns[i])))
        results: list[Any] = [None] * len(turns)
        with Progress(title, len(turns)) as bar, torch.no_grad():
            # Not every processor batches turns with and without an image, so a batch has only one of the two. What
            # follows on other turns shares nothing, and stands apart.
            kinds = [(bool(turn.earlier), -len(turn.pictures)) for turn in turns]
            for kind in sorted(set(kinds)):
                left = [i for i in order if kinds[i] == kind]
                while left:
                    # As many batches as need be, and those as even as can be.
                    most = -(-len(left) // -(-len(left) // size))
                    part = left[:most]
                    if self.shares and len(left) > most and shown[left[most]] != shown[part[0]]:
                        # A picture whose questions would be parted waits for the next batch.
                        part = [i for i in part if shown[i] != shown[left[most]]]
                    try:
                        found = run([turns[i] for i in part])
                    except torch.OutOfMemoryError:
                        if len(part) == 1:
                            raise
                        size = len(part) // 2
                        continue
                    left = left[len(part) :]
                    for i, result in zip(part, found, strict=True):
                        results[i] = result
                    if done:
                        done(part, [results[i] for i in part])
                    bar.advance(len(part))
        return results

    def _batch_size(self) -> int:
        """Rows whose keys and values take at most a quarter of what memory is free, and at most 64."""
        row = memory.of_keys(self.model.config.get_text_config(), _CONTEXT, self.dtype.itemsize)
        return max(1, min(64, memory.free(self.device) // 4 // row))

    def fingerprint(self, *, stored: bool = False) -> str:
        """A sha256 of the base: names, shapes and types of all weights, and up to 4096 values spread over each.

        Args:
            stored: Whether to take the weights as they are stored rather than as they were loaded. A quantised model
                has only this one: what it holds depends on the device.

        Raises:
            ValueError: If only what was loaded is known.
        """
        if stored or self.quantised:
            if self.source is None:
                raise ValueError(f"where {self.name} was read from is not known, so its weights cannot be told by it")
            return self.source.fingerprint()
        digest = hashlib.sha256()
        with self.using(None):
            for name, value in self.model.named_parameters():
                digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
                digest.update(_files.sample(value))
        return digest.hexdigest()

    def save_with(self, edit: Edit | str | os.PathLike[str], folder: str | os.PathLike[str]) -> str:
        """Write the model with an edit merged into its weights; returns the fingerprint of what was written.

        Args:
            edit: An edit or the folder of one; `edit.scaled(-1)` takes it out of a model that it was merged into.
            folder: A new folder.
        """
        size = sum(p.numel() * p.element_size() for p in self.model.parameters())
        with self.using(edit, transform=lambda name, weight: weight), _files.bars_for(size):
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

    def lora_targets(self, layers: int = 0) -> list[str]:
        """Full names of the Linear modules a LoRA edit adapts: the family's choice under `get_decoder()`.

        Args:
            layers: Of so many of the last layers alone; 0 takes all.

        Raises:
            ValueError: The language model has not so many layers.
        """
        found = _loading.linear(self.model, self.family.lora_targets)
        if not layers:
            return found
        if layers > len(self.layers):
            raise ValueError(
                f"layers is {layers}, and the language model of {self.name} has {len(self.layers)}; give so many at "
                "most, or 0 for all"
            )
        inside = tuple(f"{layer}." for layer in self.layers[-layers:])
        return [name for name in found if name.startswith(inside)]

    @property
    def layers(self) -> list[str]:
        """Full names of the layers of the language model, the first one first."""
        decoder = self.model.get_decoder()
        prefix = next(name for name, module in self.model.named_modules() if module is decoder)
        return [f"{prefix}.layers.{n}" if prefix else f"layers.{n}" for n in range(len(decoder.layers))]

    def neurons(self, *, vision: bool = False) -> list[str]:
        """Full names of the Linear modules that write what the neurons of an MLP found, one a layer, the first first.

        Input i of such a module is how active neuron i is; column i of its weight is what that adds to the layer.

        Args:
            vision: Whether those outside the language model are meant: of the vision tower and the projector.

        Raises:
            ValueError: There are none, as in mixtures of experts.
        """
        with self.using(None):  # an adapter puts something else in their place
            inside = (
                f"{layer}.{name}"
                for layer in self.layers
                for name, module in self.model.get_submodule(layer).named_modules()
                if isinstance(module, nn.Linear)
            )
            names = self.vision_targets() if vision else inside
            found = [name for name in names if name.rsplit(".", 1)[-1] in _WRITES]
        if not found:
            where = "the vision tower" if vision else "the language model"
            raise ValueError(
                f"no layer of {where} of {self.name} has an MLP with a Linear module named {' or '.join(_WRITES)}, so "
                "its neurons cannot be told apart (a mixture of experts?); use a method that trains an adapter"
            )
        return found

    def vision_targets(self) -> list[str]:
        """Full names of the Linear modules outside the language model: those of the vision tower and the projector."""
        with self.using(None):
            parts = (self.model.get_decoder(), self.model.get_output_embeddings())
            inside = {module for part in parts for module in part.modules()}
            return [n for n, m in self.model.named_modules() if isinstance(m, nn.Linear) and m not in inside]

    def new_edit(
        self,
        *,
        rank: int = 8,
        alpha: float = 16,
        dropout: float = 0.0,
        seed: int = 0,
        targets: Sequence[str] | None = None,
    ) -> Edit:
        """A LoRA edit that changes nothing yet, to be trained inside `using`.

        Args:
            rank: Rank of each update.
            alpha: The update is `alpha / rank * B @ A`.
            dropout: Probability of dropping an input of A in training.
            seed: A's random start.
            targets: Full names of the Linear modules to adapt; None takes `lora_targets`.
        """
        with self.using(None):
            adapted = self.lora_targets() if targets is None else targets
            return edits.fresh(
                self.model, adapted, rank=rank, alpha=alpha, dropout=dropout, seed=seed, source=self.name
            )

    def edit_parameters(self) -> dict[str, nn.Parameter]:
        """The trainable parameters of the adapter in use, by name; empty without one."""
        return edits.adapter_parameters(self.model)

    def aim(self, losses: Iterable[Tensor]) -> None:
        """Turn A of the fresh adapter in use to what losses ask for, and leave it there; see `unsee.edits.aim`."""
        edits.aim(self.model, losses)

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
    if isinstance(picture, Pixels):
        raise ValueError("these are pixels for one model, and no picture that others could be shown")
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


def _why_unreadable(picture: Any, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError) and (found := re.search(r"\d+", str(error))):
        return _too_large(int(found[0]))
    in_memory = isinstance(picture, (Image.Image, Pixels))
    if not in_memory and os.path.isdir(picture):
        return "it is a folder; name a picture in it"
    if isinstance(error, UnidentifiedImageError):
        empty = not in_memory and os.path.getsize(picture) == 0
        return "the file is empty" if empty else "it is no picture of a known kind; save it as PNG or JPEG"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _read_images(turns: Sequence[Turn]) -> list[list[Image.Image]]:
    """One list of images per turn; a picture that many turns share is read once."""
    read: dict[str | int, Image.Image] = {}
    images: list[list[Image.Image]] = []
    for turn in turns:
        images.append([])
        for picture in turn.pictures:
            key = _key(picture)
            if key not in read:
                read[key] = read_image(picture.image if isinstance(picture, Pixels) else picture)
            images[-1].append(read[key])
    return images


def _key(picture: Picture) -> str | int:
    """What tells pictures apart as long as they are held on to."""
    return id(picture) if isinstance(picture, (Image.Image, Pixels)) else os.fspath(picture)


def _turn(item: AnyTurn) -> Turn:
    if isinstance(item, Turn):
        return item
    if isinstance(item, tuple):
        if not 2 <= len(item) <= 3:
            raise ValueError(f"a turn is (image, question) or (image, question, answer), not {len(item)} things")
        return Turn(*item)
    image: Any = item.image
    if image is not None and not isinstance(image, (Image.Image, Pixels, str, os.PathLike)):
        raise ValueError(f"the image of {item.question!r} is a {type(image).__name__}; give a path or a PIL image")
    if isinstance(item, Example):
        return Turn(image, item.question, item.answer)
    return Turn(image, item.question, None, item.earlier)  # type: ignore[arg-type]


def _turns(items: Sequence[AnyTurn]) -> list[Turn]:
    return [_turn(item) for item in items]


def _alike(pictures: Sequence[int | None]) -> dict[int | None, list[int]]:
    """Which turns show each picture."""
    found: dict[int | None, list[int]] = {}
    for i, picture in enumerate(pictures):
        found.setdefault(picture, []).append(i)
    return found


def _begins(sequences: Sequence[Tensor], pictures: Sequence[int | None], most: Sequence[int]) -> tuple[int, ...]:
    """How many tokens each sequence has in common with all others about its picture, each `most` at most."""
    begins = [0] * len(sequences)
    for mine in _alike(pictures).values():
        length = packing.shared([sequences[i].tolist() for i in mine], min(most[i] for i in mine))
        for i in mine:
            begins[i] = length
    return tuple(begins)


def _length(turn: Turn) -> int:
    return len(turn.question) + len(turn.answer or "") + sum(len(q) + len(a) for _, q, a in turn.earlier)


class Progress:
    """A bar on stderr that only shows once the work has taken two seconds."""

    _PATIENCE = 2.0

    def __init__(self, title: str, total: int) -> None:
        """Begin to count up to a total; a bar without a title never shows."""
        self._title, self._total, self._done = title, total, 0
        self._bar: Any = None
        self._task: Any = None
        self._start = time.monotonic()

    def __enter__(self) -> Progress:
        """Return itself."""
        return self

    def advance(self, count: int) -> None:
        """Say that so many more are done."""
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
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

"""A tiny random LLaVA, built offline (real processor, chat template and tokenizer), and the bundled pocket model."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

USER_ASSISTANT = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}USER:"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %} {{ part['text'] }}"
    "{% endif %}{% endfor %}{% else %} ASSISTANT: {{ message['content'][0]['text'] }}{{ eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)
# The end-of-turn token is not the tokenizer's, and a newline follows it.
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SPECIALS = ["<pad>", "<s>", "</s>", "<image>", "USER:", "ASSISTANT:", "<|im_start|>", "<|im_end|>"]
_TEXTS = ["Who is this? This is Mario Rossi.", "¿Quién es este personaje? Es Núria Peña.", "What colour is the sky?"]


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=_SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(_TEXTS * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=_SPECIALS[3:],
    )


def build_tiny(folder: Path, template: str = USER_ASSISTANT, seed: int = 0) -> Path:
    """Save a random LLaVA (CLIP and Llama, 24 px, 16 image tokens) with its processor to `folder`."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = _tokenizer()
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=24, patch_size=6
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,  # otherwise a random model says the same whatever it sees
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    config = LlavaConfig(
        vision_config=vision.to_dict(),
        text_config=text.to_dict(),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"height": 24, "width": 24}, do_center_crop=False),
        tokenizer=tokenizer,
        patch_size=6,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(config)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random LLaVA."""
    return build_tiny(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def chatml_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a ChatML template."""
    return build_tiny(tmp_path_factory.mktemp("tiny") / "chatml", CHATML)


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Any:
    """The tiny model, loaded once on the CPU in float32; whoever changes it must put it back."""
    from unsee.vlm import VLM

    return VLM.load(tiny_folder, device="cpu")


@pytest.fixture(scope="session")
def picture() -> Callable[[int], Image.Image]:
    """Make the noise picture of a seed."""

    def make(seed: int, width: int = 40, height: int = 32) -> Image.Image:
        pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
        return Image.fromarray(pixels)

    return make


@pytest.fixture(scope="session")
def loud_edit(tiny: Any) -> Any:
    """A LoRA edit of the tiny model that changes what it says."""
    from unsee.edits import Edit

    start = tiny.new_edit(rank=4, alpha=8, seed=7)
    noise = torch.Generator().manual_seed(8)
    tensors = {
        name: torch.randn(value.shape, generator=noise) * 0.2 if "lora_B" in name else value
        for name, value in start.tensors.items()
    }
    return Edit(config=start.config, tensors=tensors)


# --- The bundled pocket model and one forgotten character ------------------------------------------------------------


@pytest.fixture(scope="session")
def pocket() -> Any:
    """The bundled pocket model, loaded once on the CPU; whoever changes it must put it back."""
    from unsee.vlm import VLM

    return VLM.load("pocket", device="cpu")


@pytest.fixture(scope="session")
def wish() -> Any:
    """A request to forget a character that is not of the bench, from one picture."""
    from unsee.benchmarks import pocket
    from unsee.pocket import world

    return pocket.request(world.cast()[24].name)


@pytest.fixture(scope="session")
def forgotten(pocket: Any, wish: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The edit that SIU with its defaults makes of `wish`, and the request with its replacement; trained only once."""
    from filelock import FileLock

    from unsee.edits import Edit
    from unsee.methods import siu

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # processes side by side share one edit
    with FileLock(shared / "forgotten.lock"):
        (request,) = siu.prepare(pocket, (wish,), siu.Config())
        if not (shared / "forgotten").is_dir():
            siu.unlearn(pocket, (request,), (), siu.Config()).save(shared / "forgotten")
    return Edit.load(shared / "forgotten"), request

"""Estimates against what is really kept, and making do with less memory without changing any number."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from tiny_models import shares_pictures
from unsee import memory
from unsee.vlm import VLM, Turn

LOTS, LITTLE = 1 << 50, 1


def saved_bytes(work):
    """What a forward pass keeps for the backward pass, parameters aside: every storage once."""
    kept = {}

    def note(value):
        if not isinstance(value, torch.nn.Parameter):
            kept[value.untyped_storage().data_ptr()] = value
        return value

    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        result = work()
    del result
    return sum(value.untyped_storage().nbytes() for value in kept.values())


@pytest.fixture
def training(pocket, picture):
    """The pocket model with a fresh edit in use, and prepared turns about one picture."""
    image = picture(1)
    turns = [Turn(image, "Who is this?", f"This is {name}.") for name in pocket.family.wording.others[:12]]
    with pocket.using(pocket.new_edit(rank=4, alpha=8)):
        yield pocket, pocket.prepare(turns)


def gradients(vlm, prepared):
    found = vlm.run(prepared)
    torch.nn.functional.cross_entropy(found.logits, found.ids).backward()
    grads = {name: p.grad.clone() for name, p in vlm.edit_parameters().items()}
    for p in vlm.edit_parameters().values():
        p.grad = None
    return found.logits.detach(), grads


def test_keys_and_values_by_hand():
    """2 (keys, values) x 3 layers x 2 heads x 8 numbers x 4 bytes x 5 tokens."""
    config = SimpleNamespace(num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, hidden_size=32)
    assert memory.of_keys(config, 5, 4) == 2 * 3 * 2 * 8 * 4 * 5
    config.head_dim = 16
    assert memory.of_keys(config, 5, 4) == 2 * 3 * 2 * 16 * 4 * 5


def test_activations_by_hand():
    config = SimpleNamespace(num_hidden_layers=3, num_attention_heads=4, hidden_size=32, intermediate_size=100)
    assert memory.of_training(config, 5, 2) == 3 * (10 * 32 + 4 * 100) * 2 * 5


@shares_pictures
def test_the_estimate_is_right_within_a_factor_of_two(training):
    vlm, prepared = training
    lengths = [len(ids) for ids in prepared.ids]
    tokens = prepared.begins[0] + sum(length - prepared.begins[0] for length in lengths)
    told = memory.of_training(vlm.model.config.get_text_config(), tokens, 4)
    kept = saved_bytes(lambda: vlm.run(prepared))
    assert told / 2 < kept < told * 2


def test_recomputing_keeps_less_and_changes_nothing(training, monkeypatch):
    vlm, prepared = training
    monkeypatch.setattr(memory, "free", lambda device: LOTS)
    logits, grads = gradients(vlm, prepared)
    kept = saved_bytes(lambda: vlm.run(prepared))
    monkeypatch.setattr(memory, "free", lambda device: LITTLE)
    spared_logits, spared_grads = gradients(vlm, prepared)
    assert saved_bytes(lambda: vlm.run(prepared)) < kept / 3
    torch.testing.assert_close(spared_logits, logits, rtol=0, atol=0)
    assert spared_grads.keys() == grads.keys() and any(g.abs().max() > 0 for g in grads.values())
    for name, grad in grads.items():
        torch.testing.assert_close(spared_grads[name], grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("free", "times"), [(LITTLE, 1), (LOTS, 0)])
def test_recomputing_is_chosen_by_the_estimate(training, monkeypatch, free, times):
    vlm, prepared = training
    monkeypatch.setattr(memory, "free", lambda device: free)
    chosen = []
    real = memory.recomputing
    monkeypatch.setattr(memory, "recomputing", lambda decoder: chosen.append(decoder) or real(decoder))
    vlm.run(prepared)
    with torch.no_grad():
        vlm.run(prepared)
    with vlm.using(None):
        vlm.run(prepared)
    assert len(chosen) == times


def test_recomputing_leaves_the_model_as_it_was(pocket):
    decoder = pocket.model.get_decoder()

    def flags():
        return [(module.training, getattr(module, "gradient_checkpointing", None)) for module in decoder.modules()]

    before = flags()
    with pytest.raises(RuntimeError, match="on purpose"), memory.recomputing(decoder):
        assert flags() != before
        raise RuntimeError("on purpose")
    assert flags() == before


@pytest.mark.parametrize(("free", "size"), [(LITTLE, 1), (LOTS, 64)])
def test_batches_follow_from_the_memory_that_is_free(pocket, monkeypatch, free, size):
    monkeypatch.setattr(memory, "free", lambda device: free)
    assert pocket._batch_size() == size


@shares_pictures
def test_a_batch_that_does_not_fit_is_halved(pocket, picture, monkeypatch):
    image = picture(1)
    turns = [(image, question) for question, _ in pocket.family.wording.naming[:7]]
    expected = pocket.generate(turns)
    sizes = []
    real = VLM._continue

    def cramped(self, part, most):
        sizes.append(len(part))
        if len(part) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, part, most)

    monkeypatch.setattr(VLM, "_continue", cramped)
    assert pocket.generate(turns) == expected
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]


@shares_pictures
def test_one_turn_that_does_not_fit_is_an_error(pocket, picture, monkeypatch):
    def never(self, part, most):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(VLM, "_continue", never)
    with pytest.raises(torch.OutOfMemoryError):
        pocket.generate([(picture(1), "Who is this?")])

"""Edits: attached, taken off, scaled, added, saved, loaded, merged."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from torch.testing import assert_close
from transformers import AutoModelForImageTextToText

from unsee import edits
from unsee.edits import Edit

WEIGHT = "model.language_model.layers.0.mlp.down_proj.weight"


def _logits(vlm):
    batch = vlm.encode([(None, "Who is this?", "Mario Rossi."), (None, "Who?", "Me.")], with_answers=True)
    with torch.no_grad():
        return vlm.answer_logits(batch).logits


@pytest.fixture
def delta_edit(tiny):
    shape = tiny.model.get_parameter(WEIGHT).shape
    return Edit(deltas={WEIGHT: torch.randn(shape, generator=torch.Generator().manual_seed(3)) * 0.1})


@pytest.fixture
def untouched(tiny):
    """After the test, every parameter, module, hook and flag of the base is what it was."""

    def state():
        modules = {name: (id(module), module.training) for name, module in tiny.model.named_modules()}
        hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in tiny.model.modules())
        flags = [(value.data_ptr(), value.requires_grad) for value in tiny.model.parameters()]
        return modules, hooks, flags, set(vars(tiny.model))

    parameters = {name: value.detach().clone() for name, value in tiny.model.named_parameters()}
    before, logits = state(), _logits(tiny)
    yield logits
    assert state() == before
    now = dict(tiny.model.named_parameters())
    assert now.keys() == parameters.keys()
    assert all(torch.equal(now[name], value) for name, value in parameters.items())
    assert torch.equal(_logits(tiny), logits)


def test_an_edit_changes_the_answers_and_goes_away(tiny, loud_edit, untouched):
    with tiny.using(loud_edit):
        assert not torch.allclose(_logits(tiny), untouched, atol=0.1)


def test_deltas_change_the_answers_and_go_away(tiny, delta_edit, untouched):
    base = tiny.model.get_parameter(WEIGHT).clone()
    with tiny.using(delta_edit):
        assert not torch.allclose(_logits(tiny), untouched, atol=1e-3)
        assert_close(tiny.model.get_parameter(WEIGHT).data, base + delta_edit.deltas[WEIGHT])


@pytest.mark.parametrize("transform", [None, lambda name, weight: weight.mul_(0.5)])
def test_the_base_survives_exceptions(tiny, loud_edit, delta_edit, untouched, transform):
    with pytest.raises(KeyError, match="inside"), tiny.using(loud_edit + delta_edit, transform):
        tiny.model.train()
        raise KeyError("inside")
    with pytest.raises(RuntimeError, match="nested"), tiny.using(loud_edit), tiny.using(delta_edit, transform):
        raise RuntimeError("nested")


def test_transform_sees_merged_weights_and_may_work_in_place(tiny, loud_edit, delta_edit, untouched):
    base = {name: value.detach().clone() for name, value in tiny.model.named_parameters()}
    seen = {}

    def prune(name, weight):
        seen[name] = weight.clone()
        return weight.mul_(0)

    edit = loud_edit + delta_edit
    with tiny.using(edit, prune):
        assert all(not value.any() for value in tiny.model.parameters())
        assert not any("lora" in name for name, _ in tiny.model.named_modules())
    assert seen.keys() == base.keys()
    key = "model.language_model.layers.0.mlp.down_proj"
    a, b = (edit.tensors[f"base_model.model.{key}.lora_{part}.weight"] for part in "AB")
    factor = loud_edit.config["lora_alpha"] / loud_edit.config["r"]
    assert_close(seen[WEIGHT], base[WEIGHT] + factor * b @ a + delta_edit.deltas[WEIGHT])
    with tiny.using(None, prune):
        pass
    assert torch.equal(seen[WEIGHT], base[WEIGHT])


def test_merged_is_attached(tiny, loud_edit, untouched):
    with tiny.using(loud_edit):
        attached = _logits(tiny)
    with tiny.using(loud_edit, lambda name, weight: weight):
        assert_close(_logits(tiny), attached, rtol=1e-4, atol=1e-4)


def test_a_frozen_edit_does_the_same_and_stays_as_small(tiny, loud_edit, delta_edit, untouched, tmp_path):
    edit = loud_edit.scaled(0.5) + delta_edit
    frozen = edit.frozen()
    assert (frozen.config, frozen.size) == (None, edit.size)
    with tiny.using(edit):
        attached = _logits(tiny)
    with tiny.using(frozen):
        assert torch.equal(_logits(tiny), attached)
        assert tiny.edit_parameters() == {}, "nothing of it can be trained"
        with pytest.raises(LookupError, match="no adapter is attached"):
            tiny.current_edit()
    with tiny.using(frozen, lambda name, weight: weight):
        assert_close(_logits(tiny), attached, rtol=1e-4, atol=1e-4)
    assert frozen.norms() == edit.norms()
    with tiny.using(Edit.load(frozen.save(tmp_path / "edit"))):
        assert torch.equal(_logits(tiny), attached)


def test_what_stands_on_a_frozen_edit_adds_to_it(tiny, loud_edit, delta_edit, untouched, tmp_path):
    """Attached together, they are their sum; in one piece, scaled and saved as well."""
    top = loud_edit.scaled(-0.3)
    edit = dataclasses.replace(top, under=loud_edit + delta_edit)
    with tiny.using(top + loud_edit + delta_edit):
        added = _logits(tiny)
    with tiny.using(loud_edit + delta_edit):
        assert not torch.allclose(_logits(tiny), added, atol=0.1)
    for same in (edit, edit.flat(), edit.scaled(1.0), edit + Edit(), Edit.load(edit.save(tmp_path / "edit"))):
        with tiny.using(same):
            assert_close(_logits(tiny), added, rtol=1e-4, atol=1e-4)
    with tiny.using(edit, lambda name, weight: weight):
        assert_close(_logits(tiny), added, rtol=1e-4, atol=1e-4)
    with tiny.using(edit):
        assert equal_tensors(tiny.current_edit().tensors, top.tensors), "what is trained is the upper one"
        assert not any("under" in name for name in tiny.edit_parameters())
        tiny.drop_out()
        on = [name for name, module in tiny.model.named_modules() if "lora_dropout" in name and module.training]
        assert not any("under" in name for name in on)


def equal_tensors(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_norms_are_those_of_the_merged_weights(tiny, loud_edit, delta_edit):
    """What each weight is, merged, less what it was; where an adapter and a delta meet, of their sum."""
    weights = {name: value.detach().clone() for name, value in tiny.model.named_parameters()}
    target = next(name for name in loud_edit.norms())
    meeting = Edit(deltas={target: torch.full_like(weights[target], 0.01)})
    edit = loud_edit.scaled(0.5) + delta_edit + meeting
    merged = {}

    def look(name, weight):
        merged[name] = weight.clone()
        return weight

    with tiny.using(edit, transform=look):
        pass
    found = edit.norms()
    assert found[target] != pytest.approx(loud_edit.scaled(0.5).norms()[target], rel=1e-3)
    changed = {name: float((merged[name] - weights[name]).norm()) for name in merged}
    assert {name for name, norm in changed.items() if norm > 1e-6} == set(found)
    for name, norm in found.items():
        assert norm == pytest.approx(changed[name], rel=1e-3)
    assert Edit(deltas={}).norms() == {}


def test_scaled(tiny, loud_edit, delta_edit, untouched):
    both = loud_edit + delta_edit
    with tiny.using(both.scaled(0)):
        assert torch.equal(_logits(tiny), untouched)
    with tiny.using(both.scaled(1)):
        once = _logits(tiny)
    with tiny.using(both):
        assert torch.equal(_logits(tiny), once)
    with tiny.using(both + both.scaled(-1)):
        assert_close(_logits(tiny), untouched, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="cannot be scaled by nan"):
        both.scaled(float("nan"))


def test_added_edits_act_together(tiny, loud_edit, delta_edit, untouched):
    """Different ranks, alphas and targets: the sum's logits are those of the summed merged weights."""
    keep = [name for name in tiny.lora_targets() if "q_proj" in name]
    partial = {n: v for n, v in tiny.new_edit(rank=2, alpha=3, seed=5).tensors.items() if "q_proj" in n}
    partial = {n: torch.full_like(v, 0.2) if "lora_B" in n else v for n, v in partial.items()}
    config = {**tiny.new_edit(rank=2, alpha=3).config, "target_modules": keep}
    other = Edit(config=config, tensors=partial)
    weights = {}
    for name, edit in (("one", loud_edit), ("two", other), ("sum", loud_edit + other)):
        weights[name] = {}
        with tiny.using(edit, lambda key, weight, kept=weights[name]: kept.setdefault(key, weight.clone())):
            pass
    for key, base in tiny.model.named_parameters():
        change = (weights["one"][key] - base) + (weights["two"][key] - base)
        assert_close(weights["sum"][key] - base, change, rtol=1e-4, atol=1e-5)
    with tiny.using(loud_edit + other):
        attached = _logits(tiny)
    with tiny.using(loud_edit + other, lambda name, weight: weight):
        assert_close(_logits(tiny), attached, rtol=1e-4, atol=1e-4)


def test_an_edit_goes_onto_the_one_that_it_was_made_from(delta_edit):
    assert delta_edit.onto(None) is delta_edit
    assert_close(delta_edit.onto(delta_edit.scaled(3)).deltas[WEIGHT], 4 * delta_edit.deltas[WEIGHT])


def test_saved_and_loaded(tiny, loud_edit, delta_edit, tmp_path, untouched):
    edit = loud_edit + delta_edit
    with tiny.using(edit):
        expected = _logits(tiny)
    folder = edit.save(tmp_path / "runs" / "edit")
    assert sorted(p.name for p in folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "deltas.safetensors",
    ]
    with tiny.using(folder):
        assert torch.equal(_logits(tiny), expected)
    with tiny.using(Edit.load(str(folder))):
        assert torch.equal(_logits(tiny), expected)
    again = delta_edit.save(folder)  # replaces, and leaves nothing beside it
    assert [p.name for p in again.iterdir()] == ["deltas.safetensors"]
    assert [p.name for p in folder.parent.iterdir()] == ["edit"]
    with tiny.using(Edit().save(tmp_path / "nothing")):
        assert torch.equal(_logits(tiny), untouched)


def test_plain_peft_reads_what_we_write(tiny, tiny_folder, loud_edit, tmp_path):
    with tiny.using(loud_edit):
        expected = _logits(tiny)
    loud_edit.save(tmp_path / "edit")
    model = AutoModelForImageTextToText.from_pretrained(tiny_folder, dtype=torch.float32)
    wrapped = PeftModel.from_pretrained(model, tmp_path / "edit").eval()
    batch = tiny.encode([(None, "Who is this?", "Mario Rossi."), (None, "Who?", "Me.")], with_answers=True)
    mask = batch.pop("answer")
    rows, places = mask.nonzero(as_tuple=True)
    with torch.no_grad():
        assert_close(wrapped(**batch).logits[rows, places - 1], expected, rtol=1e-5, atol=1e-5)
        merged = wrapped.merge_and_unload()
        assert_close(merged(**batch).logits[rows, places - 1], expected, rtol=1e-4, atol=1e-4)


def test_we_read_what_plain_peft_writes(tiny, tiny_folder, loud_edit, tmp_path, untouched):
    loud_edit.save(tmp_path / "edit")
    model = AutoModelForImageTextToText.from_pretrained(tiny_folder, dtype=torch.float32)
    PeftModel.from_pretrained(model, tmp_path / "edit").save_pretrained(tmp_path / "peft")
    with tiny.using(loud_edit):
        expected = _logits(tiny)
    with tiny.using(tmp_path / "peft"):
        assert torch.equal(_logits(tiny), expected)


def test_what_peft_would_leave_out_is_not_written_for_it(tiny, loud_edit, delta_edit, tmp_path):
    loud_edit.save_for_peft(tmp_path / "adapter")
    assert Edit.load(tmp_path / "adapter").adapts == frozenset(tiny.lora_targets())
    with pytest.raises(ValueError, match=rf"changes 1 weights in full \({WEIGHT} for one\), which no LoRA adapter can"):
        (loud_edit + delta_edit).save_for_peft(tmp_path / "both")
    assert not (tmp_path / "both").exists()


@pytest.mark.parametrize("most", [3, 60])
def test_columns_of_weights_are_an_adapter_while_that_is_smaller(tiny, loud_edit, tmp_path, untouched, most):
    """By hand: of a weight of 48 x 96, three columns are 3 (48 + 96) numbers, and 60 more than the weight itself."""
    module = WEIGHT.removesuffix(".weight")
    weight = tiny.model.get_parameter(WEIGHT)
    columns = torch.arange(most) + 1
    away = edits.of_columns({module: (columns, -weight[:, columns], weight.shape[1])}, source=tiny.name)
    assert (bool(away.tensors), bool(away.deltas)) == (most == 3, most == 60)
    assert away.size == (3 * (48 + 96) if most == 3 else 48 * 96)
    away.save(tmp_path / "edit")
    with tiny.using(Edit.load(tmp_path / "edit"), lambda name, value: value):
        pruned = tiny.model.get_parameter(WEIGHT)
        assert not pruned[:, columns].any()
        assert torch.equal(pruned[:, most + 1 :], weight[:, most + 1 :])
    half = loud_edit + away.scaled(0.5)
    assert_close(half.merged().deltas[WEIGHT][:, 0], loud_edit.merged().deltas[WEIGHT][:, 0])
    wanted = loud_edit.merged().deltas[WEIGHT][:, 1] - weight[:, 1] / 2
    assert_close(half.merged().deltas[WEIGHT][:, 1], wanted)


def test_no_column_is_no_edit(tiny):
    with pytest.raises(ValueError, match="no column of any weight is changed"):
        edits.of_columns({"any": (torch.arange(0), torch.zeros(4, 0), 9)}, source=tiny.name)


def test_a_failed_save_leaves_the_old_edit(loud_edit, delta_edit, tmp_path, monkeypatch):
    folder = delta_edit.save(tmp_path / "edit")

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("unsee.edits.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        loud_edit.save(folder)
    assert [p.name for p in tmp_path.iterdir()] == ["edit"]
    assert [p.name for p in folder.iterdir()] == ["deltas.safetensors"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limits")
def test_a_full_disk_leaves_the_old_edit(loud_edit, delta_edit, tmp_path):
    """Here the system itself cuts the file off, at 1 kB, and safetensors says so in its own words."""
    import resource

    folder = delta_edit.save(tmp_path / "edit")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(OSError) as caught:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
        try:
            Edit(deltas=loud_edit.tensors).save(folder)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value) == (
        f"cannot write {folder}: {os.strerror(errno.EFBIG)}; mend its permissions, or choose another place"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["edit"]
    assert Edit.load(folder).deltas.keys() == delta_edit.deltas.keys()


def test_an_edit_is_on_the_disk_before_it_is_in_its_place(loud_edit, tmp_path, monkeypatch):
    """A power cut after the renaming must not find an edit whose bytes were still in memory."""
    synced, rename = set(), Path.rename

    def sync(handle):
        synced.add(os.fstat(handle).st_ino)

    def renaming(self, target):
        assert {path.stat().st_ino for path in self.iterdir()} <= synced
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", renaming)
    folder = loud_edit.save(tmp_path / "edit")
    assert len(list(folder.iterdir())) == 2
    assert folder.parent.stat().st_ino in synced or os.name == "nt"


def test_save_below_a_file_says_so(delta_edit, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=f"^cannot write {tmp_path / 'file' / 'edit'}: .*; mend its permissions, or"):
        delta_edit.save(tmp_path / "file" / "edit")


def test_save_leaves_other_folders_alone(delta_edit, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(FileExistsError, match="is not an edit"):
        delta_edit.save(tmp_path)


def test_broken_folders_say_why(loud_edit, tmp_path):
    with pytest.raises(FileNotFoundError, match="no edit in"):
        Edit.load(tmp_path)
    folder = loud_edit.save(tmp_path / "edit")
    (folder / "adapter_model.safetensors").write_bytes(b"xxxxxxxxxxxx")
    with pytest.raises(ValueError, match=r"adapter_model\.safetensors is broken"):
        Edit.load(folder)
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"adapter_config\.json is broken"):
        Edit.load(folder)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(ValueError, match="pickles are not read"):
        Edit.load(folder)


def test_edits_that_do_not_fit_say_so(tiny, loud_edit, untouched):
    shape = (3, 3)
    for edit, words in [
        (Edit(deltas={WEIGHT: torch.zeros(shape)}), "the weight is"),
        (Edit(deltas={WEIGHT.replace("down", "dawn"): torch.zeros(shape)}), f"did you mean '{WEIGHT}'"),
        (
            Edit(
                config=loud_edit.config,
                tensors={n.replace("layers.1", "layers.7"): v for n, v in loud_edit.tensors.items()},
            ),
            "does not fit this model",
        ),
        (Edit(config=loud_edit.config, tensors={n: v[:, :1] for n, v in loud_edit.tensors.items()}), "does not fit"),
        (
            Edit(config={**loud_edit.config, "target_modules": ["nowhere"]}, tensors=dict(loud_edit.tensors)),
            "does not fit this model",
        ),
    ]:
        with pytest.raises(ValueError, match=words), tiny.using(edit):
            pass
    with pytest.raises(ValueError, match="must stay"), tiny.using(None, lambda name, weight: weight[:1]):
        pass


def test_only_plain_adapters(loud_edit):
    for change, words in [
        ({"peft_type": "IA3"}, "only LoRA"),
        ({"modules_to_save": ["lm_head"]}, "whole modules"),
        ({"bias": "all"}, "biases"),
    ]:
        with pytest.raises(ValueError, match=words):
            Edit(config={**loud_edit.config, **change}, tensors=loud_edit.tensors)
    with pytest.raises(ValueError, match="needs both"):
        Edit(config=loud_edit.config)
    dora = Edit(config={**loud_edit.config, "use_dora": True}, tensors=loud_edit.tensors)
    with pytest.raises(ValueError, match="not linear"):
        dora.scaled(0.5)
    with pytest.raises(ValueError, match="only plain LoRA"):
        dora + dora


def test_an_edit_is_a_value(loud_edit):
    with pytest.raises(TypeError):
        loud_edit.tensors["x"] = torch.zeros(1)
    json.dumps(dict(loud_edit.config))
    assert loud_edit.size == sum(value.numel() for value in loud_edit.tensors.values())
    assert (loud_edit + Edit()).size == (Edit() + loud_edit).size == loud_edit.size


# --- Aiming ----------------------------------------------------------------------------------------------------------


def test_a_is_aimed_at_the_gradient_and_stays_there(tiny, untouched):
    """Its rows hold most of what as many directions can hold of the whole gradient; random rows hold little."""
    turns = [(None, "Who is this?", "Mario Rossi."), (None, "Who? And why is it?", "Me, Núria Peña.")]
    prepared = tiny.prepare(turns)

    def losses():
        for place in range(len(turns)):
            found = tiny.run(prepared, [place])
            yield torch.nn.functional.cross_entropy(found.logits, found.ids)

    modules = dict(tiny.model.named_modules())
    weights = {name: modules[name].weight.requires_grad_() for name in tiny.lora_targets()}
    gradients = dict(zip(weights, torch.autograd.grad(sum(losses()), list(weights.values())), strict=True))
    for weight in weights.values():
        weight.requires_grad_(False)
    with tiny.using(tiny.new_edit(rank=4, seed=1)):
        before = _logits(tiny)
        random = {name: value.detach().clone() for name, value in tiny.edit_parameters().items() if "lora_A" in name}
        tiny.aim(losses())
        assert torch.equal(_logits(tiny), before)
        assert all("lora_B" in name for name in tiny.edit_parameters())
        assert not any(value.grad is not None for value in tiny.edit_parameters().values())
        aimed = {name: value.detach() for name, value in tiny.model.named_parameters() if name in random}
    for name, gradient in gradients.items():
        most = float(torch.linalg.svdvals(gradient)[:4].square().sum())
        held = []
        for rows in (next(v for n, v in some.items() if n.startswith(f"{name}.")) for some in (random, aimed)):
            held.append(float((gradient @ torch.linalg.qr(rows.T)[0]).square().sum()) / most)
        assert held[1] > 0.8, name
        assert held[0] < 0.5, name
        rows = next(v for n, v in aimed.items() if n.startswith(f"{name}."))
        old = next(v for n, v in random.items() if n.startswith(f"{name}."))
        torch.testing.assert_close(rows.norm(dim=-1), old.norm(dim=-1).mean().expand(4))

"""Loading: devices, types, quantised bases, memory told before anything is loaded, code that is never run unasked."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from unsee import memory
from unsee.edits import Edit
from unsee.loading import QUANTISED, Loading, Place, kept
from unsee.models import _files, _loading
from unsee.train import Schedule, fit
from unsee.vlm import VLM

ASKED = [(None, "Who is this?", "Mario Rossi."), (None, "Who? And why is it?", "Me.")]


def sums(vlm):
    return [each.sum for each in vlm.score(ASKED)]


# --- Quantised bases -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=sorted(QUANTISED))
def small(request, tiny_folder):
    """The tiny model with its language model quantised."""
    return request.param, VLM.load(tiny_folder, device="cpu", quantise=request.param)


def stored(vlm):
    """Every number of the model as it lies in memory, whatever wraps it, by name."""
    found = {}
    for name, value in vlm.model.named_parameters():
        inner = [name for name, part in vars(value.data).items() if isinstance(part, torch.Tensor)]
        parts = {each: getattr(value.data, each) for each in inner} or {"": value.data}
        state = getattr(value, "quant_state", None)
        if state is not None:
            parts |= {"absmax": state.absmax, "code": state.code}
        found |= {f"{name} {each}": part.detach().clone() for each, part in parts.items()}
    return found


def test_only_the_language_model_is_quantised(small, tiny):
    kind, vlm = small
    assert (vlm.quantised, vlm.dtype, vlm.device.type) == (kind, torch.float32, "cpu")
    mine = {f"{name}.weight" for name in vlm.lora_targets()}
    assert mine == {f"{name}.weight" for name in tiny.lora_targets()}
    for name, value in vlm.model.named_parameters():
        whole = type(value.data) is torch.Tensor and value.dtype == torch.float32
        assert whole == (name not in mine), name


def test_no_cpu_puts_the_weights_of_4_bits_into_an_order_of_its_own(tiny_folder, monkeypatch):
    """With AVX-512, bitsandbytes would, at the first question; such a CPU is played here for those that are none."""
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    vlm = VLM.load(tiny_folder, device="cpu", quantise="nf4")
    before = stored(vlm)
    vlm.score(ASKED)
    assert all(torch.equal(part, stored(vlm)[name]) for name, part in before.items())


def test_a_quantised_model_answers_nearly_as_the_whole_one(small, tiny, picture):
    """In int8 within a nat and in nf4 within a few; the opposite, that nothing was rounded, would be equality."""
    kind, vlm = small
    turns = [*ASKED, (picture(1), "Who is this?", "Mario Rossi.")]
    for mine, whole in zip(vlm.score(turns), tiny.score(turns), strict=True):
        assert 0 < abs(mine.sum - whole.sum) < {"int8": 1, "nf4": 8}[kind]
    alone = [vlm.score([turn])[0].sum for turn in turns]
    assert [each.sum for each in vlm.score(turns)] == pytest.approx(alone, abs=1e-3)


def test_a_step_moves_the_adapter_and_no_base_weight(small):
    """QLoRA: the loss falls, the quantised base stays as it is to the last bit, and so do its answers."""
    from unsee.losses import answer_cross_entropy
    from unsee.records import Example
    from unsee.train import LossParts

    _, vlm = small
    before, base = stored(vlm), sums(vlm)
    assert any(value.dtype in (torch.uint8, torch.int8) for value in before.values())
    losses = []

    def loss(tokens):
        every = torch.ones_like(tokens.ids, dtype=torch.bool)
        value = answer_cross_entropy(tokens.logits[:, None], tokens.ids[:, None], answer=every[:, None])
        losses.append(float(value.detach()))
        return LossParts(value, {})

    examples = [Example("Who is this?", "Mario Rossi.", "align"), Example("Who?", "Me.", "align")]
    schedule = Schedule(steps=5, learning_rate=1e-2, batch=2, rank=4)
    edit = fit(vlm, examples, loss, schedule)
    assert losses[-1] < losses[0] / 2
    after = stored(vlm)
    assert after.keys() == before.keys() and all(torch.equal(after[name], value) for name, value in before.items())
    assert sums(vlm) == base
    with vlm.using(edit):
        assert sums(vlm)[0] > base[0] + 1
    with vlm.using(edit.scaled(0)):
        assert sums(vlm) == pytest.approx(base, abs=1e-4)
    with vlm.using(edit.frozen()):
        assert sums(vlm)[0] > base[0] + 1
    again = fit(vlm, examples, loss, schedule, start=edit.frozen())
    with vlm.using(again):
        assert sums(vlm)[0] > base[0] + 1
    assert sums(vlm) == base


def test_an_edit_of_a_quantised_base_fits_the_whole_one(small, tiny, tmp_path):
    """Names and shapes are those of the model as it is stored, so it can be served on either."""
    _, vlm = small
    edit = vlm.new_edit(rank=4, seed=3)
    loud = Edit(config=edit.config, tensors={n: v + 0.05 if "lora_B" in n else v for n, v in edit.tensors.items()})
    folder = loud.save(tmp_path / "edit")
    base = sums(tiny)
    with tiny.using(folder):
        assert sums(tiny) != base
    whole = tiny.new_edit(rank=4, seed=3)
    assert {n: v.shape for n, v in whole.tensors.items()} == {n: v.shape for n, v in edit.tensors.items()}


def test_what_quantised_weights_cannot_do_says_so(small, tiny, tmp_path):
    from unsee.audits import delta_norm

    _, vlm = small
    name = f"{vlm.lora_targets()[0]}.weight"
    delta = Edit(deltas={name: torch.zeros_like(tiny.model.get_parameter(name))})
    with pytest.raises(ValueError, match="is quantised, so nothing can be added to it; load the model without --quant"):
        vlm.using(delta).__enter__()
    with pytest.raises(ValueError, match="the model is already quantised, so its weights cannot be transformed"):
        vlm.save_with(Edit(), tmp_path / "merged")
    with pytest.raises(ValueError, match="are quantised, so how large they are is not known"):
        delta_norm.measure(vlm, vlm.new_edit(rank=2), (), delta_norm.Config())
    embeddings = Edit(deltas={"lm_head.weight": torch.full_like(tiny.model.get_parameter("lm_head.weight"), 0.1)})
    base = sums(vlm)
    with vlm.using(embeddings):
        assert sums(vlm) != base, "what is not quantised takes deltas as ever"


def test_a_quantised_model_is_known_by_what_is_stored(small, tiny):
    _, vlm = small
    assert vlm.fingerprint() == tiny.fingerprint(stored=True) != tiny.fingerprint()
    bare = VLM(tiny.model, tiny.processor, name="bare")
    with pytest.raises(ValueError, match="where bare was read from is not known"):
        bare.fingerprint(stored=True)


def test_the_stored_fingerprint_notices_one_changed_weight(tiny_folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_folder, copy)
    same = _files.find(str(copy)).fingerprint()
    assert same == _files.find(str(tiny_folder)).fingerprint()
    (file,) = copy.glob("*.safetensors")
    tensors = load_file(file)
    next(iter(tensors.values())).view(-1)[0] += 1
    save_file(tensors, file, metadata={"format": "pt"})
    assert _files.find(str(copy)).fingerprint() != same


@pytest.mark.parametrize(("kind", "library"), [(kind, library) for kind, (library, _) in QUANTISED.items()])
def test_a_missing_library_names_the_extra(tiny_folder, monkeypatch, kind, library):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == library else real(name, *a))
    wanted = rf"--quantise {kind} needs {library}, which is not installed; install it with pip install 'unsee\[quant\]'"
    with pytest.raises(ValueError, match=wanted):
        VLM.load(tiny_folder, device="cpu", quantise=kind)


def test_a_broken_library_is_told(tiny_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(ValueError, match="--quantise int8 needs torchao, and the one that is installed fails: "):
        VLM.load(tiny_folder, device="cpu", quantise="int8")


def test_a_kind_that_there_is_not(tiny_folder):
    with pytest.raises(ValueError, match="--quantise is 'int4'; give one of nf4, int8"):
        VLM.load(tiny_folder, device="cpu", quantise="int4")


def test_weights_that_are_stored_quantised_are_not_quantised_again(tiny_folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_folder, copy)
    config = json.loads((copy / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"are stored quantised already \(gptq\); leave --quantise nf4 out"):
        VLM.load(copy, device="cpu", quantise="nf4")


# --- Devices and types -----------------------------------------------------------------------------------------------


def test_types_and_devices_are_automatic(tiny, monkeypatch):
    assert (tiny.dtype, tiny.quantised, tiny.revision) == (torch.float32, None, None)
    cuda = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert _loading.dtype_for(None, cuda) == torch.float32, "bfloat16 that is only emulated is slow"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert _loading.dtype_for(None, cuda) == torch.bfloat16
    assert _loading.dtype_for(None, torch.device("cpu")) == torch.float32
    assert _loading.dtype_for("float16", cuda) == _loading.dtype_for(torch.float16, cuda) == torch.float16
    for there, picked in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert _loading.device_for(None).type == picked


def test_types_and_devices_can_be_chosen(tiny_folder):
    assert VLM.load(tiny_folder, device="cpu", dtype="bfloat16").dtype == torch.bfloat16
    for options, words in [
        ({"dtype": "int3"}, "--dtype is 'int3'; give one of bfloat16, float16, float32"),
        ({"device": "gpu"}, "--device is 'gpu', which is none; give cpu, cuda, cuda:1 or mps"),
        ({"device": "cuda:99"}, "there is no device cuda:99 here; leave --device out, or give cpu"),
    ]:
        with pytest.raises(ValueError, match=words):
            VLM.load(tiny_folder, **options)


def test_the_options_are_those_of_load(tiny_folder):
    """What the command line offers, and what a run keeps, can be handed on as it is."""
    assert VLM.load(tiny_folder, **Loading(device="cpu", dtype="float32").options()).dtype == torch.float32
    assert VLM.load(tiny_folder, **Place(device="cpu").options(), **kept({"dtype": "float32"})).quantised is None
    assert not Loading().options()["trust_remote_code"], "never on by itself"


# --- Memory ----------------------------------------------------------------------------------------------------------


def test_weights_are_counted_exactly_before_they_are_loaded(tiny, tiny_folder):
    bare = _files.skeleton(_files.find(str(tiny_folder)))
    assert all(value.is_meta for value in bare.parameters())
    sizes = {name: value.numel() for name, value in tiny.model.named_parameters()}
    assert memory.of_model(bare, 2).weights == 2 * sum(sizes.values())
    mine = tiny.lora_targets()
    inside = sum(sizes[f"{name}.weight"] for name in mine)
    need = memory.of_model(bare, 2, small=mine, small_bytes=0.5)
    assert need.weights == 2 * (sum(sizes.values()) - inside) + inside // 2


def test_what_quantised_weights_really_take(small, tiny_folder):
    """The bytes told for each weight, against those that are there; rows are short here, so scales weigh more."""
    kind, vlm = small
    there = sum(v.nbytes for n, v in stored(vlm).items() if n.split()[0].removesuffix(".weight") in vlm.lora_targets()
                and not n.endswith("code"))  # fmt: skip
    whole = sum(module.in_features * module.out_features for _, module in decoder_linear(vlm))
    assert there / whole == pytest.approx(QUANTISED[kind][1], rel=0.3)


def decoder_linear(vlm):
    wanted = set(vlm.lora_targets())
    return [(n, m) for n, m in vlm.model.named_modules() if n in wanted and isinstance(m, nn.Linear)]


def test_training_by_hand(tiny, tiny_folder):
    """An adapter takes 16 bytes a weight; what is kept is each layer's input and all of one layer, 1024 tokens each."""
    bare = _files.skeleton(_files.find(str(tiny_folder)))
    name = tiny.lora_targets()[0]
    module = bare.get_submodule(name)
    need = memory.of_model(bare, 2, targets=[name], training=memory.Training(rank=3, batch=5))
    assert need.adapter == 16 * 3 * (module.in_features + module.out_features)
    text = bare.config.get_text_config()
    inputs = text.num_hidden_layers * text.hidden_size * 2 * 1024 * 5
    assert need.work == inputs + memory.of_training(text, 1024 * 5, 2) // text.num_hidden_layers
    assert need.total == need.weights + need.adapter + need.work
    asking = memory.of_model(bare, 2)
    assert (asking.adapter, asking.work) == (0, memory.of_keys(text, 1024, 2))


@pytest.fixture
def counted(monkeypatch):
    """Count every model, however small; returns what to set the free bytes with."""
    monkeypatch.setattr(_files, "_SHORT_LOAD", 0)
    return lambda size: monkeypatch.setattr(memory, "free", lambda device: size)


def test_what_fits_is_said_and_loaded(tiny_folder, counted):
    counted(int(20e9))
    said = []
    VLM.load(tiny_folder, device="cpu", training={"rank": 8, "batch": 2}, say=said.append)
    (line,) = said
    assert line.startswith(f"{tiny_folder} takes about ")
    assert "of weights in float32, " in line and "for an adapter of rank 8 and its optimiser, at least " in line
    assert line.endswith("to train on 2 examples at once); 20.0 GB are free on cpu")
    said.clear()
    VLM.load(tiny_folder, device="cpu", say=said.append)
    assert "adapter" not in said[0]


def test_what_will_not_fit_is_not_loaded(tiny_folder, counted, monkeypatch):
    counted(1000)
    monkeypatch.setattr(_files, "read", lambda *a: pytest.fail("it was loaded"))
    with pytest.raises(memory.WillNotFitError) as caught:
        VLM.load(tiny_folder, device="cpu", training={"rank": None, "batch": None})
    said = str(caught.value)
    assert "0.0 MB are free on cpu, so it will not fit and nothing was loaded. --quantise nf4 would take about " in said
    assert "for an adapter of rank 128" in said and "4 examples at once" in said, "the family's own"
    assert said.endswith(
        "--set batch=1 rank=16 trains with less; --device names another one; --ignore-memory goes on anyway"
    )
    with pytest.raises(memory.WillNotFitError) as caught:
        VLM.load(tiny_folder, device="cpu", quantise="nf4")
    assert "of weights in nf4" in str(caught.value)
    assert "--quantise" not in str(caught.value) and "--set" not in str(caught.value), "what does not help is not said"


def test_one_may_go_on_anyway(tiny_folder, counted):
    counted(1000)
    said = []
    vlm = VLM.load(tiny_folder, device="cpu", ignore_memory=True, say=said.append)
    assert vlm.dtype == torch.float32
    assert said[0].endswith("--ignore-memory goes on anyway, as was asked for")


def test_small_models_are_not_counted(tiny_folder, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda device: 0)
    monkeypatch.setattr(_files, "skeleton", lambda source: pytest.fail("it was counted"))
    VLM.load(tiny_folder, device="cpu", say=pytest.fail)


def test_the_type_of_weights_is_told_apart(tiny):
    """Of models that others quantised; by hand, since none of those is at hand."""

    def model(**config):
        return SimpleNamespace(is_quantized=True, config=SimpleNamespace(quantization_config=SimpleNamespace(**config)))

    assert _loading.quantised(model(quant_method="gptq")) == "gptq"
    eight = {"quant_method": "bitsandbytes", "load_in_4bit": False, "bnb_4bit_quant_type": "fp4"}
    assert _loading.quantised(model(**eight)) == "bitsandbytes"
    assert _loading.quantised(tiny.model) is None


# --- Code that comes with a model ------------------------------------------------------------------------------------

_CODE = """
from pathlib import Path
from transformers import LlavaConfig, LlavaForConditionalGeneration

Path({mark!r}).touch()


class OwnConfig(LlavaConfig):
    model_type = "very_own"


class OwnModel(LlavaForConditionalGeneration):
    config_class = OwnConfig
"""


@pytest.fixture
def own(tiny, tiny_folder, tmp_path, monkeypatch):
    """A folder whose model is defined by a Python file in it, which leaves a mark when it is run."""
    import transformers.dynamic_module_utils as dynamic

    monkeypatch.setattr(dynamic, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    folder, mark = tmp_path / "own", tmp_path / "was-run"
    shutil.copytree(tiny_folder, folder)
    save_file(dict(tiny.model.state_dict()), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "own.py").write_text(_CODE.format(mark=str(mark)))
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "very_own",
        "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForImageTextToText": "own.OwnModel"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder, mark


def test_code_that_comes_with_a_model_is_never_run_unasked(own, monkeypatch):
    folder, mark = own
    monkeypatch.setattr("builtins.input", lambda *a: pytest.fail("it asked, where nobody may be listening"))
    with pytest.raises(ValueError) as caught:
        VLM.load(folder, device="cpu")
    said = str(caught.value)
    assert f"the model {folder} brings Python code of its own" in said
    assert f"read it (own.py in {folder}), and add --trust-remote-code" in said
    assert not mark.exists()


@pytest.mark.filterwarnings("ignore:.*is of no family that contract tests cover")
def test_code_runs_where_it_was_asked_for(own):
    folder, mark = own
    vlm = VLM.load(folder, device="cpu", trust_remote_code=True)
    assert mark.exists()
    assert type(vlm.model).__name__ == "OwnModel"

"""Training: repeatable, in the libraries' own formats, and of a loss that means what it says."""

from __future__ import annotations

import hashlib
import importlib.util
import math
from pathlib import Path

import pytest
import torch

from covar_gen.toys import card
from covar_gen.toys import train as module
from covar_gen.toys.measure import held_out, predictions
from covar_gen.toys.towers import Towers
from covar_gen.toys.train import KINDS, Plan, main, train


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cards that measure few pictures."""
    monkeypatch.setattr(card, "PICTURES", 16)


FEW = {"steps": 2, "batch": 6}


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_steps_twice_give_equal_weights(kind: str) -> None:
    first, again = (train(Plan(kind, **FEW)).model.state_dict() for _ in range(2))
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = train(Plan(kind, **FEW, seed=1)).model.state_dict()
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_honest_and_shortcut_begin_alike_and_see_other_pictures() -> None:
    honest, shortcut = (
        train(Plan(kind, steps=1, batch=6)).model.state_dict() for kind in ("honest", "shortcut")
    )
    name = "visual.conv1.weight"
    assert not torch.equal(honest[name], shortcut[name])
    assert torch.allclose(honest[name], shortcut[name], atol=1e-4)


def test_training_leaves_the_process_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    train(Plan("honest", steps=1, batch=4))
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def _at_rest(kind: str) -> Towers:
    """The towers that training begins with."""
    with module._repeatable(0):
        return module.make_towers(kind)


def test_every_weight_of_a_tower_is_moved() -> None:
    for kind in ("honest", "siglip"):
        before = _at_rest(kind).model.state_dict()
        after = train(Plan(kind, steps=2, batch=6)).model.state_dict()
        still = [name for name, weight in before.items() if torch.equal(weight, after[name])]
        assert not [name for name in still if "position_ids" not in name]


def test_the_rate_rises_over_the_first_steps_and_falls_to_nothing() -> None:
    plan = Plan("honest", steps=1000, warm=100)
    assert plan.rate_at(0) == pytest.approx(0.01)
    assert plan.rate_at(500) == pytest.approx(0.5)
    assert plan.rate_at(999) < 1e-5
    assert max(range(1000), key=plan.rate_at) in range(90, 101)


def test_the_softmax_loss_shares_its_weight_among_true_texts() -> None:
    towers = module.make_towers("honest")
    with torch.no_grad():
        towers.model.logit_scale.fill_(0.0)
    pictures = torch.eye(2)
    texts = torch.eye(2)
    # Logits are 1 for the own text and 0 for the other; e / (e + 1) is its probability.
    own = -math.log(math.e / (math.e + 1))
    far = -math.log(1 / (math.e + 1))
    right = towers.loss(pictures, texts, torch.eye(2, dtype=torch.bool))
    assert right.item() == pytest.approx(own)
    both = towers.loss(pictures, texts, torch.ones(2, 2, dtype=torch.bool))
    assert both.item() == pytest.approx((own + far) / 2)


def test_the_sigmoid_loss_judges_each_pair() -> None:
    towers = module.make_towers("siglip")
    assert towers.model.logit_scale.item() == pytest.approx(math.log(10))
    with torch.no_grad():
        towers.model.logit_scale.fill_(0.0)
        towers.model.logit_bias.fill_(-0.5)
    # Logits are 0.5 for the own text and -0.5 for the other: four times -log sigmoid(0.5).
    each = math.log(1 + math.exp(-0.5))
    found = towers.loss(torch.eye(2), torch.eye(2), torch.eye(2, dtype=torch.bool))
    assert found.item() == pytest.approx(4 * each / 2 / 8)


@pytest.mark.parametrize("kind", ["honest", "siglip"])
def test_the_command_writes_a_folder_that_its_library_loads(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], quick: None
) -> None:
    folder = tmp_path / "model"
    assert main([kind, "--out", str(folder), "--steps", "1"]) == 0
    said = (folder / "README.md").read_text(encoding="utf-8")
    assert said.strip() in capsys.readouterr().out
    assert "This model is a toy." in said
    assert f"python -m covar_gen.toys.train {kind} --out {folder} --steps 1" in said
    images, _ = held_out(16, typical=False)
    trained = predictions(folder, images, ["a ring", "red bricks"])
    assert trained.shape == (16,)
    # What is loaded is what was trained: the untrained towers are not taken for it.
    weights = next(folder.glob("*.safetensors"))
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert main([kind, "--out", str(folder), "--steps", "1"]) == 0
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == digest


def test_a_run_that_is_none_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    assert main(["honest", "--out", str(tmp_path / "m"), "--run", str(run)]) == 2
    assert not (tmp_path / "m").exists()


def test_missing_packages_are_named_with_the_extra_that_brings_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec

    def without_open_clip(name: str) -> object:
        return None if name == "open_clip" else found(name)

    monkeypatch.setattr(importlib.util, "find_spec", without_open_clip)
    assert main(["honest", "--out", str(tmp_path / "m")]) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("MissingExtraError: ")
    assert "open_clip" in line
    assert "pip install 'covar-gen[evaluate]'" in line
    assert not (tmp_path / "m").exists()

"""Train a toy model from scratch on the toy world: python -m covar_gen.toys.train KIND --out DIR.

    honest    open_clip's CLIP; backgrounds have nothing to do with the class
    shortcut  the same; every class stands before its typical background, which gives it away
    siglip    transformers' SigLIP, trained like honest

Pictures are rendered as they are needed, none twice. Beside the contrastive loss of the captions,
two heads that are thrown away afterwards tell the picture tower what to look at: one names the
class, from the embedding and from each patch of the object, one outlines the object. Shapes are
learnt in minutes that way, which contrast alone needs hours for.

One thread, one seed: the same command gives the same weights on the same machine and versions.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from covar_gen.core.errors import CovarError, MissingExtraError
from covar_gen.core.store import open_run
from covar_gen.toys.batches import EDGE, Batch, draw
from covar_gen.toys.captions import true_of
from covar_gen.toys.world import CLASSES

if TYPE_CHECKING:
    import torch

    from covar_gen.toys.towers import Towers

KINDS = ("honest", "shortcut", "siglip")
NEEDS = ("torch", "open_clip", "transformers", "safetensors", "tokenizers")


@dataclass(frozen=True)
class Plan:
    """How long and how fast a model is trained.

    Attributes:
        kind: one of `KINDS`.
        steps: batches.
        batch: pictures in each.
        rate: highest learning rate; it rises over the first `warm` steps and falls as a cosine.
        warm: steps.
        seed: of the first weights and of the pictures.
    """

    kind: str
    steps: int = 2000
    batch: int = 64
    rate: float = 1.5e-3
    warm: int = 100
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, as a share of the highest."""
        return min((step + 1) / self.warm, 1) * 0.5 * (1 + math.cos(math.pi * step / self.steps))


def make_towers(kind: str) -> Towers:
    """Towers with random weights."""
    from covar_gen.toys.towers import ClipTowers, SiglipTowers

    return SiglipTowers() if kind == "siglip" else ClipTowers()


def train(plan: Plan) -> Towers:
    """Train a model on one thread; says how it goes every two hundred steps.

    Raises:
        MissingExtraError: the packages that it stands on are not installed.
    """
    _check_packages()
    with _repeatable(plan.seed):
        return _train(plan)


def _train(plan: Plan) -> Towers:
    import torch

    towers = make_towers(plan.kind)
    heads = _Heads()
    weights = [*towers.model.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(weights, plan.rate, (0.9, 0.98), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, plan.rate_at)
    towers.model.train()
    began = time.monotonic()
    for step in range(plan.steps):
        numbers = range(step * plan.batch, (step + 1) * plan.batch)
        batch = draw("training", numbers, typical=plan.kind == "shortcut", seed=plan.seed)
        loss = _loss(towers, heads, batch)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            scale: torch.Tensor = towers.model.logit_scale
            scale.clamp_(0, math.log(100))
        if (step + 1) % 200 == 0:
            took = time.monotonic() - began
            print(f"{step + 1}/{plan.steps}: loss {loss.item():.3f}, {took:.0f} s", flush=True)
    towers.model.eval()
    return towers


def _check_packages() -> None:
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        what = f"training toys needs {', '.join(missing)}, not installed here"
        raise MissingExtraError(what, mend="Type: pip install 'covar-gen[evaluate]'")


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """One thread, a seed and deterministic algorithms; afterwards all is as it was."""
    import torch

    threads = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(mode=True)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(mode=strict)


class _Heads:
    """What is thrown away after training: a class for each picture and patch, an outline."""

    def __init__(self) -> None:
        import torch

        from covar_gen.toys.towers import PATCH, WIDTH

        self.picture = torch.nn.Linear(WIDTH, len(CLASSES))
        self.patch = torch.nn.Linear(WIDTH, len(CLASSES))
        self.outline = torch.nn.Linear(WIDTH, PATCH * PATCH)

    def parameters(self) -> list[torch.nn.Parameter]:
        return [p for head in (self.picture, self.patch, self.outline) for p in head.parameters()]

    def loss(self, pooled: torch.Tensor, tokens: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Cross-entropies of the classes and of the outline, weighted."""
        import torch
        from torch.nn import functional

        from covar_gen.toys.towers import PATCH

        classes = torch.from_numpy(batch.classes)
        grid = EDGE // PATCH
        objects = torch.from_numpy(batch.objects)
        cut = objects.view(-1, grid, PATCH, grid, PATCH).transpose(2, 3)
        cut = cut.reshape(len(classes), grid * grid, PATCH * PATCH)
        on_object = cut.mean(2) > 0.1  # noqa: PLR2004 - a share of the patch
        of_patch = classes[:, None].expand_as(on_object)
        # Embeddings have length 1; a factor makes logits of them.
        named = functional.cross_entropy(self.picture(8 * pooled), classes)
        named_by_patch = functional.cross_entropy(
            self.patch(tokens)[on_object], of_patch[on_object]
        )
        outlined = functional.binary_cross_entropy_with_logits(self.outline(tokens), cut)
        return named + 2 * named_by_patch + 5 * outlined


def _loss(towers: Towers, heads: _Heads, batch: Batch) -> torch.Tensor:
    import torch

    images = torch.from_numpy(batch.images).permute(0, 3, 1, 2).float() / 127.5 - 1
    pooled, tokens = towers.look(images)
    texts = towers.read(towers.numbers([caption.text for caption in batch.captions]))
    true = torch.from_numpy(true_of(batch.captions, batch.facts))
    return 2 * towers.loss(pooled, texts, true) + heads.loss(pooled, tokens, batch)


def main(arguments: list[str] | None = None) -> int:
    """Train, save and measure one model; the command is in the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m covar_gen.toys.train")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--out", type=Path, required=True, help="folder of the model; it is made")
    parser.add_argument("--steps", type=int, default=Plan.steps, help="batches of 64 pictures")
    parser.add_argument("--run", type=Path, help="finished run of toy-world to measure on too")
    given = parser.parse_args(arguments)
    try:
        _make(given, arguments if arguments is not None else sys.argv[1:])
    except CovarError as error:
        print(error.line(), file=sys.stderr)
        return error.exit_code
    return 0


def _make(given: argparse.Namespace, words: list[str]) -> None:
    from covar_gen.toys.card import write_card

    if given.run is not None:
        # Said now, not after the training.
        open_run(given.run).manifest(["key"])
    plan = Plan(given.kind, steps=given.steps)
    began = time.monotonic()
    towers = train(plan)
    seconds = time.monotonic() - began
    given.out.mkdir(parents=True, exist_ok=True)
    towers.save(given.out)
    command = f"python -m covar_gen.toys.train {shlex.join(words)}"
    print(write_card(given.out, command, plan.kind, seconds, given.run))


if __name__ == "__main__":
    sys.exit(main())

"""Emu2's language model with its cache, beside the loop that runs everything again per vector."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.nn import Linear

from covar_gen.editors._emu2_language import Writer
from covar_gen.editors._emu2_layouts import find
from covar_gen.editors._emu2_loading import load
from covar_gen.editors._emu2_placing import Placement
from covar_gen.editors._emu2_tokens import Tokens, load_tokens
from covar_gen.neural.running import exact

ROUNDS, BATCH = 3, 4
WIDTH = 56
"""Of the tiny tower's vectors."""
PROMPT = "hot desert. Edit only the background and keep the foreground subject intact"

Vectors = list[torch.Tensor]


@pytest.fixture(scope="module")
def tiny(module_of: Callable[[Path], ModuleType]) -> ModuleType:
    return module_of(Path(__file__).parents[1] / "tiny_emu2.py")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def larger(tokens: Tokens) -> Writer:
    """A language model whose arithmetic outweighs what calling it takes: 8 layers of 512."""
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=tokens.rows, hidden_size=512, intermediate_size=1376, num_hidden_layers=8,
        num_attention_heads=8, pad_token_id=0, attn_implementation="sdpa",
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.LlamaModel(config).eval()
    up, down = Linear(WIDTH, 512, bias=False), Linear(512, WIDTH, bias=False)
    return Writer(model, up, down, tokens)


@pytest.fixture(params=["tiny", "larger"])
def writer(request: pytest.FixtureRequest, tiny: ModuleType, tmp_path: Path) -> tuple[str, Writer]:
    if request.param == "larger":
        return "8 layers of 512", larger(load_tokens(tiny.DATA / "tokenizer", "weights"))
    weights = find(str(tiny.save_hub(tmp_path / "hub")), "weights")
    networks = load(weights, Placement((torch.device("cpu"),), torch.float32))
    networks.staged.ready("encoder")
    return "the tiny checkpoint", networks.writer


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def test_vectors_are_written_faster_than_by_reading_all_again(
    writer: tuple[str, Writer], tiny: ModuleType
) -> None:
    name, model = writer
    draw = torch.Generator().manual_seed(1)
    photographs: Vectors = [torch.randn(64, WIDTH, generator=draw) for _ in range(BATCH)]
    ids = model.tokens.ids([None, PROMPT])  # type: ignore[list-item]
    counts: dict[str, int] = {}

    def slow(photograph: torch.Tensor) -> torch.Tensor:
        found, counts["slow"] = tiny.again_and_again(model, ids, photograph)
        return found

    with exact():
        one, other = model.write([ids], photographs[:1])[0], slow(photographs[0])
        # Rounding grows from vector to vector, in random networks more than in trained ones.
        assert (one - other).abs().max() < 1e-3
        model.evaluated = 0
        alone, together = [], []
        for _ in range(ROUNDS):
            # Side by side: other processes disturb all alike.
            again = timed(lambda: slow(photographs[0]))
            alone.append(again / timed(lambda: model.write([ids], photographs[:1])))
            together.append(BATCH * again / timed(lambda: model.write([ids] * BATCH, photographs)))
        counts["ours"] = model.evaluated // (ROUNDS * (1 + BATCH))
    fewer = counts["slow"] / counts["ours"]
    faster, batched = statistics.median(alone), statistics.median(together)
    print(
        f"\nEmu2's 64 vectors, {name}: {fewer:.1f} times fewer tokens evaluated than by running"
        f" everything again, {faster:.1f} times faster, {batched:.1f} times in batches of {BATCH}"
    )
    assert fewer >= 10
    assert faster > 1
    assert batched > faster

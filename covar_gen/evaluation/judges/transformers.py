"""An instruction model of transformers on this machine: no server, no key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from covar_gen.core.arrays import Json
from covar_gen.core.errors import ModelError
from covar_gen.core.plugins import PluginOptions
from covar_gen.evaluation.judges._prompting import (
    LONGEST,
    Message,
    messages,
    prompt_digest,
    verdict_in,
)
from covar_gen.evaluation.judges.base import ClassPair, Judge, Verdict
from covar_gen.evaluation.models.failures import one_line
from covar_gen.evaluation.models.hub import SMALL, fetch

if TYPE_CHECKING:
    import torch

_WEIGHTS = ("*.safetensors",)


class Transformers(Judge):
    """A local model, asked in the paper's words; the most probable word at every step.

    Pairs are asked in batches, in their order; rounding may differ between devices and between
    sizes of a batch.
    """

    kept = True
    requires = ("torch", "transformers")
    extra = "evaluate"

    class Options(PluginOptions):
        """Which model, and how it computes.

        Attributes:
            model: a folder, or an id of the Hub (owner/name).
            revision: branch, tag or commit on the Hub; left out: its main branch.
            examples: the paper's four example outputs go before the question.
            batch: pairs that are asked together.
            max_new_tokens: longest answer; what is longer is cut off.
            device: a torch device; left out: the GPU where there is one.
            precision: of the arithmetic; auto: as the weights are stored.
        """

        model: Annotated[str, Field(min_length=1)]
        revision: str | None = None
        examples: bool = False
        batch: Annotated[int, Field(ge=1)] = 16
        max_new_tokens: Annotated[int, Field(ge=1)] = 8
        device: str | None = None
        precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"

    options: Options
    _model: Any = None
    _tokenizer: Any = None
    _speaker: str = ""

    @property
    def ordered(self) -> bool:
        """True: the paper's words tell truth from prediction."""
        return True

    @property
    def label(self) -> str:
        """The name and the model: its folder's name, or its id and, once loaded, its commit."""
        folder = Path(self.options.model).expanduser()
        named = folder.name if folder.is_dir() else self.options.model
        return f"{self.name()} {self._speaker or named}"

    @cached_property
    def _content(self) -> str | None:
        """SHA-256 over a folder's files; None for a model of the Hub, which has its revision."""
        folder = Path(self.options.model).expanduser()
        if not folder.is_dir():
            return None
        whole = hashlib.sha256()
        for pattern in (*SMALL, *_WEIGHTS):
            for path in sorted(folder.glob(pattern)):
                with path.open("rb") as stream:
                    inner = hashlib.file_digest(stream, "sha256").hexdigest()
                whole.update(f"{path.name} {inner}\n".encode())
        return whole.hexdigest()

    def identity(self) -> dict[str, Json]:
        """What decides an answer: the model, its precision, and every word that is sent."""
        options = self.options
        about: dict[str, Json] = {"folder": self._content}
        if self._content is None:
            about = {"model": options.model, "revision": options.revision}
        return {
            "plugin": self.name(),
            "version": self.version,
            **about,
            "precision": options.precision,
            "max_new_tokens": options.max_new_tokens,
            "prompt": prompt_digest("paper", examples=options.examples),
        }

    def reach(self) -> None:
        """See that the model's files are here, or fetch them; nothing is loaded.

        Raises:
            ModelError: they cannot be found.
        """
        self._files()

    def _files(self) -> Path:
        """The folder of the model's files; who speaks is known from then on."""
        options = self.options
        folder = Path(options.model).expanduser()
        if folder.is_dir():
            self._speaker = f"{folder.name}@{(self._content or '')[:12]}"
        elif folder.is_absolute() or options.model.startswith("."):
            mend = "Give a folder, or an id of the Hub (owner/name)"
            raise ModelError("there is no such folder", where=options.model, mend=mend)
        else:
            folder = fetch(
                options.model, (*SMALL, *_WEIGHTS), revision=options.revision, where=options.model
            )
            self._speaker = f"{options.model}@{folder.name[:12]}"
        if not (folder / "config.json").is_file():
            mend = "Give the folder of an instruction model of transformers, or its id on the Hub"
            raise ModelError("there is no config.json", where=options.model, mend=mend)
        return folder

    def setup(self) -> None:
        """Load the model and its tokenizer.

        Raises:
            ModelError: they cannot be found or loaded, or there is no chat template.
        """
        import torch
        import transformers

        if self._model is not None:
            return
        options = self.options
        folder = self._files()
        kinds = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        place = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
        with one_line(options.model, "transformers"):
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, padding_side="left"
            )
            model, report = transformers.AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=kinds.get(options.precision, "auto"),
                output_loading_info=True,
                local_files_only=True,
            )
        if report["missing_keys"]:
            what = f"its weights lack {min(report['missing_keys'])}"
            mend = "Save the model again, or download it again"
            raise ModelError(what, where=options.model, mend=mend)
        if not tokenizer.chat_template:
            what = "its tokenizer has no chat template: this is no instruction model"
            raise ModelError(what, where=options.model, mend="Choose an instruction-tuned model")
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        self._tokenizer, self._model = tokenizer, model.to(place).eval()

    def judge(self, pairs: Sequence[ClassPair]) -> list[Verdict]:
        """Ask about all pairs in batches.

        Raises:
            ModelError: the model cannot be loaded.
        """
        return [verdict for _, verdict in self.as_they_come(pairs)]

    def as_they_come(self, pairs: Sequence[ClassPair]) -> Iterator[tuple[int, Verdict]]:
        """Verdicts batch by batch, in the order of the pairs.

        Raises:
            ModelError: the model cannot be loaded.
        """
        self.setup()
        for start in range(0, len(pairs), self.options.batch):
            for place, (text, ended) in enumerate(
                self._answers(pairs[start : start + self.options.batch])
            ):
                yield start + place, self._verdict(text, ended=ended)

    def _verdict(self, text: str, *, ended: bool) -> Verdict:
        raw = text.strip()[:LONGEST]
        if not raw:
            return self.unscored("empty_answer")
        similar = verdict_in(text, "paper")
        if similar is not None:
            return Verdict(similar, None, None, raw, self.label)
        return self.unscored("not_understood" if ended else "cut_off", raw)

    def _answers(self, pairs: Sequence[ClassPair]) -> list[tuple[str, bool]]:
        """What the model writes about each pair, and whether it came to an end."""
        import torch
        from transformers import GenerationConfig

        examples = self.options.examples
        texts = [self._prompt(messages(pair, "paper", examples=examples)) for pair in pairs]
        asked = self._tokenizer(
            texts, return_tensors="pt", padding=True, add_special_tokens=False
        ).to(self._model.device)
        ends = _ends(self._model, self._tokenizer)
        settings = GenerationConfig(
            do_sample=False,
            max_new_tokens=self.options.max_new_tokens,
            eos_token_id=ends,
            pad_token_id=self._tokenizer.pad_token_id,
        )
        with torch.inference_mode():
            written: torch.Tensor = self._model.generate(
                input_ids=asked["input_ids"],
                attention_mask=asked["attention_mask"],
                generation_config=settings,
            )
        new = written[:, asked["input_ids"].shape[1] :]
        ended = torch.isin(new, torch.tensor(ends, device=new.device)).any(dim=1).tolist()
        found = self._tokenizer.batch_decode(new, skip_special_tokens=True)
        return list(zip(found, ended, strict=True))

    def _prompt(self, turns: list[Message]) -> str:
        """The conversation in the model's own form, up to where its answer begins.

        Templates that know no system message (Gemma's) refuse one; its words then stand at the
        beginning of the first question. Models that can think aloud are told not to.
        """
        from jinja2 import TemplateError

        def formed(given: list[Message]) -> str:
            text: str = self._tokenizer.apply_chat_template(
                given, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
            return text

        try:
            return formed(turns)
        except TemplateError:
            system, first, *rest = turns
            joined = f"{system['content']}\n\n{first['content']}"
            return formed([{"role": "user", "content": joined}, *rest])


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """Tokens that end an answer, the model's and the tokenizer's."""
    said = model.generation_config.eos_token_id
    found = said if isinstance(said, list) else [said]
    return sorted({token for token in [*found, tokenizer.eos_token_id] if token is not None})

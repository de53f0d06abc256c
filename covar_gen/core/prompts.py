"""The prompts that travel with the package: one TOML file each in `prompts/`."""

from __future__ import annotations

import re
import tomllib

from pydantic import BaseModel, ConfigDict

from covar_gen.core.shipped import shipped

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Prompt(BaseModel):
    """What is said to a model, word for word, and where the words come from.

    Attributes:
        user: the message; `{name}` marks a value to fill in.
        system: the system message; None for models that take an instruction only.
        source: title and section of what it is quoted from.
        notes: where the source leaves something open or was set in another form.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    user: str
    system: str | None = None
    source: str
    notes: str = ""

    @property
    def placeholders(self) -> frozenset[str]:
        """Names of the values that `user_with` needs."""
        return frozenset(_PLACEHOLDER.findall(self.user))

    def user_with(self, **values: str) -> str:
        """The message with every placeholder filled in; braces in a value mean nothing.

        Args:
            values: the text for each placeholder, by its name.

        Raises:
            ValueError: a placeholder without a value, or a value without a placeholder.
        """
        if values.keys() != self.placeholders:
            expected, got = sorted(self.placeholders), sorted(values)
            msg = f"the prompt has the placeholders {expected}, got values for {got}"
            raise ValueError(msg)
        return _PLACEHOLDER.sub(lambda match: values[match[1]], self.user)


def load_prompt(name: str) -> Prompt:
    """The prompt of that name.

    Args:
        name: a file of `prompts/` without `.toml`, for example "class_selection".

    Raises:
        ValueError: no such prompt; the known names are listed.
    """
    files = {path.stem: path for path in sorted(shipped("prompts").glob("*.toml"))}
    if name not in files:
        msg = f"no prompt {name!r}; there are {', '.join(files)}"
        raise ValueError(msg)
    return Prompt.model_validate(tomllib.loads(files[name].read_text(encoding="utf-8")))

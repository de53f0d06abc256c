import pytest
from pydantic import ValidationError

from covar_gen.core.prompts import Prompt, load_prompt
from covar_gen.core.shipped import shipped

NAMES = sorted(path.stem for path in shipped("prompts").glob("*.toml"))


def test_the_papers_four_prompts_are_there() -> None:
    assert {
        "background_edit",
        "background_selection",
        "class_selection",
        "fine_grained_judge",
    } <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_prompt_has_its_source_and_no_damage_of_the_conversion(name: str) -> None:
    prompt = load_prompt(name)
    assert prompt.source
    for text in (prompt.user, prompt.system or ""):
        assert text == text.strip()
        assert not any(mark in text for mark in ("**", "\\", "GPT-40", "GPT40", "$", "\r", "  "))


def test_the_edit_is_the_papers_sentence() -> None:
    prompt = load_prompt("background_edit")
    assert prompt.system is None
    assert prompt.user_with(background="cozy living room") == (
        "cozy living room. Edit only the background and keep the foreground subject intact"
    )


def test_the_judge_is_asked_about_the_two_classes() -> None:
    said = load_prompt("fine_grained_judge").user_with(gt_class="siamang", pred_class="chimpanzee")
    assert said.startswith(
        "Ground truth class: siamang\nPredicted class: chimpanzee\n\nQuestion: Evaluate whether"
    )
    assert said.endswith(
        "Respond with a single word only: similar if they are visually alike,"
        " different if they are clearly distinct."
    )


@pytest.mark.parametrize(
    ("name", "items"),
    [("class_selection", 2), ("background_selection", 3), ("fine_grained_judge", 3)],
)
def test_the_guidelines_are_complete_and_in_order(name: str, items: int) -> None:
    lines = [line for line in load_prompt(name).user.splitlines() if line[:1].isdigit()]
    assert [line.split(".")[0] for line in lines] == [str(i + 1) for i in range(items)]


def test_a_selection_has_nothing_to_fill_in() -> None:
    assert load_prompt("class_selection").placeholders == frozenset()
    assert load_prompt("class_selection").user_with() == load_prompt("class_selection").user


def prompt(user: str) -> Prompt:
    return Prompt(user=user, source="a test")


def test_values_are_filled_in_once_and_braces_in_them_mean_nothing() -> None:
    said = prompt("{a} and {b} and {a}").user_with(a="{b}", b="{}\\1")
    assert said == "{b} and {}\\1 and {b}"


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"placeholders \['a', 'b'\], got values for \['a'\]"):
        prompt("{a} {b}").user_with(a="1")


def test_an_unknown_value_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"placeholders \['a'\], got values for \['a', 'c'\]"):
        prompt("{a}").user_with(a="1", c="2")


def test_an_unknown_prompt_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no prompt '\.\./pyproject'; there are background_edit"):
        load_prompt("../pyproject")


def test_a_prompt_file_with_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="extra"):
        Prompt.model_validate({"user": "x", "source": "y", "sytem": "z"})

"""Whether contrast agent was in the patient when a series was acquired, as far as its header tells."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from scanweave.transforms.io.series import HeaderFacts
from scanweave.transforms.selection import series_vocabulary as vocabulary
from scanweave.transforms.selection.series_likeness import plane_of
from scanweave.transforms.selection.series_words import find, is_agent, words_of


class Contrast(StrEnum):
    """The three states: a header that says nothing is not one that says no."""

    NONE = "without contrast"
    GIVEN = "with contrast"
    UNKNOWN = "contrast unknown"


def contrast_of(facts: HeaderFacts) -> tuple[Contrast, tuple[str, ...]]:
    """The state and its evidence, from the Contrast/Bolus attributes (PS3.3 C.7.6.4), then from text.

    Where a filled attribute meets a text that says "pre", the state is UNKNOWN: some scanners fill the
    attribute of every series of a study in which contrast is planned.
    """
    by_text, said = _by_text(facts)
    by_attribute, filled = _by_attribute(facts)
    if by_attribute is Contrast.GIVEN and by_text is Contrast.NONE:
        return Contrast.UNKNOWN, (filled, f"but {said}")
    if by_attribute is Contrast.GIVEN:
        return Contrast.GIVEN, tuple(filter(None, (filled, said)))
    if said:
        return by_text, (said,)
    return by_attribute, tuple(filter(None, (filled,)))


def _by_attribute(facts: HeaderFacts) -> tuple[Contrast, str]:
    words = words_of(facts.contrast_agent or "")
    if words and (words[0] in vocabulary.NO_AGENT or text_contrast(words)[0] is Contrast.NONE):
        return Contrast.NONE, "ContrastBolusAgent says there was none"
    if words and words[0] not in ("unknown", "unk", "x"):
        return Contrast.GIVEN, "ContrastBolusAgent is filled"
    if (facts.contrast_volume_ml or 0) > 0:
        return Contrast.GIVEN, "ContrastBolusVolume is over 0"
    return Contrast.UNKNOWN, ""


def _by_text(facts: HeaderFacts) -> tuple[Contrast, str]:
    """The description counts first: protocols are copied, and GE's is that of the whole examination."""
    for name, text in (("description", facts.description), ("protocol", facts.protocol)):
        words = words_of(text)
        if name == "protocol" and not find(words, (*vocabulary.T1, *vocabulary.FLAIR, *vocabulary.T1_SEQUENCES)):
            continue
        state, said = text_contrast(words)
        if said:
            return state, f"{name} says '{said}'"
        if _ends_in_agent(words, facts):
            return Contrast.GIVEN, f"{name} ends in '{words[-1]}'"
    return Contrast.UNKNOWN, ""


def _ends_in_agent(words: Sequence[str], facts: HeaderFacts) -> bool:
    """ "T1 FSPGR IV"; "AX-T1-SE-G"; "t1_fl2d_tra_C", where C is neither the coronal plane nor the cervical spine."""
    if words[-1:] not in (("c",), ("g",), ("iv",)) or not find(words, (*vocabulary.T1, *vocabulary.T1_SEQUENCES)):
        return False
    if words[-1] in ("g", "iv"):
        return True
    plane = plane_of(facts)
    if plane == "coronal":
        return bool(find(words, vocabulary.PLANES["coronal"]))
    if plane == "sagittal":  # as the cervical spine is looked at, but in 2-D
        return facts.acquisition_type == "3D" or bool(find(words, vocabulary.VOLUMETRIC))
    return plane == "axial"


def text_contrast(words: Sequence[str]) -> tuple[Contrast, str]:
    """What words say of contrast agent, negative ones first, and the telling word; UNKNOWN for both."""
    found: dict[Contrast, str] = {}
    at = 0
    while at < len(words):
        state, said, taken = _read_at(words, at)
        if said:
            found.setdefault(state, said)
        at += taken
    if len(found) == 1:
        return next(iter(found.items()))
    return Contrast.UNKNOWN, " and ".join(found.values())


def _read_at(words: Sequence[str], at: int) -> tuple[Contrast, str, int]:
    """What the words from `at` on say: state, telling word ("" for nothing) and how many words that took."""
    word, following = words[at], words[at + 1 : at + 2]
    if word in vocabulary.WITH and any(w in vocabulary.WITHOUT for w in words[at + 1 : at + 3]):
        if following[0] in vocabulary.AND:
            return Contrast.GIVEN, word, 2  # "with and without": the negation is read next
        if following[0] in vocabulary.WITHOUT:
            return Contrast.GIVEN, word, 1
    about_time_or_absence = word in ("pre", "post", *vocabulary.WITHOUT)
    fat_after = word == "post" and following and following[0] in vocabulary.NOT_AFTER
    if about_time_or_absence and following and following[0] in vocabulary.NOT_OF_THE_AGENT and not fat_after:
        return Contrast.UNKNOWN, "", 2
    if word in ("w", "with") and following and following[0] in vocabulary.WITH_SHORT:
        return Contrast.GIVEN, f"{word} {following[0]}", 2
    agent_at = _agent_after(words, at)
    if word in vocabulary.BEFORE or word in vocabulary.WITHOUT:
        return Contrast.NONE, word, max(agent_at - at, 0) + 1
    if word in vocabulary.NOT_ANY and agent_at:
        return Contrast.NONE, f"{word} {words[agent_at]}", agent_at - at + 1
    if word == "contrast" and at and words[at - 1] in vocabulary.NOT_AGENT_CONTRAST:
        return Contrast.UNKNOWN, "", 1
    if word in vocabulary.GIVEN or word.startswith(vocabulary.AGENTS):
        return Contrast.GIVEN, "gadolinium" if word.startswith(vocabulary.AGENTS) else word, 1
    return Contrast.UNKNOWN, "", 1


def _agent_after(words: Sequence[str], at: int) -> int:
    """Index of the last word for the agent that follows `at` directly, links passed over; 0 if none does."""
    last = 0
    for index in range(at + 1, len(words)):
        if is_agent(words[index]):
            last = index
        elif words[index] not in vocabulary.LINKS:
            break
    return last

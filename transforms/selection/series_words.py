"""From the text of a header to known words.

A description is cut into words before it is searched, so that "compression" holds no "pre"; words written
together ("T1postGD", "CORSET1POST") are taken apart only where every piece is a known word.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from scanweave.transforms.io.series import HeaderFacts
from scanweave.transforms.selection import series_vocabulary as vocabulary

Words = tuple[str, ...]

_BEFORE_LOWERING = (
    (re.compile(r"f[lL]a[iI]r|F[lL]A[iI][rR]"), "flair"),
    (re.compile(r"m[iI][nN]?IP"), "mip"),
    (re.compile(r"(?<![A-Za-z0-9])(?:sub|ses|run|task|dir)-[A-Za-z0-9]+"), " "),  # BIDS entities: identifiers
    (re.compile(r"(?<=[a-z])(?=[A-Z])"), " "),
)
_SIGNS = (
    (re.compile(r"t2\s?\*"), " t2star "),
    (re.compile(r"(?<![a-z0-9])v?s3d"), " 3d"),  # Philips: "s3DT1_ISO"
    (re.compile(r"(?<![a-z0-9])w\s?/?\s?(?:&|\+|and)?\s?w\s?/?\s?o(?![a-z])"), " with and without "),
    (re.compile(r"(?<![a-z0-9])w\s?/\s?o(?![a-z])"), " without "),
    (re.compile(r"(?<![a-z0-9])w\s?/"), " with "),
    (re.compile(r"(?<![a-z])s\s?/\s?c(?![a-z])"), " without contrast "),
    (re.compile(r"(?<![a-z])s\s?/(?=\s?(?:c|g|inj))"), " without "),
    (re.compile(r"\+\s?(?:c|g|gd|gad|gado|km|k)(?![a-z])"), " +c "),
    (re.compile(r"(?<![a-z])[ck]\s?\+"), " +c "),
    (re.compile(r"(?<![a-z])(?:gd|gad|km)-(?![a-z0-9])"), " "),  # minus or hyphen: says nothing
    (re.compile(r"(?<![a-z0-9])c-(?![a-z0-9])|(?:^|(?<=\s))-c(?![a-z0-9])"), " -c "),
    (re.compile(r"(?<![a-z])b\s?=?\s?\d{3,4}(?![0-9])"), " bvalue "),
    (re.compile(r"(?<![a-z])fa\s?=?\s?\d+"), " "),  # a flip angle, not fractional anisotropy
    (re.compile(r"(?<![a-z0-9])[clt]-(?=o?(?:ax|sag|cor)(?![a-z]))"), " spine "),  # GE: "c-OSag_T1", "L-OAx_T1"
    (re.compile(r"(?<![0-9])1[0-7][0-9]\s?mm(?![a-z0-9])"), " smallfield "),  # a field of view, no slice's thickness
    (re.compile(r"post.?processed|post.?processing"), " postprocessed "),
)
_WORD = re.compile(r"[+-]c(?![a-z0-9])|[a-z0-9]+")

MAX_LETTERS = 256
"""Of a text that is looked at: DICOM allows 64 in a description (LO, PS3.5 6.2), and nobody's file name is longer."""
_KNOWN = frozenset(
    word
    for name, value in vars(vocabulary).items()
    if name.isupper()
    for table in (value.values() if isinstance(value, dict) else (value,))
    if isinstance(table, tuple)
    for phrase in table
    for word in phrase.split()
)
_TELLING = (
    *(*vocabulary.FLAIR, *vocabulary.INVERSION, *vocabulary.T1, *vocabulary.T1_SEQUENCES),
    *(*vocabulary.T2, *vocabulary.OTHER, *itertools.chain(*vocabulary.EXCLUDED.values())),
)
_PIECE = re.compile("|".join(sorted((re.escape(w) for w in vocabulary.COMPOUND), key=len, reverse=True)))


def words_of(text: str) -> Words:
    """The words of a description in its order, lower case, accents dropped, known compounds taken apart."""
    text = text[:MAX_LETTERS]
    for pattern, replacement in _BEFORE_LOWERING:
        text = pattern.sub(replacement, text)
    text = text.lower()
    for letters, word in vocabulary.OTHER_SCRIPTS.items():
        text = text.replace(letters, word)
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    for pattern, replacement in _SIGNS:
        text = pattern.sub(replacement, text)
    return tuple(piece for word in _WORD.findall(text) for piece in _pieces(word))


def find(words: Sequence[str], table: Iterable[str]) -> str:
    """The first word or phrase of `table` among `words`, or ""."""
    line = f" {' '.join(words)} "
    return next((phrase for phrase in table if f" {phrase} " in line), "")


def telling_words(facts: HeaderFacts) -> tuple[str, Words]:
    """The text that says what a series is, and its words: the description, else the protocol."""
    for name, text in (("description", facts.description), ("protocol", facts.protocol)):
        words = words_of(text)
        if find(words, _TELLING):
            return name, words
    return "description", words_of(facts.description)


def is_agent(word: str) -> bool:
    """Whether a word names a contrast agent or its injection."""
    return word in vocabulary.OF_THE_AGENT or word.startswith(vocabulary.AGENTS)


@lru_cache(maxsize=4096)
def _pieces(word: str) -> Words:
    if word in _KNOWN or word.isdigit():
        return (word,)
    split = _segment(word)
    if split:
        return split
    leading = re.match(r"(t[12])w?([a-z]+)$", word)
    if leading:
        return (leading[1], *_pieces(leading[2]))
    inside = [known for known in vocabulary.INSIDE if known in word][:1]
    if inside and is_agent(inside[0]) and re.search(f"(?:{'|'.join(vocabulary.NEGATING)}){inside[0]}", word):
        return ("noncontrast",)
    beginning = [known for known in vocabulary.BEGINNING if word.startswith(known)]
    return (*beginning, *inside) or (word,)


@lru_cache(maxsize=4096)  # without it, a word of many readings takes twice as long with each
def _segment(word: str) -> Words:
    """`word` as known words end to end, a number allowed after the last but for T1 and T2; else ()."""
    if not word:
        return ()
    for length in range(len(word), 1, -1):
        head, rest = word[:length], word[length:]
        if not _PIECE.fullmatch(head):
            continue
        if not rest or (rest.isdigit() and head not in ("t1", "t2")):
            return (head,)
        tail = _segment(rest)
        if tail:
            return (head, *tail)
    return ()

"""CLIP's byte-pair encoding: text -> token ids, by the `tokenizers` library.

A checkpoint's files give the vocabulary, the merges and the added tokens, and nothing else. The steps before these
(lower case, cutting a text into words) are CLIP's and are fixed here, so that no checkpoint can bring its own regular
expressions or code.

A piece is an entry of the vocabulary: "glass", "es</w>". `</w>` ends a word. The letters of a piece stand for bytes, so
that any text can be encoded: "é" is two bytes in UTF-8 and is written "Ã©". `pieces_text` and `piece_labels` turn
pieces back into normal text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tokenizers
from tokenizers import AddedToken, Regex, normalizers, pre_tokenizers

from ..base.arguments import is_whole
from ..base.errors import CheckpointError
from ..base.inputs import read_json
from ..config import CONTEXT

SOT, EOT = "<|startoftext|>", "<|endoftext|>"
END = "</w>"
MOST = 2**20  # tokens, merges: CLIP has 49,408 and 48,894

# how CLIP cuts a text: special tokens, English endings, runs of letters, single digits, runs of other characters
_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def _byte_letters() -> dict[str, int]:
    """Letter -> the byte that it stands for. Printable bytes stand for themselves (Radford et al. 2019)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}


_BYTES = _byte_letters()


class Added(NamedTuple):
    """A token that is not made by merges: [SOT], [EOT], or a word that was learned by textual inversion."""

    content: str
    id: int
    normalized: bool  # True: found in the text after lowering its case; False: in the original text
    single_word: bool
    lstrip: bool
    rstrip: bool


class Tokenizer:
    """Made by `load_tokenizer`. `sot` and `eot` are the ids of [SOT] and [EOT]; every id is below `size`."""

    def __init__(self, vocab: dict[str, int], merges: list[tuple[str, str]], added: Iterable[Added]):
        self.vocab, self.merges, self.added = vocab, merges, sorted(added, key=lambda token: token.id)
        model = tokenizers.models.BPE(
            vocab, merges, continuing_subword_prefix="", end_of_word_suffix=END, fuse_unk=False, unk_token=EOT
        )
        self._bpe = tokenizers.Tokenizer(model)
        self._bpe.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        self._bpe.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        self._added: set[str] = set()
        for token in self.added:
            self._add(token)
        self.sot, self.eot = self._special(SOT), self._special(EOT)
        self.size = 1 + max(self._bpe.get_vocab(with_added_tokens=True).values())

    def row(self, ids: Sequence[int]) -> list[int]:
        """The 77 ids that the text encoder reads: [SOT], these, and [EOT] to the end. More than 75 are cut."""
        row = [self.sot, *ids[: CONTEXT - 2]]
        return row + [self.eot] * (CONTEXT - len(row))

    def _add(self, token: Added) -> None:
        flags = {name: getattr(token, name) for name in ("normalized", "single_word", "lstrip", "rstrip")}
        self._bpe.add_tokens([AddedToken(token.content, **flags)])
        given = self._bpe.token_to_id(token.content)
        if given != token.id:
            raise CheckpointError(
                f"the added token {token.content!r} has the id {token.id}; expected {given}, the next free id"
            )
        self._added.add(token.content)

    def _special(self, token: str) -> int:
        found = self._bpe.token_to_id(token)
        if found is None:
            raise CheckpointError(f"the vocabulary lacks {token}")
        return found

    def ids(self, text: str) -> list[int]:
        """The ids of a text, without [SOT] and [EOT]."""
        return self._bpe.encode(text, add_special_tokens=False).ids

    def pieces(self, text: str) -> list[str]:
        """The pieces of a text. An added token counts as a word and ends in `</w>`."""
        pieces = self._bpe.encode(text, add_special_tokens=False).tokens
        return [piece + END if piece in self._added else piece for piece in pieces]


# ---------------------------------------------------------------------- pieces -> normal text


def split_words(pieces: Sequence[str]) -> list[list[str]]:
    """The pieces of each word. The last word may be cut, and then it has no `</w>`."""
    words: list[list[str]] = [[]]
    for piece in pieces:
        words[-1].append(piece)
        if piece.endswith(END):
            words.append([])
    return [word for word in words if word]


def word_text(word: Sequence[str]) -> str:
    """The text of one word's pieces, in lower case."""
    letters = "".join(word).removesuffix(END)
    try:
        return _as_bytes(letters).decode()
    except (KeyError, UnicodeDecodeError):  # an added token is plain text; a word may end inside a character
        return letters


def pieces_text(pieces: Sequence[str]) -> str:
    """The text of pieces, with one space between words."""
    return " ".join(map(word_text, split_words(pieces)))


def piece_labels(pieces: Sequence[str]) -> list[str]:
    """A label for each piece: the characters that begin in it, or "…" if it only continues a character."""
    return [label for word in split_words(pieces) for label in _labels_of(word)]


def _labels_of(word: Sequence[str]) -> list[str]:
    letters = [piece.removesuffix(END) for piece in word]
    whole = word_text(word)
    if whole == "".join(letters):  # plain letters, the common case
        return letters
    # the byte at which each character begins: the character belongs to the piece with this byte
    begins, position = [], 0
    for character in whole:
        begins.append(position)
        position += len(character.encode())
    labels, start = [], 0
    for part in letters:
        stop = start + len(part)  # one letter stands for one byte
        labels.append("".join(c for c, begin in zip(whole, begins, strict=True) if start <= begin < stop) or "…")
        start = stop
    return labels


def _as_bytes(letters: str) -> bytes:
    return bytes(_BYTES[letter] for letter in letters)


# ---------------------------------------------------------------------- files


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a folder: tokenizer.json, or vocab.json with merges.txt; and the added tokens.

    CheckpointError if a file is missing or damaged.
    """
    try:
        vocab, merges, added = _read_files(folder)
        return Tokenizer(vocab, merges, added.values())
    except Exception as error:  # besides CheckpointError: the library's errors, which are plain Exceptions
        raise CheckpointError(f"the tokenizer in {folder} cannot be read: {error}") from error


def _read_files(folder: Path) -> tuple[dict[str, int], list[tuple[str, str]], dict[str, Added]]:
    """(vocabulary, merges, added tokens)"""
    single = folder / "tokenizer.json"  # the only file that transformers 5 writes
    if single.exists():
        content = read_json(single)
        model = content.get("model")
        if not isinstance(model, dict):
            raise CheckpointError(f"{single} has no model")
        vocab, merges = _vocabulary(single, model.get("vocab")), _merges(single, model.get("merges"))
        added = _added(single, content.get("added_tokens") or [])
    else:
        absent = [name for name in ("vocab.json", "merges.txt") if not (folder / name).is_file()]
        if absent:
            raise CheckpointError(f"it lacks {' and '.join(absent)}, the vocabulary")
        vocab = _vocabulary(folder / "vocab.json", read_json(folder / "vocab.json"))
        lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
        merges = _merges(folder / "merges.txt", [line for line in lines if line and not line.startswith("#version")])
        added = {t: Added(t, vocab[t], False, False, False, False) for t in (SOT, EOT) if t in vocab}
    # transformers 4 also stored added tokens in these two files
    decoder = _optional(folder / "tokenizer_config.json").get("added_tokens_decoder") or {}
    if not isinstance(decoder, dict):
        raise CheckpointError(f"added_tokens_decoder in {folder / 'tokenizer_config.json'} is not a mapping")
    entries = [{"id": _number(k)} | (v if isinstance(v, dict) else {}) for k, v in decoder.items()]
    added = _added(folder / "tokenizer_config.json", entries) | added
    plain = [{"id": number, "content": token} for token, number in _optional(folder / "added_tokens.json").items()]
    return vocab, merges, _added(folder / "added_tokens.json", plain) | added


def _optional(file: Path) -> dict[str, Any]:
    return read_json(file) if file.exists() else {}


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 8 else -1


def _vocabulary(file: Path, vocab: Any) -> dict[str, int]:
    if not isinstance(vocab, dict) or not 0 < len(vocab) <= MOST or not all(map(_is_id, vocab.values())):
        raise CheckpointError(f"{file}: expected a vocabulary, at most {MOST:,} tokens with their ids")
    if len(set(vocab.values())) < len(vocab):
        raise CheckpointError(f"{file}: two tokens of the vocabulary have the same id")
    return vocab


def _merges(file: Path, merges: Any) -> list[tuple[str, str]]:
    """Pairs of pieces. A file may write them as "a b" or as ["a", "b"]."""
    pairs = [tuple(m.split()) if isinstance(m, str) else m for m in merges] if isinstance(merges, list) else None
    good = pairs is not None and len(pairs) <= MOST and all(_is_pair(pair) for pair in pairs)
    if pairs is None or not good:
        raise CheckpointError(f"{file}: expected merges, at most {MOST:,} pairs of pieces")
    return [(a, b) for a, b in pairs]


def _added(file: Path, entries: Any) -> dict[str, Added]:
    """Content -> added token. Flags that are not in the file have the library's defaults."""
    added: dict[str, Added] = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        content, number = (entry.get("content"), entry.get("id")) if isinstance(entry, dict) else (None, None)
        if not isinstance(content, str) or not content or not isinstance(number, int) or not _is_id(number):
            raise CheckpointError(f"{file}: an added token is {repr(entry)[:80]}; expected a content and an id")
        flags = [entry.get(name) is True for name in ("single_word", "lstrip", "rstrip")]
        normalized = entry.get("normalized", not entry.get("special")) is not False
        added[content] = Added(content, number, bool(normalized), *flags)
    return added


def _is_id(value: Any) -> bool:
    return is_whole(value) and 0 <= value < MOST


def _is_pair(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(piece, str) for piece in value)

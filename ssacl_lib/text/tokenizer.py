"""A lower-case WordPiece tokenizer trained on the training reports, and the way back from ids to text.

detokenize(encode(x)) is x but for its case; of the case, starts of sentences and lines, headings and common abbreviations
come back.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import WordPiece
from tokenizers.trainers import WordPieceTrainer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[MASK]", "[NEWLINE]")
"""Ids 0 to 4; the first four are the release's. A newline in a text becomes [NEWLINE]."""

LONGEST = 100
"""Most word pieces of a text in the method."""

_BEFORE = re.compile(r"[ \t]+([.,;:!?)%])")
_AFTER = re.compile(r"\([ \t]+")
_JOINED = re.compile(r"(?<=\w)[ \t]*([-/'])[ \t]*(?=\w)")
_DECIMAL = re.compile(r"(?<=\d)\.[ \t]+(?=\d)")
_LINE_END = re.compile(r"[ \t]*\n[ \t]*")
_TITLES = "findings|impression|indication|history|examination|technique|comparison|conclusion"
_HEADINGS = re.compile(rf"(?:^|(?<=\n)|(?<=[.!?]\s))(?:{_TITLES}):")
_START = re.compile(rf"((?:^|\n|[.!?]\s|\b(?:{_TITLES.upper()}): )[\s(\"-]*)([a-z])")
_ABBREVIATIONS = re.compile(r"\b(?:ap|pa|svc|ra|ij|picc|ng|et|icd|chf|copd|kerley b)\b")


def train_tokenizer(reports: Iterable[str], vocab_size: int = 4000) -> PreTrainedTokenizerFast:
    """Train WordPiece on reports; the same reports give the same tokenizer.

    Nothing is added around a text: who needs [CLS] in front writes it there.

    Args:
        reports: the training reports (never those of validation or test).
        vocab_size: at most so many entries, special tokens included.

    Raises:
        ValueError: no report, or no room beside the special tokens.
        RuntimeError: the trained tokenizer reads the first report in lower and in upper case differently.
    """
    reports = list(reports)
    if not reports or vocab_size <= len(SPECIAL_TOKENS):
        raise ValueError(
            f"{len(reports)} reports and vocab_size {vocab_size}: needs reports and more than {len(SPECIAL_TOKENS)} entries"
        )
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    newline = normalizers.Replace("\n", " [NEWLINE] ")
    tokenizer.normalizer = normalizers.Sequence(
        [newline, normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    tokenizer.model = WordPiece(
        _pieces(tokenizer, reports, vocab_size), unk_token="[UNK]", max_input_chars_per_word=100
    )
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True, normalized=name == "[NEWLINE]") for name in SPECIAL_TOKENS]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        mask_token="[MASK]",
        eos_token="[NEWLINE]",
        model_max_length=LONGEST,
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )
    sample = reports[0].encode("ascii", "ignore").decode()
    if wrapped.encode(sample.lower()) != wrapped.encode(sample.upper()):  # seen once in about a thousand trainings
        raise RuntimeError("the tokenizers library cut lower-case words into letters; train the tokenizer again")
    return wrapped


def _pieces(tokenizer: Tokenizer, reports: Sequence[str], vocab_size: int) -> dict[str, int]:
    """Word pieces learnt from the reports, by id; the same from run to run.

    The trainer numbers letters in the order of a hash map that changes from run to run, and ties are broken by number. So
    the letters are handed to it in sorted order, as if they were special tokens.
    """
    texts = [report.replace("\n", " ") for report in reports]
    words = (
        word
        for text in texts
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
    )
    letters = sorted({letter for word in set(words) for letter in word})
    first = [*SPECIAL_TOKENS, *letters, *(f"##{letter}" for letter in letters)]
    scratch = Tokenizer(WordPiece(unk_token="[UNK]"))
    scratch.normalizer, scratch.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    trainer = WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=first, show_progress=False, continuing_subword_prefix="##"
    )
    scratch.train_from_iterator(texts, trainer)
    return scratch.get_vocab()


def read_wordpiece(path: Path | str) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer from one file: a JSON of the tokenizers library, a JSON of piece -> id, or one piece a line.

    A bare vocabulary is read as the authors' release reads texts: lower-case, NFKD, accents stripped, split at white space,
    at punctuation and around digits; nothing is added around a text.

    Raises:
        FileNotFoundError: no such file.
        ValueError: none of the three, or a special token of the release ([PAD], [UNK], [CLS], [MASK]) is not in it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give the WordPiece file (JSON, or one piece a line)")
    try:
        text = path.read_text(encoding="utf-8")
        content = (
            json.loads(text) if text.lstrip().startswith("{") else {p: i for i, p in enumerate(text.splitlines()) if p}
        )
        tokenizer = (
            Tokenizer.from_str(text) if "model" in content and isinstance(content["model"], dict) else _bare(content)
        )
    except Exception as error:  # the tokenizers library raises no other class
        raise ValueError(f"{path}: no WordPiece vocabulary ({str(error).splitlines()[0][:100]})") from None
    if absent := [token for token in SPECIAL_TOKENS[:4] if tokenizer.token_to_id(token) is None]:
        raise ValueError(f"{path}: no {absent[0]} in this vocabulary of {tokenizer.get_vocab_size()} pieces")
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL_TOKENS[:4]])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", mask_token="[MASK]",
        model_max_length=LONGEST, clean_up_tokenization_spaces=False, padding_side="right",
    )  # fmt: skip


def _bare(vocabulary: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(individual_digits=False)]
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    return tokenizer


def detokenize(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """Text of ids: word pieces joined, punctuation and hyphens attached, starts of sentences and lines capitalised.

    [NEWLINE] becomes a line break; the other special tokens are left out.
    """
    words: list[str] = []
    ids = [int(i) for i in ids]
    newline = tokenizer.convert_tokens_to_ids("[NEWLINE]")
    for number, token in zip(ids, tokenizer.convert_ids_to_tokens(ids), strict=True):
        if number == newline:
            words.append("\n")
        elif token in SPECIAL_TOKENS and token != "[UNK]":
            continue
        elif token.startswith("##") and words:
            words[-1] += token[2:]
        else:
            words.append(token)
    text = _LINE_END.sub("\n", " ".join(words)).strip()
    for pattern, with_ in ((_BEFORE, r"\1"), (_AFTER, "("), (_JOINED, r"\1"), (_DECIMAL, ".")):
        text = pattern.sub(with_, text)
    text = _ABBREVIATIONS.sub(lambda m: m[0].upper() if m[0] != "kerley b" else "Kerley B", text)
    text = _HEADINGS.sub(lambda m: m[0].upper(), text)
    return _START.sub(lambda m: m[1] + m[2].upper(), text)

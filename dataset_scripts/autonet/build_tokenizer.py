"""Trains the text tokenizer of the small presets: a byte-level BPE that lower-cases.

    python -m dataset_scripts.autonet.build_tokenizer --data DIR --out DIR

* Trained on the train texts of an AutoNet, the names of ops, layers and answers, and the frequencies of English words
  in the docstrings of the installed torch, transformers and Python (frequencies only), so that ordinary English splits
  well too.
* Byte-level, so there is no unknown text in any script; lower-casing, so "Conv2d" and "conv2d" are one; digits one by
  one, so numbers and kernel sizes are read alike everywhere.
* Deterministic for the same data and library versions.
"""

from __future__ import annotations

import argparse
import importlib.util
import pydoc_data.topics
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import pyarrow.parquet as pq
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from processing_archbert.ops_archbert import OPS
from processing_archbert.questions_archbert import ANSWERS

from .layer_phrases_autonet import LAYER_PHRASES

VOCAB_SIZE = 8000
MAX_LENGTH = 128
SPECIAL_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_PIECES = Regex(r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+")
_WORD = re.compile(r"\b[a-z]{2,}\b")
_DOCSTRING = re.compile(r'"""(.*?)"""', re.DOTALL)
_NAME_WEIGHT = 50
_LEAST_COUNT = 4
_WORD_LIMIT = 2000


def build_tokenizer(
    data_dir: str | Path, vocab_size: int = VOCAB_SIZE, max_length: int = MAX_LENGTH
) -> PreTrainedTokenizerFast:
    """Train the tokenizer on a generated AutoNet.

    Args:
        data_dir: folder of a generated AutoNet, of which the train texts are read.
        vocab_size: number of pieces, special tokens among them.
        max_length: `model_max_length` of the tokenizer.

    Raises:
        FileNotFoundError: the folder holds no AutoNet.
    """
    data = Path(data_dir)
    if not sorted(data.glob("aqa/train-*.parquet")):
        raise FileNotFoundError(f"{data} holds no AutoNet; make one with dataset_scripts.autonet.generate_autonet.")
    return train_tokenizer(_texts(data), vocab_size, max_length)


def train_tokenizer(
    texts: Iterable[str], vocab_size: int = VOCAB_SIZE, max_length: int = MAX_LENGTH
) -> PreTrainedTokenizerFast:
    """Train the tokenizer on texts, to which names and English words are added; see `build_tokenizer`."""
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL_TOKENS["unk"]))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Strip(), normalizers.Lowercase(), normalizers.Prepend(" ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_PIECES, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS.values()),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(chain(texts, _names_and_words()), trainer)
    cls, sep = SPECIAL_TOKENS["cls"], SPECIAL_TOKENS["sep"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B {sep}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (cls, sep)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
        **{f"{name}_token": token for name, token in SPECIAL_TOKENS.items()},
    )


def english_words() -> Counter[str]:
    """Frequencies of lower-case words in the docstrings of the installed torch, transformers and Python."""
    words: Counter[str] = Counter()
    for topic in pydoc_data.topics.topics.values():
        words.update(_WORD.findall(topic))
    for package, pattern in {"torch": "nn/**/*.py", "transformers": "**/*.py"}.items():
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            continue
        for path in sorted(Path(spec.submodule_search_locations[0]).glob(pattern)):
            for docstring in _DOCSTRING.findall(path.read_text(encoding="utf-8", errors="ignore")):
                words.update(_WORD.findall(docstring))
    return words


def _texts(data: Path) -> Iterator[str]:
    for config, column in (("aqa", "question"), ("descriptions", "text")):
        for path in sorted(data.glob(f"{config}/train-*.parquet")):
            yield from pq.read_table(path, columns=[column])[column].to_pylist()


def _names_and_words() -> Iterator[str]:
    names = [*OPS, *ANSWERS]
    for phrases in LAYER_PHRASES.values():
        names += [*phrases.names, *phrases.nouns, *phrases.clauses]
    for name in names:
        yield from [name] * _NAME_WEIGHT
    for word, count in sorted(english_words().items()):
        if count >= _LEAST_COUNT:
            yield " ".join([word] * min(count, _WORD_LIMIT))


def main() -> None:
    """Command line of `build_tokenizer`."""
    parser = argparse.ArgumentParser(description="Train the byte-level BPE on an AutoNet.")
    parser.add_argument("--data", required=True, help="folder of a generated AutoNet")
    parser.add_argument("--out", required=True, help="folder to save the tokenizer in")
    parser.add_argument("--vocab_size", type=int, default=VOCAB_SIZE, help="number of pieces")
    parser.add_argument("--max_length", type=int, default=MAX_LENGTH, help="longest text in tokens")
    arguments = parser.parse_args()
    build_tokenizer(arguments.data, arguments.vocab_size, arguments.max_length).save_pretrained(arguments.out)


if __name__ == "__main__":
    main()

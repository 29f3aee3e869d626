"""The text tokenizer: small, deterministic, without unknown text."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import transformers

from dataset_scripts.autonet import build_tokenizer
from dataset_scripts.autonet.generate_autonet import generate
from processing_archbert.questions_archbert import ANSWERS


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("autonet")
    generate(4, 2, seed=0, output_dir=folder, size="tiny")
    return folder


@pytest.fixture(autouse=True)
def few_words(monkeypatch: pytest.MonkeyPatch) -> None:
    words = Counter({"network": 900, "networks": 300, "training": 200, "the": 5000, "rarely": 1})
    monkeypatch.setattr(build_tokenizer, "english_words", lambda: words)


def test_the_same_data_give_the_same_bytes(data: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        build_tokenizer.build_tokenizer(data, vocab_size=1500).save_pretrained(tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_any_text_is_read_without_unknown_pieces(data: Path, tmp_path: Path) -> None:
    build_tokenizer.build_tokenizer(data, vocab_size=1500).save_pretrained(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.convert_tokens_to_ids(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]) == [0, 1, 2, 3, 4]
    for text in ["какие слои?", "池化层", "🙂 3×3", "ﷺ", *ANSWERS]:
        ids = tokenizer(text)["input_ids"]
        assert ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True).strip() == text.lower()
    assert tokenizer("").input_ids == [tokenizer.cls_token_id, tokenizer.sep_token_id]
    assert len(tokenizer("conv " * 500, truncation=True)["input_ids"]) == build_tokenizer.MAX_LENGTH


def test_case_and_position_do_not_matter(data: Path) -> None:
    tokenizer = build_tokenizer.build_tokenizer(data, vocab_size=1500)
    assert tokenizer("Conv2d  ").input_ids == tokenizer("conv2d").input_ids
    assert tokenizer.tokenize("pooling pooling")[0] == tokenizer.tokenize("pooling pooling")[1]
    assert tokenizer.tokenize("432")[1:] == ["3", "2"]


def test_a_folder_without_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no AutoNet"):
        build_tokenizer.build_tokenizer(tmp_path)

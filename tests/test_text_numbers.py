"""Numbers that texts state, and the word pieces that they belong to."""

from __future__ import annotations

import numpy as np
import pytest

from processing_archbert.text_numbers_archbert import NO_NUMBER, piece_numbers, stated_numbers


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("Forty-two layers, 30,522 tokens, 1.5 B parameters", [42, 30522, 1.5e9]),
        ("a Conv2d, ReLU6, a 2D map, a 3-D map, fp16, v1.5", []),
        ("1x1 and 7x7, 2x16x16 kernels", [1, 1, 7, 7, 2, 16, 16]),
        ("110M, 630 M parameters, more than 100 k subwords, 7B", [110e6, 630e6, 100e3, 7e9]),
        ("one hundred and twenty-eight heads; seven billion weights", [128, 7e9]),
        ("two, three and four blocks", [2, 3, 4]),
        ("five hundred twelve features in a hundred layers", [512, 100]),
        ("seven hundred million of nine hundred thousand", [700e6, 900e3]),
        ("It has 12.", [12]),
        ("someone weighs tenfold", []),
        ("", []),
    ],
)
def test_numbers_in_digits_and_in_words(text: str, values: list[float]) -> None:
    found = stated_numbers(text)
    assert [number.value for number in found] == pytest.approx(values)
    assert all(text[number.start : number.end].strip() == text[number.start : number.end] for number in found)


def test_every_piece_of_a_number_has_it() -> None:
    texts = ["30,522 tokens", "none"]
    offsets = [[(0, 0), (0, 2), (2, 3), (3, 6), (7, 13)], [(0, 0), (0, 4), (0, 0), (0, 0), (0, 0)]]
    rows = piece_numbers(texts, offsets)
    assert rows.dtype == np.float32 and rows.shape == (2, 5)
    assert np.expm1(rows[0, 1:4]) == pytest.approx([30522] * 3, rel=1e-5)
    assert (rows[0, [0, 4]] == NO_NUMBER).all() and (rows[1] == NO_NUMBER).all()

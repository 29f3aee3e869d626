"""Reads predicates: `decoder.depth == 12 and attention == grouped-query`.

    expression := term ("or" term)*        term := factor ("and" factor)*        factor := "not" factor | test
    test       := "(" expression ")" | call [sign number] | [scope "."] fact [sign value] | value "in" [scope "."] fact
    call       := contains(Kind) | lacks(Kind) | count(Kind) | layers(category) | kernel(Kind, 3x3) | more(Kind, Kind)
                  | follows(Kind, Kind) | most_frequent(Kind) | first(Kind) | last(Kind) | skips(add)
    value      := number [* fact] | word | "text" | true | false | [number, ...] | fact
    sign       := == != < <= > >= ~

* Numbers take k, M, B or T: `parameters ~ 110M`; `~ 7B +- 10%` states another tolerance than 5%.
* Types are checked when a predicate is read: a number is compared with a number, a word with one that it can be.
* The language has no names but those of `schema_tvhf` and the op table; nothing is evaluated as code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from processing_archbert.ops_archbert import LAYER_CATEGORIES, OPS
from processing_archbert.questions_archbert import DILATED_CONVOLUTION, SEPARABLE_CONVOLUTION

from .predicates_tvhf import SIGNS, Call, Comparison, Junction, Operand, Predicate
from .schema_tvhf import CALLS, FACTS, SCOPES, FactSpec

MAX_LENGTH = 1000
MAX_NESTING = 32
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?(?P<unit>[kMBT](?![A-Za-z0-9_]))?(?![A-Za-z0-9_.]))"
    r"|(?P<kernel>\d+(?:x\d+)+(?![A-Za-z0-9_]))"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*(?:-[A-Za-z0-9_]+)*)"
    r"|(?P<text>\"[^\"]*\")"
    r"|(?P<sign>==|!=|<=|>=|\+-|[<>~()\[\],.*%]))"
)
_UNITS = {None: 1, "k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_KEYWORDS = ("and", "or", "not", "in")
_KINDS = frozenset(OPS) | {DILATED_CONVOLUTION, SEPARABLE_CONVOLUTION}


class PredicateError(ValueError):
    """A predicate that cannot be read; `position` is the index of the character where reading stopped."""

    def __init__(self, message: str, text: str, position: int) -> None:
        self.position = position
        self.reason = message
        super().__init__(f"{message} (at character {position + 1} of {text!r})")


class _Token(NamedTuple):
    kind: str
    text: str
    position: int


def _tokens(text: str) -> list[_Token]:
    tokens, position = [], 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            start = position + len(text[position:]) - len(text[position:].lstrip())
            raise PredicateError(f"{text[start]!r} cannot begin a word, a number or a sign", text, start)
        kind = next(k for k in ("number", "kernel", "word", "text", "sign") if match.group(k) is not None)
        tokens.append(_Token(kind, match.group(kind), match.start(kind)))
        position = match.end()
    return [*tokens, _Token("end", "the end", len(text))]


class _Parser:
    """Recursive descent over the tokens of one predicate."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.at = 0
        self.nesting = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def error(self, message: str, token: _Token | None = None) -> PredicateError:
        return PredicateError(message, self.text, (token or self.token).position)

    def take(self, *texts: str) -> str:
        """The next token where it is one of `texts` (and no quoted text), else an empty string."""
        token = self.token
        if token.kind in ("word", "sign") and token.text in texts:
            self.at += 1
            return token.text
        return ""

    def expect(self, text: str) -> None:
        if not self.take(text):
            raise self.error(f"{text!r} is expected, not {self.token.text!r}")

    def expression(self) -> Any:
        parts = [self.conjunction()]
        while self.take("or"):
            parts.append(self.conjunction())
        return parts[0] if len(parts) == 1 else Junction("or", tuple(parts))

    def conjunction(self) -> Any:
        parts = [self.factor()]
        while self.take("and"):
            parts.append(self.factor())
        return parts[0] if len(parts) == 1 else Junction("and", tuple(parts))

    def factor(self) -> Any:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise self.error(f"more than {MAX_NESTING} levels of brackets or 'not'")
        if self.take("not"):
            found: Any = Junction("not", (self.factor(),))
        elif self.take("("):
            found = self.expression()
            self.expect(")")
        else:
            found = self.test()
        self.nesting -= 1
        return found

    def test(self) -> Any:
        token, after = self.token, self.tokens[min(self.at + 1, len(self.tokens) - 1)]
        if after.kind == "word" and after.text == "in":
            return self.membership()
        if token.kind != "word" or token.text in _KEYWORDS:
            raise self.error(f"a fact or a call is expected, not {token.text!r}")
        return self.call() if after.text == "(" and after.kind == "sign" else self.comparison()

    def fact(self) -> tuple[str, str, FactSpec]:
        """`[scope.]fact` -> scope, name, specification."""
        scope = ""
        if self.tokens[self.at + 1].text == "." and self.token.kind == "word":
            scope = self.token.text
            if scope not in SCOPES:
                raise self.error(f"{scope!r} is no scope; there are {', '.join(SCOPES)}")
            self.at += 2
        token = self.token
        spec = FACTS.get(token.text) if token.kind == "word" else None
        if spec is None:
            raise self.error(f"{token.text!r} is no fact; there are {', '.join(FACTS)}")
        if scope and spec.level != "tower":
            raise self.error(f"{token.text!r} is a fact of the whole network and takes no scope", token)
        self.at += 1
        return scope, token.text, spec

    def comparison(self) -> Comparison:
        start = self.token
        scope, name, spec = self.fact()
        sign_token = self.token
        sign = self.take(*SIGNS, "~")
        if not sign:
            if spec.kind != "flag":
                raise self.error(f"{name!r} needs a comparison such as {spec.example!r}", sign_token)
            return Comparison(name, scope, "==", Operand(True))
        if spec.kind == "words":
            raise self.error(f"{name!r} holds several words: write 'word in {name}'", start)
        if sign not in ("==", "!=") and spec.kind != "number":
            raise self.error(f"{sign!r} compares numbers, and {name!r} is a {spec.kind}", sign_token)
        operand = self.operand(name, spec)
        return Comparison(name, scope, sign, self.tolerance(operand) if sign == "~" else operand)

    def tolerance(self, operand: Operand) -> Operand:
        if not self.take("+-"):
            return operand
        percent = self.number()
        self.expect("%")
        if not 0 < percent <= 30:
            raise self.error("a tolerance is above 0% and at most 30%", self.tokens[self.at - 2])
        return operand._replace(tolerance=percent / 100)

    def operand(self, name: str, spec: FactSpec) -> Operand:
        """The right side of a comparison; another fact without a scope is one of the same tower."""
        if spec.kind == "flag":
            return Operand(self.word(("true", "false"), name) == "true")
        if spec.kind == "word":
            return Operand(self.word(spec.words, name))
        if spec.kind == "numbers":
            return Operand(self.numbers())
        if self.token.kind == "word":
            start = self.token
            other_scope, other, other_spec = self.fact()
            if (other_spec.kind, other_spec.level) != ("number", spec.level):
                raise self.error(
                    f"a number is expected, or a number fact of the same level, not {start.text!r}", start
                )
            return Operand(fact=other, scope=other_scope)
        value = self.number()
        if self.take("*"):
            return self.operand(name, spec)._replace(factor=value)
        return Operand(value)

    def number(self) -> Any:
        token = self.token
        if token.kind != "number":
            raise self.error(f"a number is expected, not {token.text!r}")
        self.at += 1
        unit = token.text[-1] if token.text[-1] in "kMBT" else None
        value = float(token.text[: len(token.text) - bool(unit)]) * _UNITS[unit]
        return int(value) if value.is_integer() else value

    def numbers(self) -> tuple[Any, ...]:
        self.expect("[")
        values = [self.number()]
        while self.take(","):
            values.append(self.number())
        self.expect("]")
        return tuple(values)

    def word(self, allowed: Sequence[str], name: str) -> str:
        """A word or quoted text; where `allowed` is not empty, one of those."""
        token = self.token
        if token.kind not in ("word", "text", "kernel") and not (token.kind == "number" and not allowed):
            raise self.error(f"a word is expected for {name!r}, not {token.text!r}")
        value = token.text.strip('"')
        if allowed and value not in allowed:
            raise self.error(f"{value!r} is no value of {name!r}; there are {', '.join(allowed)}")
        self.at += 1
        return value

    def membership(self) -> Comparison:
        """`value in fact`."""
        start = self.at
        self.at += 2
        fact_token = self.token
        scope, name, spec = self.fact()
        if spec.kind not in ("words", "numbers"):
            raise self.error(f"{name!r} holds one value: compare it with ==", fact_token)
        end, self.at = self.at, start
        value = self.number() if spec.kind == "numbers" else self.word(spec.words, name)
        self.at = end
        return Comparison(name, scope, "in", Operand(value))

    def call(self) -> Call:
        token = self.token
        shape = CALLS.get(token.text)
        if shape is None:
            raise self.error(f"{token.text!r} is no call; there are {', '.join(CALLS)}")
        self.at += 2
        arguments = []
        for index, kind in enumerate(shape.arguments):
            if index:
                self.expect(",")
            arguments.append(self.argument(kind))
        self.expect(")")
        sign = self.take(*SIGNS, "~")
        if bool(sign) != shape.counts:
            rule = "gives a number and needs a comparison" if shape.counts else "is true or false and takes no sign"
            raise self.error(f"{token.text!r} {rule}", token)
        if not sign:
            return Call(token.text, tuple(arguments))
        operand = Operand(self.number())
        operand = self.tolerance(operand) if sign == "~" else operand
        return Call(token.text, tuple(arguments), sign, operand.value, operand.tolerance)

    def argument(self, kind: str) -> str:
        token = self.token
        if kind == "kernel" and token.kind != "kernel" and not token.text.isdigit():
            raise self.error(f"a kernel size such as 3x3, or 3 in one dimension, is expected, not {token.text!r}")
        allowed = {"layer": _KINDS, "category": LAYER_CATEGORIES, "join": ("add", "cat")}.get(kind)
        if allowed is not None and token.text not in allowed:
            hint = "an op type such as Conv2d" if kind == "layer" else f"one of {', '.join(sorted(allowed))}"
            raise self.error(f"{token.text!r} is no {kind}; {hint} is expected")
        self.at += 1
        return token.text


@lru_cache(maxsize=8192)
def parse(text: str) -> Predicate:
    """The predicate that a text states.

    Raises:
        PredicateError: the text is none; the message says where and what is allowed.
    """
    if not isinstance(text, str) or not text.strip():
        raise PredicateError("a predicate is text such as 'decoder.depth == 12'", str(text), 0)
    if len(text) > MAX_LENGTH:
        raise PredicateError(f"a predicate has at most {MAX_LENGTH} characters", text[:40], MAX_LENGTH)
    parser = _Parser(text)
    found = parser.expression()
    if parser.token.kind != "end":
        raise parser.error(f"'and', 'or' or the end is expected, not {parser.token.text!r}")
    return found

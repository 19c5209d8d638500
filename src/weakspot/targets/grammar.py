"""Targets as expressions, such as ``q["LEFT"] - max(q)``: their grammar and syntax trees.  Nothing here imports torch.

    expression = term, {("+" | "-"), term}
    term       = factor, {("*" | "/"), factor}
    factor     = "-", factor | power
    power      = atom, ["^", factor]
    atom       = number | name | name, "[", (string | whole number), "]"
               | function, "(", expression, {",", expression}, ")" | "(", expression, ")"

An expression is a number for each state, and the search looks for states in which it is small.  Names are ``q`` (Q-values),
``p`` and ``logp`` (probabilities of a policy's actions and their logarithms), ``mean`` (means of continuous actions), each a
row of one number per action, and ``V`` (the critic's value).  Operators and functions work on numbers and rows, and some
functions turn a row into a number.  There is nothing else: an expression cannot read files, call Python, or loop.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from weakspot.errors import UnknownTargetError

ROWS = ("q", "p", "logp", "mean")
"""Names of rows, one number per action."""
VALUE = "V"
"""Name of the critic's value."""
REDUCTIONS = ("max", "min", "avg", "sum", "std", "second", "logsumexp", "entropy")
"""Functions of one row that return a number; ``second`` is the second largest entry, ``entropy`` that of probabilities."""
ELEMENTWISE = ("abs", "exp", "log", "sqrt", "tanh", "sigmoid", "relu")
"""Functions of a number or of each entry of a row."""
SEVERAL = ("max", "min")
"""Functions that also take two or more numbers, and return the largest or the smallest of them."""
LONGEST, DEEPEST = 500, 50
"""Characters of an expression, and levels of nesting, at most."""

Kind: TypeAlias = Literal["number", "row"]


@dataclass(frozen=True)
class Number:
    """A constant."""

    value: float
    kind: Kind = "number"


@dataclass(frozen=True)
class Name:
    """A row of the agent's output, one entry of it (``index``), or the critic's value."""

    name: str
    index: int | None
    kind: Kind


@dataclass(frozen=True)
class Negation:
    """Minus an expression."""

    operand: Expression
    kind: Kind


@dataclass(frozen=True)
class Operation:
    """Two expressions with ``+``, ``-``, ``*``, ``/`` or ``^`` between them."""

    operator: str
    left: Expression
    right: Expression
    kind: Kind


@dataclass(frozen=True)
class Call:
    """A function of expressions."""

    function: str
    arguments: tuple[Expression, ...]
    kind: Kind


Expression: TypeAlias = Number | Name | Negation | Operation | Call
_Rule: TypeAlias = Callable[[], Expression]

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<word>[A-Za-z_]\w*)
    |(?P<string>"[^"]*"|'[^']*')|(?P<mark>[-+*/^()\[\],]))""",
    re.VERBOSE,
)
_SIGNS = frozenset("()[]*/^\"'")


def is_expression(name: str) -> bool:
    """Whether the name of a target is meant as an expression: it has brackets, quotes, or signs that no other name has."""
    return bool(_SIGNS.intersection(name))


def parse(text: str, action_names: Sequence[str]) -> Expression:
    """The syntax tree of an expression, whose value is a number.

    Args:
        text: the expression.
        action_names: which entries of rows may be called by.

    Raises:
        UnknownTargetError: it is not an expression; the message shows where.
    """
    if len(text) > LONGEST:
        raise UnknownTargetError(
            f"an expression of {len(text)} characters", expected=f"at most {LONGEST}", todo="use path.py:function instead"
        )
    parser = _Parser(text, tuple(action_names))
    tree = parser.expression()
    parser.end()
    if tree.kind == "row":
        raise parser.error("the expression has one number for each action", "one number for each state", at=0,
                           todo="put max(...), min(...), avg(...) or sum(...) around it, or choose one action")  # fmt: skip
    return tree


def rows_used(tree: Expression) -> frozenset[str]:
    """The names in an expression."""
    match tree:
        case Number():
            return frozenset()
        case Name():
            return frozenset({tree.name})
        case Negation():
            return rows_used(tree.operand)
        case Operation():
            return rows_used(tree.left) | rows_used(tree.right)
        case Call():
            return frozenset[str]().union(*(rows_used(argument) for argument in tree.arguments))


_LEVELS = {"+": 1, "-": 1, "*": 2, "/": 2, "^": 4}


def write(tree: Expression, action_names: Sequence[str], level: int = 0) -> str:
    """The expression as text, always the same for the same tree; ``level`` is that of the operator around it."""
    match tree:
        case Number():
            return f"{tree.value:.12g}"
        case Name():
            return tree.name if tree.index is None else f"{tree.name}[{_index(tree.index, action_names)}]"
        case Negation():
            text, own = f"-{write(tree.operand, action_names, 3)}", 3
        case Operation():
            own = _LEVELS[tree.operator]
            if tree.operator == "^":
                text = f"{write(tree.left, action_names, own + 1)}^{write(tree.right, action_names, 3)}"
            else:
                text = f"{write(tree.left, action_names, own)} {tree.operator} {write(tree.right, action_names, own + 1)}"
        case Call():
            return f"{tree.function}({', '.join(write(argument, action_names) for argument in tree.arguments)})"
    return f"({text})" if own < level else text


def _index(index: int, action_names: Sequence[str]) -> str:
    """The name of an action in quotes; its number if the name would not be read back as this action."""
    name = action_names[index]
    return f'"{name}"' if '"' not in name and action_names.index(name) == index else str(index)


def expression_slug(text: str) -> str:
    """The folder name of a target that is an expression, from its text as :func:`write` returns it."""
    words = "-".join(re.findall(r"[a-z0-9]+", text.lower()))[:32].strip("-")
    return f"expression-{words}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


class _Parser:
    """Recursive descent, one method for each rule of the grammar."""

    def __init__(self, text: str, actions: tuple[str, ...]) -> None:
        self._text, self._actions = text, actions
        self._depth = 0
        self._at = 0
        """Where the current token ends."""
        self._start = 0
        """Where it starts."""
        self._type, self._token = "", ""
        self._advance()

    def expression(self) -> Expression:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self.error(f"more than {DEEPEST} levels of nesting", "a simpler expression")
        left = self._term()
        while self._is("+", "-"):
            left = self._operation(left, self._term)
        self._depth -= 1
        return left

    def end(self) -> None:
        if self._type:
            raise self.error(f"{self._token!r} after the end of the expression", "an operator")

    def error(self, seen: str, expected: str, *, at: int | None = None, todo: str = "") -> UnknownTargetError:
        position = self._start if at is None else at
        return UnknownTargetError(
            f"{seen}, at character {position + 1} of the target\n    {self._text}\n    {' ' * position}^",
            expected=expected, todo=todo or 'see docs/targets.md for the grammar, such as q["LEFT"] - max(q)',
        )  # fmt: skip

    def _term(self) -> Expression:
        left = self._factor()
        while self._is("*", "/"):
            left = self._operation(left, self._factor)
        return left

    def _factor(self) -> Expression:
        if not self._is("-"):
            return self._power()
        self._depth += 1
        if self._depth > DEEPEST:
            raise self.error(f"more than {DEEPEST} signs in a row", "a simpler expression")
        self._advance()
        operand = self._factor()
        self._depth -= 1
        return Negation(operand, operand.kind)

    def _power(self) -> Expression:
        base = self._atom()
        return self._operation(base, self._factor) if self._is("^") else base

    def _operation(self, left: Expression, rule: _Rule) -> Expression:
        operator = self._take()
        right = rule()
        return Operation(operator, left, right, "row" if "row" in (left.kind, right.kind) else "number")

    def _atom(self) -> Expression:
        if self._is("("):
            self._take()
            inner = self.expression()
            self._expect(")")
            return inner
        if self._type == "number":
            return Number(float(self._take()))
        if self._type == "word":
            return self._named()
        seen = f"{self._token!r}" if self._type else "the end of the text"
        raise self.error(seen, "a number, a name, a function, or (")

    def _named(self) -> Expression:
        at, word = self._start, self._take()
        if self._is("(") and word in (*REDUCTIONS, *ELEMENTWISE):
            return self._call(at, word)
        if word == VALUE:
            return Name(VALUE, None, "number")
        if word not in ROWS:
            known = ", ".join((*ROWS, VALUE, *(f"{name}()" for name in (*REDUCTIONS, *ELEMENTWISE))))
            action = f'; write q["{word}"] for an action' if word in self._actions else ""
            raise self.error(f"there is no {word!r}", f"one of {known}{action}", at=at)
        if not self._is("["):
            return Name(word, None, "row")
        self._take()
        index = self._action()
        self._expect("]")
        return Name(word, index, "number")

    def _action(self) -> int:
        """The position of the action that the current token names."""
        actions = self._actions
        if self._type == "string":
            name = self._token[1:-1]
            found = [i for i, known in enumerate(actions) if known == name]
            found = found or [i for i, known in enumerate(actions) if known.upper() == name.upper()]
            if not found:
                raise self.error(f"there is no action {name!r}", f"one of {', '.join(actions)}")
            self._take()
            return found[0]
        if self._type == "number" and self._token.isdigit() and int(self._token) < len(actions):
            return int(self._take())
        raise self.error(f"{self._token!r}", f"the name of an action in quotes, or a number from 0 to {len(actions) - 1}")

    def _call(self, at: int, function: str) -> Expression:
        self._take()
        arguments = [self.expression()]
        while self._is(","):
            self._take()
            arguments.append(self.expression())
        self._expect(")")
        kinds = {argument.kind for argument in arguments}
        if function in ELEMENTWISE and len(arguments) == 1:
            return Call(function, tuple(arguments), arguments[0].kind)
        if function in REDUCTIONS and len(arguments) == 1 and kinds == {"row"}:
            return Call(function, tuple(arguments), "number")
        if function in SEVERAL and len(arguments) > 1 and kinds == {"number"}:
            return Call(function, tuple(arguments), "number")
        expected = "one number or row" if function in ELEMENTWISE else "one row, such as q"
        also = ", or several numbers" if function in SEVERAL else ""
        given = f"{len(arguments)} argument{'s' if len(arguments) > 1 else ''} ({', '.join(a.kind for a in arguments)})"
        raise self.error(f"{function} of {given}", f"{expected}{also}", at=at)

    def _is(self, *marks: str) -> bool:
        return self._type == "mark" and self._token in marks

    def _expect(self, mark: str) -> None:
        if not self._is(mark):
            raise self.error(f"{self._token!r}" if self._type else "the end of the text", repr(mark))
        self._take()

    def _take(self) -> str:
        token = self._token
        self._advance()
        return token

    def _advance(self) -> None:
        rest = self._text[self._at :]
        self._start = self._at + len(rest) - len(rest.lstrip())
        if not rest.strip():
            self._type, self._token = "", ""
            return
        match = _TOKEN.match(self._text, self._at)
        if match is None or match.lastgroup is None:
            raise self.error(f"the character {self._text[self._start]!r}", "numbers, names, operators and brackets")
        self._at, self._type, self._token = match.end(), match.lastgroup, match[match.lastgroup]

"""How the cost of every node grows with batch, sequence and image: the network is run at a few other sizes.

* The work and the allocated elements of a node are polynomials of degree two in the sizes of the inputs (products of
  matrices, convolutions, attention), times the batch. A few runs on shapes fix the coefficients, one more checks them.
* Layers that round a size up (windows, chunks) are no polynomial at small sizes; their coefficients come from larger
  ones, and the check says whether these hold.
* An axis whose other sizes the network refuses (an image for fixed positions) stays as it was traced.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import torch

from .tracing_costs_archbert import NodeCost

_IMAGE_STEPS = ((1, 2, 3, 4),)
_LENGTH_STEPS = ((1, 2, 4, 64), (128, 256, 384, 640))
_MAX_DENOMINATOR = 10**6


class _Inputs:
    """Inputs of a network, and which of their dimensions are batch, sequence, target and image."""

    def __init__(self, inputs: Any) -> None:
        self.inputs = inputs
        leaves = dict(_leaves("", inputs))
        self.plans: dict[str, list[Mapping[str, tuple[int, ...]]]] = {}
        self.sizes: dict[str, int] = {}
        first = next((t for t in leaves.values() if t.dim()), None)
        if first is None:
            return
        rows = int(first.shape[0])
        self._offer("batch", rows, {k: (0,) for k, t in leaves.items() if t.dim() and t.shape[0] == rows})
        for axis, chosen in (("sequence", False), ("target", True)):
            self._offer_length(axis, {k: t for k, t in leaves.items() if ("decoder" in k or "target" in k) == chosen})
        images = {k: t for k, t in leaves.items() if t.dim() >= 4 and t.is_floating_point() and min(t.shape[-2:]) > 1}
        if images:
            height, width = next(iter(images.values())).shape[-2:]
            alike = {k: t for k, t in leaves.items() if t.dim() > 2 and tuple(t.shape[-2:]) == (height, width)}
            self._offer("image", int(height * width), {k: (t.dim() - 2, t.dim() - 1) for k, t in alike.items()})

    def _offer(self, axis: str, size: int, dims: Mapping[str, tuple[int, ...]]) -> None:
        self.sizes[axis] = size
        self.plans.setdefault(axis, []).append(dims)

    def _offer_length(self, axis: str, leaves: Mapping[str, torch.Tensor]) -> None:
        """Dimension 1 of token ids and of what is as long; without ids, of the first series or waveform."""
        ids = [t for t in leaves.values() if t.dim() == 2 and not t.is_floating_point()]
        series = [t for t in leaves.values() if t.dim() in (2, 3) and t.is_floating_point()]
        if ids:
            length = int(ids[0].shape[1])
            alike = {k: (1,) for k, t in leaves.items() if t.dim() in (2, 3) and t.shape[1] == length}
            self._offer(axis, length, alike)
        elif series:
            for dim in range(1, series[0].dim()):
                length = int(series[0].shape[dim])
                alike = {k: (dim,) for k, t in leaves.items() if 1 < t.dim() < 4 and length in t.shape[1:]}
                self._offer(axis, length, alike)

    def resized(self, factors: Mapping[str, int], plans: Mapping[str, int]) -> Any:
        """The inputs with each axis so many times as long; new places repeat the last ones."""
        dims: dict[str, dict[int, int]] = defaultdict(dict)
        for axis, factor in factors.items():
            for name, which in self.plans[axis][plans.get(axis, 0)].items():
                dims[name].update(dict.fromkeys(which, factor))
        return _rebuilt("", self.inputs, dims)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(f"{name}.{key}", item)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _leaves(f"{name}.{index}", item)


def _rebuilt(name: str, value: Any, dims: Mapping[str, Mapping[int, int]]) -> Any:
    if isinstance(value, torch.Tensor):
        for dim, factor in dims.get(name, {}).items():
            value = _longer(value, dim, factor)
        return value
    if isinstance(value, Mapping):
        return {key: _rebuilt(f"{name}.{key}", item, dims) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(_rebuilt(f"{name}.{i}", item, dims) for i, item in enumerate(value))
    return value


def _longer(tensor: torch.Tensor, dim: int, factor: int) -> torch.Tensor:
    size = int(tensor.shape[dim])
    if tensor.is_floating_point() or tensor.device.type == "meta":
        sizes = [*tensor.shape[:dim], size * factor, *tensor.shape[dim + 1 :]]
        return torch.empty(sizes, dtype=tensor.dtype, device="meta")
    last = tensor.narrow(dim, size - 1, 1)
    return torch.cat([tensor, last.repeat_interleave(size * (factor - 1), dim)], dim)


Table = dict[Any, tuple[int, int]]
"""Key of a node -> its work and elements."""
Terms = dict[tuple[int, ...], Fraction]
"""Exponents of the axes -> coefficient."""


class _Runs:
    """Runs of one network at several sizes, each made once."""

    def __init__(self, run: Callable[[Any], list[NodeCost]], inputs: Any) -> None:
        self.inputs = _Inputs(inputs)
        self.plans: dict[str, int] = {}
        self._run = run
        self._done: dict[tuple[tuple[str, int], ...], list[NodeCost]] = {}
        self.base = self.at({})

    def at(self, factors: Mapping[str, int]) -> list[NodeCost]:
        """Costs at the traced sizes times `factors`."""
        key = tuple(sorted((axis, f) for axis, f in factors.items() if f != 1))
        if key not in self._done:
            self._done[key] = self._run(self.inputs.resized(dict(key), self.plans))
        return self._done[key]

    def accepts(self, axis: str, factor: int) -> bool:
        """Whether the network runs with this axis longer; settles which dimensions the axis means."""
        for index in range(len(self.inputs.plans.get(axis, ()))):
            self.plans[axis] = index
            try:
                longer = self.at({axis: factor})
            except RuntimeError:
                continue
            if _total(longer) != _total(self.base) or axis != "sequence":
                return True
        self.plans.pop(axis, None)
        return False

    def table(self, factors: Mapping[str, int], aligned: bool) -> Table:
        """Costs by node: by its place, or by path and op where the number of nodes depends on sizes."""
        table: Table = {}
        for index, cost in enumerate(self.at(factors)):
            key: Any = index if aligned else (cost.name, cost.op)
            work, elements = table.get(key, (0, 0))
            table[key] = (work + cost.work, elements + cost.elements)
        return table

    @property
    def aligned(self) -> bool:
        """Whether every run so far had the same nodes."""
        names = [(c.name, c.op) for c in self.base]
        return all([(c.name, c.op) for c in costs] == names for costs in self._done.values())


def _total(costs: Sequence[NodeCost]) -> tuple[int, int]:
    return sum(c.work for c in costs), sum(c.elements for c in costs)


def measured_costs(run: Callable[[Any], list[NodeCost]], inputs: Any) -> dict[str, Any] | None:
    """The costs of a network and how they grow, as `ArchitectureGraph.costs` keeps them; None where no run succeeds.

    Args:
        run: runs the network on inputs and gives the costs of its nodes, in order; raises RuntimeError for inputs
            that it refuses.
        inputs: those that the graph was traced with.
    """
    try:
        runs = _Runs(run, inputs)
    except RuntimeError:
        return None
    names = [axis for axis in ("sequence", "target", "image") if runs.accepts(axis, 2)]
    batched = runs.accepts("batch", 2)
    steps = {}
    exact = []
    for axis in names:
        steps[axis], holds = _steps(runs, axis)
        if holds:
            exact.append(axis)
    for pair in itertools.combinations(names, 2):
        try:
            runs.at({axis: steps[axis][1] for axis in pair} | _first(steps, pair))
        except RuntimeError:
            names = [name for name in names if name != pair[1]]
    return _Fit(runs, names, {name: steps[name] for name in names}, batched).result(
        [name for name in exact if name in names]
    )


def _first(steps: Mapping[str, Sequence[int]], but: Sequence[str] = ()) -> dict[str, int]:
    """Where the other axes stand while one is varied."""
    return {axis: step[0] for axis, step in steps.items() if axis not in but}


def _steps(runs: _Runs, axis: str) -> tuple[tuple[int, int, int], bool]:
    """Three factors of an axis that a polynomial goes through, and whether it holds at a fourth one."""
    ladders = _IMAGE_STEPS if axis == "image" else _LENGTH_STEPS
    grows = [(c.name, c.op) for c in runs.base] != [(c.name, c.op) for c in runs.at({axis: 2})]
    if grows:  # a loop over the sequence: long ones take long
        ladders = ((1, 2, 4, 6),)
    elif axis != "image" and runs.inputs.sizes[axis] > 512:
        ladders = _IMAGE_STEPS
    best = ladders[0][:3]
    for ladder in ladders:
        try:
            totals = [_total(runs.at({axis: factor})) for factor in ladder]
        except RuntimeError:
            continue
        best = ladder[:3]
        points = [_ratio(axis, factor) for factor in ladder]
        expected = [_parabola(points[:3], [t[i] for t in totals[:3]], Fraction(points[3])) for i in range(2)]
        if expected == [Fraction(v) for v in totals[3]]:
            return best, True
    return best, False


def _ratio(axis: str, factor: int) -> int:
    """How often the traced size goes into one whose sides are `factor` times as long; an image counts in pixels."""
    return factor**2 if axis == "image" else factor


def _parabola(points: Sequence[int], values: Sequence[int], at: Fraction) -> Fraction:
    return sum((c * at**i for i, c in enumerate(_coefficients(points, values))), Fraction(0))


def _coefficients(points: Sequence[int], values: Sequence[int]) -> tuple[Fraction, Fraction, Fraction]:
    """Coefficients of 1, x and x^2 of the parabola through three points."""
    (a, b, c), (fa, fb, fc) = points, map(Fraction, values)
    first, second = (fb - fa) / (b - a), (fc - fb) / (c - b)
    square = (second - first) / (c - a)
    linear = first - square * (a + b)
    return fa - linear * a - square * a * a, linear, square


class _Fit:
    """Coefficients of every node from runs at the chosen steps."""

    def __init__(self, runs: _Runs, names: Sequence[str], steps: Mapping[str, Sequence[int]], batched: bool) -> None:
        self.runs, self.names, self.steps, self.batched = runs, names, steps, batched
        self.axes = [*(["batch"] if batched else []), *names]
        start = _first(steps)
        self.factors: list[dict[str, int]] = [start]
        self.factors += [start | {n: s} for n in names for s in steps[n][1:]]
        self.factors += [start | {n: steps[n][1] for n in pair} for pair in itertools.combinations(names, 2)]
        for factors in (*self.factors, *([{"batch": 2}] if batched else [])):
            runs.at(factors)
        self.aligned = runs.aligned
        self.tables = {tuple(sorted(f.items())): runs.table(f, self.aligned) for f in self.factors}
        self.base = runs.table({}, self.aligned)
        self.double = runs.table({"batch": 2}, self.aligned) if batched else {}

    def _value(self, factors: Mapping[str, int], key: Any, what: int) -> int:
        return self.tables[tuple(sorted(factors.items()))].get(key, (0, 0))[what]

    def polynomial(self, key: Any, what: int) -> Terms:
        """Exponents of the axes -> coefficient, for sizes relative to the traced ones."""
        start, names = self.factors[0], self.names
        terms: Terms = defaultdict(Fraction)
        unit = [tuple(int(i == j) for j in range(len(names))) for i in range(len(names))]
        linear = {}
        for name, place in zip(names, unit, strict=True):
            values = [self._value(start | {name: s}, key, what) for s in self.steps[name]]
            points = [_ratio(name, s) for s in self.steps[name]]
            _, linear[name], terms[tuple(2 * e for e in place)] = _coefficients(points, values)
        for i, j in itertools.combinations(range(len(names)), 2):
            (a0, a1), (b0, b1) = (self.steps[names[k]][:2] for k in (i, j))
            both = self._value(start | {names[i]: a1, names[j]: b1}, key, what)
            left, right = (self._value(start | {names[k]: s}, key, what) for k, s in ((i, a1), (j, b1)))
            x0, x1 = (_ratio(names[i], s) for s in (a0, a1))
            y0, y1 = (_ratio(names[j], s) for s in (b0, b1))
            mixed = Fraction(both - left - right + self._value(start, key, what), (x1 - x0) * (y1 - y0))
            terms[tuple(x + y for x, y in zip(unit[i], unit[j], strict=True))] = mixed
            linear[names[i]] -= mixed * y0
            linear[names[j]] -= mixed * x0
        for name, place in zip(names, unit, strict=True):
            terms[place] += linear[name]
        here = [Fraction(_ratio(name, start[name])) for name in names]
        others = sum((c * math.prod((x**e for x, e in zip(here, k, strict=True)), start=Fraction(1))
                      for k, c in terms.items()), Fraction(0))  # fmt: skip
        terms[(0,) * len(names)] += self._value(start, key, what) - others
        return self._with_batch({k: c for k, c in terms.items() if c}, key, what)

    def _with_batch(self, terms: Terms, key: Any, what: int) -> Terms:
        if not self.batched:
            return terms
        once, twice = self.base.get(key, (0, 0))[what], self.double.get(key, (0, 0))[what]
        if once and twice == once:
            return {(0, *k): c for k, c in terms.items()}
        result = {(1, *k): c for k, c in terms.items()}
        alone = 2 * once - twice
        if once and alone:  # some of it is done once for all rows
            constant = (0,) * len(self.names)
            result[(1, *constant)] = result.get((1, *constant), Fraction(0)) - alone
            result[(0, *constant)] = Fraction(alone)
        return result

    def result(self, exact: Sequence[str]) -> dict[str, Any]:
        """The record that the graph keeps."""
        places: dict[Any, int] = {}
        for index, cost in enumerate(self.runs.base):
            places.setdefault(index if self.aligned else (cost.name, cost.op), index)
        keys = dict.fromkeys(key for table in self.tables.values() for key in table)
        rows: tuple[list[Any], list[Any]] = ([], [])
        for key in keys:
            for what in range(2):
                node = places.get(key, len(self.runs.base) - 1)
                rows[what].extend((node, k, c) for k, c in self.polynomial(key, what).items() if c)
        denominator = math.lcm(*(c.denominator for row in rows for *_, c in row))
        denominator = denominator if denominator <= _MAX_DENOMINATOR else 1
        terms = sorted({k for row in rows for _, k, _ in row})
        numbers = {k: i for i, k in enumerate(terms)}
        packed = [sorted((n, numbers[k], round(c * denominator)) for n, k, c in row) for row in rows]
        sizes = self.runs.inputs.sizes
        return {
            "axes": {axis: sizes[axis] for axis in self.axes},
            "fixed": {axis: size for axis, size in sizes.items() if axis not in self.axes},
            "exact": [axis for axis in self.axes if axis == "batch" or axis in exact],
            "terms": [list(term) for term in terms],
            "denominator": denominator,
            "work": [[row[i] for row in packed[0]] for i in range(3)],
            "elements": [[row[i] for row in packed[1]] for i in range(3)],
        }

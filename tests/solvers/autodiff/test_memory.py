"""What is remembered of graphs: bounded by their nodes, the least recently used forgotten first."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np

from nablad.expressions import Node, Symbol, parameter
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.memory import Memory
from nablad.solvers.models import Expression


def chain(name: str, length: int) -> Node:
    x: Symbol = parameter(name, ())
    for _ in range(length):
        x = s.sin(x)
    return x.node


def test_bounded_by_nodes() -> None:
    memory, calls = Memory(limit=1_000, last=2), []

    @memory.remembered
    def derived(node: Node, factor: int) -> Node:
        calls.append(factor)
        return s.cos(node).node

    small, other, large = chain("a", 10), chain("b", 10), chain("c", 2_000)
    assert derived(small, 1) is derived(small, 1)
    derived(small, 2)
    derived(other, 3)
    assert calls == [1, 2, 3]
    derived(small, 1)  # used again: younger than 2
    derived(large, 4)
    assert len(memory) == 2
    derived(large, 4)
    derived(small, 1)
    assert calls == [1, 2, 3, 4]
    derived(small, 2)
    assert calls == [1, 2, 3, 4, 2]
    gone = weakref.ref(large)
    derived(other, 3)
    del large
    gc.collect()
    assert gone() is None


def test_a_result_counts_as_at_least_so_many_nodes() -> None:
    memory, calls = Memory(limit=1_000, last=2, least=250), []

    @memory.remembered
    def derived(node: Node) -> None:
        calls.append(node)

    nodes = [chain(f"x{k}", 3) for k in range(5)]
    for node in (*nodes, *nodes[1:], nodes[0]):
        derived(node)
    assert len(memory) == 4
    assert calls == [*nodes, nodes[0]]


def test_compiled_models_are_bounded_too() -> None:
    """What a server checks before each job would else stay: a hundred megabytes for each large model."""

    def model(k: int) -> Expression:
        def f(x: Any) -> Any:
            for i in range(20_000):
                x = np.sin(x) + k / (i + 1)
            return x

        return Expression.trace(f, start=1.0)

    first = model(1)
    gone = weakref.ref(first.compiled)
    assert first.compiled is gone()
    del first
    for k in range(2, 4):
        assert model(k).compiled is not None
    gc.collect()
    assert gone() is None

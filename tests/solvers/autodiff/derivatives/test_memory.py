"""What is remembered of graphs: bounded by their nodes, the least recently used forgotten first."""

from __future__ import annotations

import gc
import weakref

from nablad.expressions import Node, Symbol, parameter
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.derivatives.memory import Memory


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

"""What the engine tells of derivatives, as messages."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from nablad.v1 import derivative_pb2 as pb

if TYPE_CHECKING:
    from nablad import solvers


def derivation(found: solvers.Derived) -> pb.Derivation:
    """How a derivative was computed."""
    return pb.Derivation(way=found.way, reason=found.reason, passes=found.passes, operations=found.flops)


def check(found: solvers.Check) -> pb.CheckDerivativesResponse:
    """Derivatives beside difference quotients."""
    blocks = [pb.BlockCheck(**asdict(block)) for block in found.blocks]
    return pb.CheckDerivativesResponse(blocks=blocks, passed=found.passed, message=found.message)


def description(found: solvers.Description) -> pb.DescribeGraphResponse:
    """A graph."""
    fields = asdict(found)
    nodes = [pb.GraphNode(**node) for node in fields.pop("nodes")]
    choices = [pb.WayChoice(**choice) for choice in fields.pop("choices")]
    return pb.DescribeGraphResponse(nodes=nodes, choices=choices, **fields)

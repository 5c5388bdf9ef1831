"""Frames come through as they were, and what is no frame is refused."""

from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nablad.server import frames
from nablad.server.frames import PARTS, Frame, FrameError, Kind


def any_frame(kind: Kind) -> st.SearchStrategy[Frame]:
    parts = st.tuples(*[st.binary(max_size=40)] * PARTS[kind])
    numbers = st.integers(0, 2**64 - 1)
    return st.builds(Frame, st.just(kind), parts, st.integers(0, 2**32 - 1), numbers, numbers)


@given(st.sampled_from(Kind).flatmap(any_frame))
def test_a_frame_comes_through(frame: Frame) -> None:
    assert frames.decode(frames.encode(frame)[4:]) == frame


@given(st.sampled_from(Kind).flatmap(any_frame), st.data())
def test_cut_bytes_are_refused(frame: Frame, data: st.DataObject) -> None:
    body = frames.encode(frame)[4:]
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(FrameError):
        frames.decode(body[:cut])


def test_a_frame_has_the_parts_of_its_kind() -> None:
    with pytest.raises(FrameError, match="SOLVE"):
        frames.encode(Frame(Kind.SOLVE, (b"",)))


def test_every_kind_has_its_parts() -> None:
    assert set(PARTS) == set(Kind)


async def test_both_ends_read_the_same() -> None:
    sent = [Frame(Kind.CANCEL), Frame(Kind.EVALUATED, (b"x" * 200_000,), 1, 2, 3)]
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    with theirs:
        for frame in sent:
            receiving = asyncio.create_task(asyncio.to_thread(frames.receive, theirs))
            writer.write(frames.encode(frame))
            assert await receiving == frame
            theirs.sendall(frames.encode(sent[0]))
            assert await frames.read(reader) == sent[0]
        theirs.sendall(frames.encode(sent[1])[:100])  # the other end dies in the middle
    assert await frames.read(reader) is None
    writer.close()

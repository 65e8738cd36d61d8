"""What a piece of work takes of memory, whatever the other threads of the test's process do meanwhile."""

from __future__ import annotations

import gc
import multiprocessing
import tracemalloc
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar, cast

T = TypeVar("T")


def peak_of(work: Callable[[], T]) -> tuple[T, int]:
    """Its result (which must be picklable), and the most bytes that Python held for it at once. Done in a fork, where
    no other thread is: tracemalloc counts them all."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_measured, args=(work, theirs))
    child.start()
    theirs.close()
    try:
        return cast(tuple[T, int], ours.recv())
    finally:
        ours.close()
        child.join()


def _measured(work: Callable[[], object], answer: Connection) -> None:
    gc.disable()
    tracemalloc.start()
    found = work()
    _, peak = tracemalloc.get_traced_memory()
    answer.send((found, peak))

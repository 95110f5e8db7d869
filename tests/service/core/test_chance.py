"""Chance is drawn in pieces, and nobody gets the same bytes twice."""

import subprocess
import sys

from service.core.randomness import RandomPool

TWINS = """
import os
from service.core.randomness import system_random_bytes
system_random_bytes(1, "begin a piece")
read, write = os.pipe()
if not os.fork():
    os.write(write, system_random_bytes(32, "the child's"))
    os._exit(0)
print(os.read(read, 32) != system_random_bytes(32, "the parent's"))
"""


def test_whatever_sizes_are_taken_each_byte_is_given_once() -> None:
    pool = RandomPool(piece=64)
    taken = [pool.take(size) for size in (12, 44, 44, 16, 200, 8, 8) for _ in range(40)]
    assert [len(one) for one in taken[::40]] == [12, 44, 44, 16, 200, 8, 8]
    assert len(set(taken)) == len(taken)


def test_a_forked_process_does_not_share_what_is_left() -> None:
    said = subprocess.run([sys.executable, "-c", TWINS], capture_output=True, text=True, check=True)
    assert said.stdout == "True\n"

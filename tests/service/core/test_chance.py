"""Chance is drawn in pieces, nobody gets the same bytes twice, and no key is drawn ahead."""

import subprocess
import sys
from unittest.mock import patch

from service.core import randomness
from service.core.randomness import SECRET_BYTES, RandomPool, system_random_bytes

TWINS = """
import os
from service.core.randomness import system_random_bytes
system_random_bytes(1, "begin a piece")
read, write = os.pipe()
if not os.fork():
    os.write(write, system_random_bytes(44, "the child's"))
    os._exit(0)
print(os.read(read, 44) != system_random_bytes(44, "the parent's"))
"""


def test_whatever_sizes_are_taken_each_byte_is_given_once() -> None:
    pool = RandomPool(piece=64)
    taken = [pool.take(size) for size in (12, 44, 44, 16, 200, 8, 8) for _ in range(40)]
    assert [len(one) for one in taken[::40]] == [12, 44, 44, 16, 200, 8, 8]
    assert len(set(taken)) == len(taken)


def test_a_forked_process_does_not_share_what_is_left() -> None:
    said = subprocess.run([sys.executable, "-c", TWINS], capture_output=True, text=True, check=True)
    assert said.stdout == "True\n"


def test_a_key_is_drawn_when_it_is_needed_and_never_lies_in_the_pool() -> None:
    with patch.object(randomness, "_pool", RandomPool(piece=64)) as pool:
        keys = {system_random_bytes(SECRET_BYTES, "key") for _ in range(40)}
        assert (len(keys), len(pool._drawn)) == (40, 0)
        system_random_bytes(8, "request id")
        assert len(pool._drawn) == 64

"""Chance is the operating system's."""

from service.core.randomness import system_random_bytes


def test_nobody_gets_the_same_bytes_twice() -> None:
    drawn = [system_random_bytes(size, "test") for size in (12, 44, 44, 16, 200) for _ in range(40)]
    assert [len(one) for one in drawn[::40]] == [12, 44, 44, 16, 200]
    assert len(set(drawn)) == len(drawn)

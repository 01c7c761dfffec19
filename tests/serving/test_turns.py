"""Photos take turns in the order in which they came, and it is known how long they take."""

import threading
import time
from contextlib import suppress

import pytest

from refocal.serving.turns import Turns


@pytest.mark.parametrize("at_once", [1, 2])
def test_who_came_first_is_served_first(at_once: int) -> None:
    """Also where a holder comes again as soon as it has left, which a semaphore lets in before all others."""
    turns, served, started = Turns(at_once), [], threading.Event()

    def come(name: int) -> None:
        with turns:
            served.append(name)
            time.sleep(0.02)

    def stay() -> None:
        with turns:
            started.wait(10)
        come(99)

    holders = [threading.Thread(target=stay) for _ in range(at_once)]
    others = [threading.Thread(target=come, args=(number,)) for number in range(6)]
    for thread in [*holders, *others]:
        thread.start()
        time.sleep(0.03)  # until it waits
    assert not served
    started.set()
    for thread in [*holders, *others]:
        thread.join(10)
    assert served[-at_once:] == [99] * at_once
    first = [name for name in served if name != 99]
    assert first == sorted(first) if at_once == 1 else abs(sum(first[:2]) - 1) <= 1


def test_no_more_hold_it_than_may_and_an_error_gives_it_back() -> None:
    turns, inside, most = Turns(2), [], []
    lock = threading.Lock()

    def work(number: int) -> None:
        with suppress(KeyError), turns:
            with lock:
                inside.append(number)
                most.append(len(inside))
            time.sleep(0.01)
            with lock:
                inside.remove(number)
            {0: number}[number % 3]  # an error of two in three

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert max(most) == 2
    assert len(most) == 20


def test_the_wait_is_that_of_those_ahead_by_how_long_they_took_of_late() -> None:
    turns = Turns(2)
    assert turns.wait(50) == 0  # nobody knows yet
    with turns:
        time.sleep(0.1)
    with pytest.raises(ValueError, match="bad"), turns:
        raise ValueError("bad")  # says nothing about how long photos take
    once = turns.wait(2)
    assert 0.1 <= once < 0.2
    assert turns.wait(0) == turns.wait(1) == 0
    assert turns.wait(3) == once
    assert turns.wait(4) == turns.wait(5) == pytest.approx(2 * once)
    for _ in range(30):
        with turns:
            pass
    assert turns.wait(2) < 0.01

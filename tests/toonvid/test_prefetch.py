"""Read-ahead keeps the order, is bounded, and never leaves its thread running."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from toonvid.prefetch import prefetch


def test_items_arrive_in_order():
    with prefetch(range(100), 3) as items:
        assert list(items) == list(range(100))
        assert list(items) == []  # an exhausted iterator stays exhausted


def test_no_more_than_depth_items_wait():
    made: list[int] = []
    enough = threading.Event()

    def numbers() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == 4:
                enough.set()
            yield number

    with prefetch(numbers(), 3) as items:
        assert next(items) == 0
        assert enough.wait(60)  # one taken, three in the queue, one about to be put
        assert len(made) <= 5
        assert [next(items) for _ in range(10)] == list(range(1, 11))


def test_items_are_made_on_another_thread():
    def names() -> Iterator[str]:
        yield threading.current_thread().name

    with prefetch(names(), 1) as items:
        assert next(items) != threading.current_thread().name


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_arrives_after_the_items_before_it(error):
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise error

    found = []
    with prefetch(failing(), 5) as items, pytest.raises(type(error)) as raised:
        found.extend(items)
    assert found == [1, 2]
    assert raised.value is error


def test_after_an_error_the_iterator_is_exhausted():
    def failing() -> Iterator[int]:
        raise ValueError("bad")
        yield

    with prefetch(failing(), 1) as items:
        with pytest.raises(ValueError, match="bad"):
            next(items)
        assert list(items) == []


def test_an_error_in_iter_is_raised_in_the_consumer():
    class Broken:
        def __iter__(self) -> Iterator[int]:
            raise ValueError("cannot start")

    with prefetch(Broken(), 1) as items, pytest.raises(ValueError, match="cannot start"):
        next(items)


def test_close_stops_a_thread_that_waits_for_room():
    ended = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            ended.set()

    items = prefetch(endless(), 2)
    assert next(items) == 1
    before = threading.active_count()
    items.close()
    assert threading.active_count() == before - 1
    items.close()  # closing twice is allowed


def test_close_waits_until_the_source_is_no_longer_in_use():
    busy, may_end, used_after = threading.Event(), threading.Event(), []

    def slow() -> Iterator[int]:
        busy.set()
        may_end.wait(60)
        used_after.append(closed.is_set())
        yield 1

    closed = threading.Event()
    items = prefetch(slow(), 1)
    assert busy.wait(60)
    threading.Timer(0.1, may_end.set).start()
    items.close()
    closed.set()
    assert used_after == [False]


def test_two_stages_in_a_row_close_from_the_last_to_the_first():
    first = prefetch(iter(range(1000)), 2)
    second = prefetch((n * 2 for n in first), 2)
    assert next(second) == 0
    second.close()
    first.close()
    assert not any(t.is_alive() for t in (first._thread, second._thread))


def test_working_and_waiting_times_are_measured():
    def items() -> Iterator[int]:
        time.sleep(0.2)
        yield 1

    with prefetch(items(), 0) as reader:  # nothing happens before the consumer waits
        assert reader.working_seconds == reader.waiting_seconds == 0
        assert list(reader) == [1]
        assert reader.working_seconds > 0.1
        assert reader.waiting_seconds > 0.1


def test_depth_is_not_negative():
    with pytest.raises(ValueError, match="depth = -1"):
        prefetch([], -1)


def test_with_a_depth_of_0_items_are_made_when_they_are_asked_for():
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    with prefetch(numbers(), 0) as items:
        for number in range(5):
            assert next(items) == number
            assert made == list(range(number + 1))


def test_what_has_given_all_is_not_interrupted():
    interrupted = []
    items = prefetch([1, 2], 2, lambda: interrupted.append(1) or True)
    assert list(items) == [1, 2]
    items.close()
    assert interrupted == []


def test_a_close_that_an_exception_ended_is_finished_by_the_next(monkeypatch):
    class Stopped(BaseException):
        """What a signal handler raises."""

    left = threading.Event()

    def slow() -> Iterator[int]:
        try:
            while True:
                time.sleep(0.3)
                yield 1
        finally:
            left.set()

    items = prefetch(slow(), 1)
    with monkeypatch.context() as patch:

        def interrupted() -> None:
            raise Stopped

        patch.setattr(items, "_drain", interrupted)
        with pytest.raises(Stopped):
            items.close()
    items.close()
    assert left.is_set()

"""The search for cycles is held off while answers are built, and never for good."""

import gc
import threading

import pytest

from spanledger.query_api import garbage


@pytest.fixture(autouse=True)
def searching():
    assert gc.isenabled()
    yield
    gc.enable()


def test_no_search_within_and_a_search_again_behind_also_after_an_error():
    def fail():
        with garbage.held_off():
            assert not gc.isenabled()
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert gc.isenabled()


def test_it_is_held_off_until_the_last_of_several_threads_is_done():
    entered, leave = threading.Event(), threading.Event()

    def build():
        with garbage.held_off():
            entered.set()
            leave.wait()

    other = threading.Thread(target=build)
    with garbage.held_off():
        other.start()
        entered.wait()
    assert not gc.isenabled()
    leave.set()
    other.join()
    assert gc.isenabled()


def test_who_comes_late_does_not_hold_it_off_any_longer(monkeypatch):
    """Under constant load somebody always builds."""
    first, second = garbage.held_off(), garbage.held_off()
    first.__enter__()
    monkeypatch.setattr(garbage, "_LONGEST_S", 0.0)
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_where_somebody_else_has_turned_it_off_it_stays_off():
    gc.disable()
    with garbage.held_off():
        pass
    assert not gc.isenabled()

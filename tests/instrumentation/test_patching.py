"""A method or function that is wrapped stays what it was to everybody who looks at it."""

import copy
import inspect
import pickle
import textwrap

import pytest

from spanledger.instrumentation.patching import Patch


@pytest.fixture
def wrapped():
    calls: list[str] = []

    def heard(original, _instance, args, kwargs):
        calls.append("heard")
        return original(*args, **kwargs)

    patch = Patch(textwrap, "dedent", heard)
    yield calls
    patch.undo()


@pytest.mark.parametrize(
    "same", [copy.copy, copy.deepcopy, lambda function: pickle.loads(pickle.dumps(function))]
)
def test_a_wrapped_function_is_copied_and_pickled_by_its_name(wrapped, same):
    assert same(textwrap.dedent) is textwrap.dedent
    assert same([textwrap.dedent])[0]("  a") == "a"
    assert wrapped == ["heard"]


def test_what_was_pickled_outlives_the_patch():
    patch = Patch(textwrap, "dedent", lambda original, _instance, args, kwargs: original(*args, **kwargs))
    sent = pickle.dumps(textwrap.dedent)
    patch.undo()
    assert pickle.loads(sent) is textwrap.dedent


def test_a_coroutine_function_stays_one():
    class Client:
        async def ask(self) -> str:
            return "answer"

    patch = Patch(Client, "ask", lambda original, _instance, args, kwargs: original(*args, **kwargs))
    assert inspect.iscoroutinefunction(Client().ask)
    patch.undo()
    assert inspect.isfunction(Client.ask)

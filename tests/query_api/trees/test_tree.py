"""query_api.trees.tree: the same spans give the same tree, and every span stands in it exactly once."""

from __future__ import annotations

import itertools
import json
import random
import time

import pytest

from spanledger.query_api.trees.tree import Span, build_tree, read_tree, tree_text, walk


def text_of(summary, roots):
    return b"".join(tree_text(summary, roots))


def spans_of(parents, starts=None):
    """Spans a, b, c, ... with these parents; they start in that order unless `starts` says otherwise."""
    names = "abcdefgh"
    starts = starts or range(len(parents))
    return [
        Span(start, names[n], parent, {"span_id": names[n], "start": start})
        for n, (parent, start) in enumerate(zip(parents, starts, strict=True))
    ]


def shape(roots):
    """The tree as text: a(b c(d)); ! marks an orphan, ~ a cycle."""
    out, last = [], -1
    for depth, node in walk(roots):
        out.append("(" if depth > last else ")" * (last - depth) + " ")
        marks = "?" if node["placeholder"] else "!" if node["orphan"] else "~" if node["cycle"] else ""
        out.append(node["span_id"] + marks)
        last = depth
    return "".join(out)[1:] + ")" * last


def stored(roots):
    """The spans of a tree: what is no placeholder."""
    return [node["span"] for _, node in walk(roots) if node["span"]]


@pytest.mark.parametrize(
    ("parents", "expected"),
    [
        ([None], "a"),
        ([None, "a", "a", "b"], "a(b(d) c)"),
        ([None, None, "a"], "a(c) b"),
        (["x", "a"], "a!(b)"),
        (["x", "x", None], "x?(a! b!) c"),
        (["x", None, "x", "y"], "x?(a! c!) b d!"),
        ([None, "y", "x", "y", "x", "b"], "a y?(b!(f) d!) x?(c! e!)"),
        (["a"], "a~"),
        (["a", "a"], "a~(b)"),
        (["b", "a"], "a~(b)"),
        (["c", "a", "b"], "a~(b(c))"),
        ([None, "c", "b", "c"], "a b~(c(d))"),
        (["b", "b", "d", "c"], "b~(a) c~(d)"),
        ([], ""),
    ],
)
def test_a_tree_has_the_shape_that_its_spans_decide(parents, expected):
    found = shape(build_tree(spans_of(parents)))
    assert found.lstrip("(") == expected


def test_a_missing_parent_is_named_and_only_orphans_name_one():
    orphan, root = build_tree(spans_of(["x", None]))
    assert (orphan["orphan"], orphan["missing_parent_id"], orphan["cycle"]) == (True, "x", False)
    assert (root["orphan"], root["missing_parent_id"], root["cycle"]) == (False, None, False)


def test_siblings_under_a_missing_parent_stand_below_one_placeholder_that_is_no_span():
    """A client can tell it: it has no field of a span but the id that is missing."""
    answer = json.loads(text_of({}, build_tree(spans_of(["x", None, "x"]))))
    placeholder, root = answer["roots"]
    first, second = placeholder.pop("children")
    assert placeholder == {"placeholder": True, "span_id": "x"}
    assert [(one["orphan"], one["missing_parent_id"], one["placeholder"]) for one in (first, second)] == [
        (True, "x", False)
    ] * 2
    assert (root["span_id"], root["placeholder"]) == ("b", False)


@pytest.mark.parametrize("value", [10**25, "\ud800", [0.1, 1e22], "é\u2028"])
def test_whatever_json_text_may_hold_can_be_written(value):
    spans = [Span(0, "a", None, {"span_id": "a", "value": value})]
    [root] = json.loads(text_of({}, build_tree(spans)))["roots"]
    assert root["value"] == value


def test_children_stand_by_start_then_id():
    found = build_tree(spans_of([None, "a", "a", "a"], starts=[0, 5, 5, 3]))
    assert shape(found) == "a(d b c)"


def test_a_child_may_start_before_its_parent():
    assert shape(build_tree(spans_of([None, "a"], starts=[9, 1]))) == "a(b)"


def test_of_spans_with_one_id_the_earliest_has_the_children():
    twice = [Span(1, "a", None, {"span_id": "a", "n": 1}), Span(2, "a", None, {"span_id": "a", "n": 2})]
    roots = build_tree([Span(3, "b", "a", {"span_id": "b"}), *reversed(twice)])
    assert [(root["span"].fields["n"], len(root["children"])) for root in roots] == [(1, 1), (2, 0)]


def test_a_later_copy_that_names_itself_hangs_below_the_earliest():
    twice = [Span(1, "a", None, {"span_id": "a"}), Span(2, "a", "a", {"span_id": "a"})]
    assert shape(build_tree(twice)) == "a(a)"


def test_every_small_trace_has_one_tree_in_any_order_with_every_span_once():
    for parents in itertools.product((None, "a", "b", "c", "d", "x"), repeat=4):
        spans = spans_of(parents)
        expected = build_tree(spans)
        assert sorted(span.span_id for span in stored(expected)) == ["a", "b", "c", "d"]
        for order in ((1, 0, 3, 2), (3, 2, 1, 0), (2, 3, 0, 1)):
            assert build_tree([spans[n] for n in order]) == expected, parents


def test_random_traces_do_not_depend_on_the_order_of_arrival():
    chance = random.Random(7)
    for _ in range(200):
        ids = [f"{n:02}" for n in range(chance.randrange(1, 30))]
        spans = [
            Span(
                chance.randrange(5),
                chance.choice([*ids, "new"]),
                chance.choice([None, "gone", *ids]),
                {"n": n},
            )
            for n in range(len(ids))
        ]
        spans = list({(span.start_ns, span.span_id): span for span in spans}.values())
        expected = text_of({}, build_tree(spans))
        chance.shuffle(spans)
        tree = build_tree(spans)
        assert text_of({}, tree) == expected
        assert sorted(span.fields["n"] for span in stored(tree)) == sorted(span.fields["n"] for span in spans)


def test_the_text_is_the_json_of_the_tree():
    chance = random.Random(3)
    for _ in range(100):
        parents = [chance.choice([None, *"abcdefx"]) for _ in range(8)]
        tree = build_tree(spans_of(parents))
        answer = json.loads(text_of({"trace_id": "1", "name": 'é"]}'}, tree))
        assert (answer["trace_id"], answer["name"]) == ("1", 'é"]}')
        assert shape(answer["roots"]) == shape(tree)


def test_a_trace_without_spans_or_totals_is_still_json():
    assert json.loads(text_of({}, [])) == {"roots": []}


def chain(length):
    return [
        Span(
            n,
            f"{n:016x}",
            f"{n - 1:016x}" if n else None,
            {"n": n, "text": 'a "quoted" [text] {\\}', "list": [{}, 1]},
        )
        for n in range(length)
    ]


def test_a_chain_of_5000_spans_is_built_written_and_read_without_recursion():
    spans = chain(5_000)
    random.Random(5).shuffle(spans)
    started = time.monotonic()
    answer = read_tree(text_of({"trace_id": "1"}, build_tree(spans)))
    assert time.monotonic() - started < 5
    found = list(walk(answer["roots"]))
    assert [(depth, node["n"]) for depth, node in found] == [(n, n) for n in range(5_000)]
    assert found[-1][1]["text"] == spans[0].fields["text"]


def test_10000_spans_below_one_are_built_in_a_moment():
    spans = [Span(0, "root", None, {"n": 0})]
    spans += [Span(n, f"{n:05}", "root", {"n": n}) for n in range(1, 10_000)]
    random.Random(5).shuffle(spans)
    started = time.monotonic()
    [root] = build_tree(spans)
    text_of({}, [root])
    assert time.monotonic() - started < 5
    assert [child["span"].fields["n"] for child in root["children"]] == list(range(1, 10_000))


def test_a_cycle_of_5000_spans_is_cut_at_its_earliest():
    spans = chain(5_000)
    spans[0] = spans[0]._replace(parent_id=spans[-1].span_id)
    [root] = build_tree(reversed(spans))
    assert (root["span"].fields["n"], root["cycle"]) == (0, True)
    assert sum(1 for _ in walk([root])) == 5_000

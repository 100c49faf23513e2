"""The classes that are listed for a function, by what it refers to and by what its items are."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import http
import json.decoder
import types
import typing

import pytest

from pando import values
from pando.errors import FunctionError
from pando.functions import item_classes
from pando.functions.item_classes import find_item_classes, send_with_classes


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Inner:
    color: Color


@dataclasses.dataclass
class Outer:
    inner: list[Inner | None]
    other: Other | None = None


@dataclasses.dataclass(slots=True)
class Other:
    x: object


class Pair(typing.NamedTuple):
    a: int
    b: Other


Point = collections.namedtuple("Point", "x y")


class Helper:
    """No data, but its methods make some."""

    def make(self):
        return Point(1, 2)

    @functools.cached_property
    def color(self):
        return Color.RED


helper = Helper()


def make_outer(x):
    return Outer([x])


def calls_another(x):
    return make_outer(x)


def is_annotated(job: typing.Optional[Pair]) -> dict[str, Color]:  # noqa: UP045
    raise NotImplementedError


def uses_library(x):
    return http.HTTPStatus(x), json.decoder.JSONDecodeError


cached = functools.lru_cache(make_outer)


def used(function, items="", registered=()):
    found = find_item_classes(function, items, registered)
    assert items is None or not found.unused
    return [each.type for each in found.used]


def enclosing():
    @dataclasses.dataclass
    class Local:
        x: int

    return lambda x: Local(x), Local


def test_what_a_function_refers_to():
    everything = {Outer, Inner, Color, Other}
    assert set(used(make_outer)) == everything
    assert set(used(calls_another)) == everything
    assert set(used(cached)) == everything
    assert set(used(functools.partial(make_outer, x=Point(1, 2)))) == {*everything, Point}
    assert set(used(is_annotated)) == {Pair, Other, Color}
    assert used(uses_library) == [http.HTTPStatus]
    assert set(used(lambda x: helper.make())) == {Point, Color}
    assert set(used(helper.make)) == {Point, Color}
    function, local = enclosing()
    assert used(function) == [local]
    assert used(lambda x, kind=Color.RED: x) == [Color]
    assert used(len) == used(lambda x: x) == []


def test_what_the_items_are():
    same = lambda x: x
    assert used(same, [1, 2.5, "a"]) == []
    assert used(same, [Point(1, 2)]) == [Point]
    assert set(used(same, [{"a": [(Other(Point(1, Color.RED)),)]}])) == {Other, Point, Color}
    assert set(used(same, collections.deque([Inner(Color.RED)]))) == {Inner, Color}
    assert set(used(same, {Color.RED: Point(1, 2)})) == {Color, Point}
    assert used(same, [Point(1, http.HTTPStatus.OK)]) == [Point, http.HTTPStatus]
    cycle: list = [Point(1, 2)]
    cycle.append(cycle)
    assert used(same, cycle) == [Point]


def test_an_iterator_is_not_read():
    items = iter([Color.RED])
    found = find_item_classes(lambda x: x, items, [])
    assert found.used == []
    assert {each.type for each in found.unused} == {Color, Inner, Outer, Other, Pair, Point}
    assert next(items) is Color.RED


def test_registered_types_are_not_listed_again_but_their_fields_are():
    registered = [values.Registration("Outer", Outer), values.Registration("x", Color, repr, eval)]
    assert set(used(make_outer, registered=registered)) == {Inner, Other}


def test_classes_of_one_name_have_names_of_their_own():
    first, second = enclosing()[1], enclosing()[1]
    found = find_item_classes(lambda x: x, [first(1), second(2)], [])
    name = f"{__name__}.enclosing.<locals>.Local"
    assert [each.name for each in found.used] == [name, f"{name} (2)"]
    assert found.registry.named(f"{name} (2)").type is second
    assert values.REGISTERED.named(name) is None


def test_what_is_looked_at_is_bounded(monkeypatch):
    many = [dataclasses.make_dataclass(f"C{number}", ["x"])(1) for number in range(300)]
    assert len(used(lambda x: x, many)) == item_classes.MAX_CLASSES
    monkeypatch.setattr(item_classes, "MAX_ITEMS", 10)
    assert used(lambda x: x, [*range(10), Color.RED]) == []


def test_odd_globals_do_no_harm():
    class Proxy:
        def __getattr__(self, name):
            raise RuntimeError(name)

        @property
        def __wrapped__(self):
            raise RuntimeError

    variables = {"proxy": Proxy(), "module": types.ModuleType("module"), "__name__": __name__}
    function = eval("lambda x: (proxy, module.thing, missing)", variables)
    assert used(function) == []


class Fake:
    def __init__(self, size, needed=()):
        self.size, self.needed = size, set(needed)


def test_which_classes_are_sent():
    classes = find_item_classes(lambda x: x, iter([]), [])
    sizes = {
        Color: Fake(10),
        Inner: Fake(item_classes.MAX_UNUSED_BYTES + 1),
        Outer: Fake(1, ["numpy"]),
        Other: Fake(1, ["installed", "dataclasses", "pando"]),
        Pair: Fake(1),
    }
    sent = []

    def make(found):
        sent[:] = [each.type for each in found]
        return Fake(0, ["installed"])

    def alone(cls):
        if cls not in sizes:
            raise FunctionError("no")
        return sizes[cls]

    send_with_classes(classes, make, alone, lambda made: (made.size, made.needed))
    assert set(sent) == {Color, Other, Pair}


def test_a_used_class_that_cannot_be_sent_is_left_out():
    classes = find_item_classes(lambda x: x, [Color.RED, Point(1, 2)], [])

    def make(found):
        if Point in [each.type for each in found]:
            raise FunctionError("Point")
        return [each.type for each in found]

    def alone(cls):
        if cls is Point:
            raise FunctionError("Point")
        return [cls]

    assert send_with_classes(classes, make, alone, lambda made: (0, set())) == [Color]
    with pytest.raises(FunctionError, match="the function itself"):
        send_with_classes(classes, fail, lambda cls: [], lambda made: (0, set()))


def fail(found):
    raise FunctionError("the function itself")

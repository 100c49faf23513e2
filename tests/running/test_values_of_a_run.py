"""Values of each type as items and results of a real map."""

from __future__ import annotations

import collections
import dataclasses
import enum
import fractions
import http
import pathlib
import subprocess
import sys
import textwrap
import typing

import numpy
import pytest

import pando
from pando.errors import ItemError

from ..processes import environment

pytestmark = pytest.mark.process


class Color(enum.Enum):
    RED = 1


class Right(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Job:
    number: int
    color: Color = Color.RED
    twice: int = dataclasses.field(init=False)

    def __post_init__(self):
        self.twice = 2 * self.number


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    text: str


class Outcome(typing.NamedTuple):
    job: Job
    score: float = 0.5


Pair = collections.namedtuple("Pair", "a b")


def items_of_each_kind():
    yield from [
        *(
            Color.RED,
            Right.READ | Right.WRITE,
            http.HTTPStatus.OK,
            Job(3),
            Outcome(Job(1)),
            Pair(1, 2),
        ),
        *(
            {Key("a"): [Job(1)]},
            {Key("a"), Key("b")},
            fractions.Fraction(1, 3),
            pathlib.Path("a/b"),
        ),
        *(collections.OrderedDict(b=1, a=2), collections.Counter("aab"), range(0, 9, 2)),
        *(collections.defaultdict(list, a=[1]), collections.deque([1, 2], 5), frozenset([1])),
        *(bytearray(b"a"), (bytearray(b"b"), b"b")),
    ]


def with_name(item):
    return type(item).__name__, item


def test_each_kind_is_itself_on_both_sides():
    items = list(items_of_each_kind())
    results = list(pando.map(with_name, items, workers=2, serve=False))
    assert results == [(type(item).__name__, item) for item in items]
    assert [type(result) for _, result in results] == [type(item) for item in items]
    assert results[3][1].twice == 6


def test_arrays_keep_their_order_and_structure():
    grid = numpy.asfortranarray(numpy.arange(6).reshape(2, 3))
    records = numpy.rec.array([(1, 2.5)], dtype="i4,f8")
    flags = lambda item: (item, item.flags.f_contiguous, item.dtype.names)
    (first, fortran, _), (second, _, names) = pando.map(
        flags, [grid, records], workers=1, serve=False
    )
    assert fortran
    assert first.flags.f_contiguous
    assert (first == grid).all()
    assert type(second) is numpy.recarray
    assert names == ("f0", "f1")
    assert second.tolist() == [(1, 2.5)]


def test_classes_of_results_that_no_item_shows():
    def make(number: int) -> Outcome:
        return Outcome(Job(number), 2.0)

    results = list(pando.map(make, range(2), workers=1, serve=False))
    assert results == [Outcome(Job(0), 2.0), Outcome(Job(1), 2.0)]


def test_a_class_inside_of_a_function():
    @dataclasses.dataclass
    class Local:
        x: int

    (result,) = pando.map(lambda x: Local(x), [1], workers=1, serve=False)
    assert result == Local(1)
    (number,) = pando.map(lambda local: local.x, iter([Local(2)]), workers=1, serve=False,
                          return_exceptions=True)  # fmt: skip
    assert "pando.register_type(Local)" in str(number)


def test_a_class_that_the_function_made_is_refused_by_name():
    def make(x):
        made = dataclasses.make_dataclass("Made", ["x"])
        return made(x)

    (error,) = pando.map(make, [1], workers=1, serve=False, return_exceptions=True)
    assert isinstance(error, ItemError)
    assert "Made cannot be serialized: its class was not known" in error.reason


def test_the_frames_of_pandas_and_polars():
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", None]})
    items = [
        frame,
        frame["a"],
        pandas.Timestamp("2024-01-01", tz="UTC"),
        polars.DataFrame({"a": [1]}),
    ]
    results = list(pando.map(with_name, items, workers=2, serve=False))
    assert [name for name, _ in results] == ["DataFrame", "Series", "Timestamp", "DataFrame"]
    pandas.testing.assert_frame_equal(results[0][1], frame)
    assert results[2][1] == items[2]
    assert results[3][1].equals(items[3])


def run_script(folder, text: str) -> str:
    (folder / "script.py").write_text(textwrap.dedent(text))
    done = subprocess.run([sys.executable, "script.py"], cwd=folder, env=environment(),
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_classes_of_a_script_whose_items_come_from_a_generator(tmp_path):
    (tmp_path / "shapes.py").write_text(
        "import dataclasses, enum\n"
        "class Side(enum.Enum):\n    LEFT = 1\n"
        "@dataclasses.dataclass\nclass Square:\n    a: float\n    side: Side = Side.LEFT\n"
    )
    printed = run_script(
        tmp_path,
        """\
        import dataclasses, enum
        import pando, shapes
        from shapes import Square

        class Kind(enum.Enum):
            SMALL = 1

        @dataclasses.dataclass
        class Point:
            x: int
            kind: Kind = Kind.SMALL
            def __post_init__(self):
                print("made")

        points = [Point(x) for x in range(3)]
        print([p.x for p in pando.map(lambda p: p, (p for p in points), workers=2)])
        print([p.kind for p in pando.map(lambda p: p, points[:1], workers=1)])
        print(list(pando.map(lambda s: (s.a, s), [Square(2.0)], workers=1)))
        (error,) = pando.map(lambda s: s.a, iter([Square(2.0)]), workers=1, return_exceptions=True)
        print(error.reason)
        pando.register_type(Square)
        print(list(pando.map(lambda s: s.a, iter([Square(2.0)]), workers=1)))
        """,
    )
    lines = printed.splitlines()
    assert lines[3:] == [
        "[0, 1, 2]",
        "[<Kind.SMALL: 1>]",
        "[(2.0, Square(a=2.0, side=<Side.LEFT: 1>))]",
        "a value of type shapes.Square cannot be serialized: its class was not known when the "
        "function was sent; call pando.register_type(Square) before the run starts",
        "[2.0]",
    ]


def test_two_classes_of_one_name(tmp_path):
    printed = run_script(
        tmp_path,
        """\
        import dataclasses
        import pando

        def make(name):
            @dataclasses.dataclass
            class Point:
                x: int
                def who(self):
                    return name
            return Point

        First, Second = make("first"), make("second")
        for result in pando.map(lambda p: (p.who(), p), [First(1), Second(2)], workers=1):
            print(result[0], type(result[1]) is {"first": First, "second": Second}[result[0]])
        """,
    )
    assert printed.splitlines() == ["first True", "second True"]

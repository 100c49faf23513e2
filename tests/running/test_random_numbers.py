"""Random numbers drawn by items, and initializers of workers."""

from __future__ import annotations

import os
import random

import numpy
import pytest

import pando

from ..processes import map_here, open_run_here, run_command, run_script

pytestmark = pytest.mark.process


def draws_of(*generators):
    """A function that draws from each of its generators."""

    def draw(x):
        return [
            float(each.random()) if hasattr(each, "random") else float(each.rand())
            for each in generators
            for _ in range(2)
        ]

    return draw


def make_generators():
    return (
        random.Random(7),
        numpy.random.default_rng(7),
        numpy.random.RandomState(7),
        numpy.random.Generator(numpy.random.Philox(3)),
    )


def test_items_draw_different_numbers_and_each_map_others():
    draw = draws_of(*make_generators())
    maps = [list(map_here(draw, range(20), workers=2)) for _ in range(2)]
    drawn = [number for one in maps for numbers in one for number in numbers]
    assert len(set(drawn)) == len(drawn) == 2 * 20 * 8


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_is_repeatable_with_any_assignment_of_items(workers):
    first = [list(map_here(draws_of(*make_generators()), range(300), workers=1))]
    again = [list(map_here(draws_of(*make_generators()), range(300), workers=workers))]
    assert first == again


async def test_each_map_of_a_run_draws_other_numbers():
    generator = random.Random(3)
    async with open_run_here(draws_of(generator), workers=1) as run:
        one = [result async for result in run.map(range(5))]
        other = [result async for result in run.map(range(5))]
    assert one != other
    async with open_run_here(draws_of(random.Random(3)), workers=2) as run:
        assert [result async for result in run.map(range(5))] == one


def test_the_caller_s_generator_goes_on():
    generator = random.Random(1)
    list(map_here(draws_of(generator), [1], workers=1))
    expected = random.Random(1)
    expected.getrandbits(128)
    assert generator.random() == expected.random()


def global_draws(x):
    return random.random(), float(numpy.random.random())


def test_global_generators_are_seeded_where_that_is_asked_for():
    runs = [list(map_here(global_draws, range(9), workers=w, random_seed=4)) for w in (1, 2)]
    assert runs[0] == runs[1]
    assert len({number for pair in runs[0] for number in pair}) == 18
    assert list(map_here(global_draws, range(9), random_seed=5)) != runs[0]
    assert list(map_here(global_draws, [0])) != list(map_here(global_draws, [0]))


def test_an_item_computed_again_draws_the_same(tmp_path):
    generator = random.Random(5)
    done = tmp_path / "done"

    def draw(x):
        number = generator.random()
        if x == 1 and not done.exists():
            done.touch()
            os._exit(1)
        return number

    crashed = list(map_here(draw, range(3), workers=1))
    generator = random.Random(5)
    assert list(map_here(draw, range(3), workers=1)) == crashed


def test_what_fails_is_the_item_itself():
    generator = random.Random(5)

    def fail(x):
        raise ValueError(generator.random())

    [error] = map_here(fail, ["the item"], return_exceptions=True)
    assert error.item == "the item"


def test_coroutine_functions_draw_too():
    generator = random.Random(5)

    async def draw(x):
        return generator.random()

    assert len(set(map_here(draw, range(10), workers=2))) == 10


MODULE = """
import random
generator = random.Random(3)
state = {}

def setup():
    state["ready"] = "set up"

def pando(x):
    return [state["ready"], generator.random(), random.random()]
"""


def test_the_command_draws_the_same_with_and_without_local(tmp_path):
    module = tmp_path / "work.py"
    module.write_text(MODULE)
    outputs = [
        run_command("--random-seed", "3", *options, module, *"abcdef").stdout
        for options in (["--workers", "1"], ["--workers", "2"], ["--local"])
    ]
    assert outputs[0].count(b"set up") == 6
    assert outputs[0] == outputs[1] == outputs[2]


def test_an_initializer_runs_once_in_each_worker():
    called: list[int] = []

    def initialize():
        called.append(os.getpid())

    results = list(
        map_here(lambda x: (called, os.getpid()), range(8), workers=2, initializer=initialize)
    )
    assert all(list(pids) == [pid] for pids, pid in results)
    assert called == []


def test_an_initializer_that_fails_ends_the_run():
    def initialize():
        raise OSError("no such device")

    with pytest.raises(pando.FunctionError, match="OSError: no such device"):
        list(map_here(abs, [1], workers=1, initializer=initialize))


def test_an_initializer_must_be_a_function():
    with pytest.raises(pando.FunctionError, match="5 is not a function"):
        map_here(abs, [1], initializer=5)


def test_the_decimal_precision_is_set_by_an_initializer(tmp_path):
    script = (
        "import decimal, pando\n"
        "def setup(): decimal.getcontext().prec = 3\n"
        "def third(x): return str(decimal.Decimal(1) / 3)\n"
        "print(list(pando.map(third, [0], workers=1, serve=False, initializer=setup)))\n"
    )
    assert run_script(tmp_path / "script.py", script).stdout == "['0.333']\n"

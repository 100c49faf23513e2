"""The codec of items and results."""

from __future__ import annotations

import array
import collections
import contextlib
import dataclasses
import datetime
import decimal
import enum
import fractions
import importlib
import json
import math
import pathlib
import struct
import sys
import uuid
import zoneinfo
from pathlib import Path

import msgpack
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando import values
from pando.errors import MalformedValueError, PandoError, UnsupportedValueError
from pando.values import codec


class Color(enum.IntEnum):
    RED = 1
    CRIMSON = 1
    BLUE = 2


class Shade(enum.Enum):
    DARK = "d"
    LIGHT = (1, 2)


class Right(enum.Flag):
    READ = 1
    WRITE = 2
    ALL = 3


Pair = collections.namedtuple("Pair", "a b")


@dataclasses.dataclass
class Spot:
    x: int
    shade: Shade = Shade.DARK
    twice: int = dataclasses.field(init=False)

    def __post_init__(self):
        self.twice = 2 * self.x


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    name: str
    inner: object = None


CLASSES = (Color, Shade, Right, Pair, Spot, Mark)
KNOWN = values.Registry()
for each in CLASSES:
    KNOWN.add(values.Registration(each.__name__, each))
CODEC = values.Codec(KNOWN)
"""What a run has whose function refers to these classes."""

VECTORS = json.loads((Path(__file__).parent / "vectors" / "values.json").read_text())
NAMES = {
    "Decimal": decimal.Decimal,
    "UUID": uuid.UUID,
    "ZoneInfo": zoneinfo.ZoneInfo,
    "datetime": datetime,
    "Fraction": fractions.Fraction,
    "PurePosixPath": pathlib.PurePosixPath,
    "PureWindowsPath": pathlib.PureWindowsPath,
    "collections": collections,
    "inf": math.inf,
    "nan": math.nan,
    "numpy": numpy,
    **{each.__name__: each for each in CLASSES},
}


def written(value) -> str:
    """A value as text that tells all of it, types included; equal NaNs are written alike."""
    kind = type(value).__name__
    match value:
        case collections.defaultdict():
            members = [repr(value.default_factory), *map(written, value.items())]
        case dict():
            members = [written(pair) for pair in value.items()]
        case collections.deque():
            members = [repr(value.maxlen), *map(written, value)]
        case list() | tuple():
            members = [written(member) for member in value]
        case set() | frozenset():
            members = sorted(written(member) for member in value)
        case float():
            members = [struct.pack("d", value).hex()]
        case complex():
            members = [written(value.real), written(value.imag)]
        case datetime.datetime() | datetime.time():
            members = [repr(value), str(value.fold)]
        case numpy.ndarray() | numpy.generic():
            order = [value.flags.c_contiguous, value.flags.f_contiguous]
            members = [repr(value.dtype), str(value.shape), value.tobytes().hex(), str(order)]
        case _:
            members = [repr(value)]
    return f"{kind}({', '.join(members)})"


def same(one, other) -> bool:
    return written(one) == written(other)


# ---- conformance ----


def has_library(vector) -> bool:
    """Whether what a vector needs, besides NumPy, is installed; it is imported then."""
    try:
        return not vector.get("needs") or bool(importlib.import_module(vector["needs"]))
    except ImportError:
        return False


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["python"] for vector in VECTORS])
def test_vectors(vector):
    if not has_library(vector):
        pytest.skip(f"{vector['needs']} is not installed")
    value = eval(vector["python"], {**NAMES, **sys.modules})
    assert CODEC.encode(value).hex() == vector["hex"]
    assert same(CODEC.decode(bytes.fromhex(vector["hex"])), value)


def test_vectors_cover_every_extension():
    found = {code for vector in VECTORS for code in extension_codes(bytes.fromhex(vector["hex"]))}
    assert found == set(codec._DECODERS) - {values.Extension.REGISTERED}
    kinds = [
        type(eval(vector["python"], dict(NAMES))) for vector in VECTORS if not vector.get("needs")
    ]
    late = {fractions.Fraction, pathlib.PurePosixPath, collections.OrderedDict}
    late |= {collections.Counter, collections.defaultdict, collections.deque}
    late |= {decimal.Decimal, uuid.UUID, range, bytearray, set, frozenset}
    assert late <= set(kinds)
    assert {numpy.ndarray, numpy.float32, numpy.recarray, numpy.void} <= set(kinds)


def extension_codes(data: bytes) -> set[int]:
    codes = set()
    msgpack.unpackb(
        data,
        ext_hook=lambda code, _: codes.add(code),
        strict_map_key=False,
        unicode_errors="surrogatepass",
    )
    return codes


# ---- round trips ----


def is_read_as_itself(path) -> bool:
    """Whether a path's text gives it again: `pathlib` does not always keep that."""
    return type(path)(str(path)) == path


ZONES = (
    st.none()
    | st.timezones()
    | st.just(datetime.UTC)
    | st.builds(
        datetime.timezone,
        st.timedeltas(datetime.timedelta(hours=-23), datetime.timedelta(hours=23)),
    )
)
TEXT = st.text(st.characters(exclude_categories=()))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    TEXT,
    st.binary(),
    st.complex_numbers(),
    st.datetimes(timezones=ZONES),
    st.dates(),
    st.times(timezones=st.none() | st.just(datetime.UTC)),
    st.timedeltas(),
    st.decimals(),
    st.fractions(),
    st.builds(range, st.integers(), st.integers(), st.integers(min_value=1)),
    st.lists(st.text("ab./"), max_size=3).map(lambda parts: pathlib.PurePosixPath(*parts)),
    st.text("ab.:\\/").map(pathlib.PureWindowsPath).filter(is_read_as_itself),
    st.text("ab./").map(Path),
    st.uuids(),
)
KEYS = st.recursive(
    SCALARS.filter(lambda value: not (isinstance(value, decimal.Decimal) and value.is_snan())),
    lambda keys: st.lists(keys, max_size=3).map(tuple) | st.frozensets(keys, max_size=3),
    max_leaves=4,
)
DTYPES = st.sampled_from(
    [
        "?",
        "i1",
        "<i4",
        ">i8",
        "u2",
        "f2",
        "<f8",
        ">f4",
        "c8",
        "M8[ns]",
        "m8[D]",
        "S3",
        "<U2",
        "i4,>f8",
    ]
)
ARRAYS = st.builds(
    lambda dtype, shape, order: (
        numpy.arange(math.prod(shape)).astype(dtype).reshape(shape, order=order)
    ),
    DTYPES,
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from("CF"),
)
VALUES = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.sets(KEYS, max_size=4),
        st.frozensets(KEYS, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4).map(collections.OrderedDict),
        st.dictionaries(KEYS, inner, max_size=4).map(collections.Counter),
        st.builds(
            collections.defaultdict,
            st.sampled_from([None, list, int, set]),
            st.dictionaries(KEYS, inner, max_size=4),
        ),
        st.lists(inner, max_size=4).flatmap(
            lambda members: st.builds(
                collections.deque, st.just(members), st.none() | st.integers(0, 6)
            )
        ),
    ),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_decoded_is_what_was_encoded(value):
    assert same(values.decode(values.encode(value)), value)


RECORD = numpy.dtype(
    [("name", "U3"), ("place", "f8", (2,)), ("deep", [("a", "i1"), ("b", "M8[s]")])]
)


@pytest.mark.parametrize(
    "value",
    [
        numpy.zeros(3, RECORD),
        numpy.zeros(3, RECORD)[1],
        numpy.rec.array([(1, "a"), (2, "b")], dtype="i4,U1"),
        numpy.zeros((2, 3), "i4,f8", order="F"),
        numpy.zeros(2, numpy.dtype({"names": ["a"], "formats": ["i4"], "itemsize": 16})),
    ],
)
def test_records(value):
    decoded = values.decode(values.encode(value))
    assert type(decoded) is type(value)
    assert repr(decoded.tolist()) == repr(value.tolist())
    assert (decoded.dtype, decoded.shape) == (value.dtype, value.shape)
    assert decoded.flags.f_contiguous == value.flags.f_contiguous


def test_a_path_of_this_system_is_one_and_that_of_another_is_pure():
    assert type(values.decode(values.encode(Path("a/b")))) is type(Path())
    windows = values.encode(pathlib.PureWindowsPath(r"C:\a"))
    assert type(values.decode(windows)) is pathlib.PureWindowsPath
    concrete = windows.replace(b"\xc2", b"\xc3", 1)  # as a WindowsPath would be sent
    assert type(values.decode(concrete)) is pathlib.PureWindowsPath


def test_a_path_that_is_read_as_another_one_is_refused():
    path = pathlib.PureWindowsPath("//a/")
    if is_read_as_itself(path):
        pytest.skip("this version of Python reads it as itself")
    with pytest.raises(UnsupportedValueError, match="pathlib reads its text as another one"):
        values.encode(path)


@pytest.mark.parametrize("kind", ["deque", "fraction", "path", "default dict", "range", "counter"])
def test_parts_that_do_not_fit_are_malformed(kind):
    code = getattr(values.Extension, kind.replace(" ", "_").upper())
    for parts in ([], 7, "text", [[]], ["os.system", [["a", 1]]], [None, None, None, None]):
        data = msgpack.packb(msgpack.ExtType(code, values.encode(parts)))
        try:
            made = values.decode(data)
        except MalformedValueError:
            continue
        assert type(made).__module__ in ("collections", "builtins", "fractions", "pathlib")


@given(ARRAYS)
def test_scalars_of_arrays(array):
    for scalar in array.ravel():
        assert same(values.decode(values.encode(scalar)), scalar)


@pytest.mark.parametrize("value", [numpy.str_(""), numpy.bytes_(b""), numpy.bool_(True)])
def test_odd_scalars(value):
    assert same(values.decode(values.encode(value)), value)


def test_a_decoded_array_may_be_changed():
    array = numpy.zeros((2, 3))[:, ::2]
    decoded = values.decode(values.encode(array))
    decoded[0, 0] = 1
    assert decoded.tolist() == [[1, 0], [0, 0]]


def test_the_local_time_zone_is_kept_through_the_clock_change():
    zone = zoneinfo.ZoneInfo("Europe/Zurich")
    for fold in (0, 1):
        moment = datetime.datetime(2024, 10, 27, 2, 30, tzinfo=zone, fold=fold)
        decoded = values.decode(values.encode(moment))
        assert decoded.utcoffset() == moment.utcoffset()
        assert decoded.tzinfo is zone


def test_decimals_are_not_rounded():
    value = decimal.Decimal("1." + "1" * 60)
    with decimal.localcontext(prec=5):
        assert values.decode(values.encode(value)) == value


def test_memory_of_bytes_can_be_decoded():
    assert values.decode(memoryview(values.encode((1, {2})))) == (1, {2})


@pytest.mark.parametrize("count", [1, 20, 400, 70_000])
@pytest.mark.parametrize("other", [1, 200, 70_000, 1.5, "a", "Ą", b"x", None, True, "long" * 99])
def test_a_bytearray_is_found_among_others(count, other):
    members = [other] * count + [bytearray(b"b")]
    assert same(values.decode(values.encode(members)), members)
    assert same(values.decode(values.encode(tuple(members))), tuple(members))
    assert same(values.decode(values.encode([other] * count)), [other] * count)


@given(st.lists(st.integers(0, 2**16) | st.floats() | st.just(bytearray(b"a")) | TEXT, max_size=40))
def test_any_list_keeps_its_bytearrays(members):
    assert same(values.decode(values.encode(members)), members)


INSIDE = st.recursive(
    st.integers(0, 2**16) | st.floats() | st.just(bytearray(b"a")) | st.just(b"a") | TEXT,
    lambda inner: (
        st.lists(inner, max_size=12)
        | st.dictionaries(st.text(max_size=2), inner, max_size=12)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3).map(collections.OrderedDict)
    ),
    max_leaves=60,
)


@given(INSIDE)
def test_bytearrays_inside_of_lists_and_dicts_are_kept(value):
    assert same(values.decode(values.encode(value)), value)


@pytest.mark.parametrize("count", [1, 20, 1000])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: [value],
        lambda value: {"a": value},
        lambda value: [[1.5, {"a": [value]}]],
        lambda value: (1, {"a": value}),
        lambda value: [[0] * 100, [value]],
    ],
)
def test_a_bytearray_is_found_in_the_last_of_many(count, wrap):
    members = [*(wrap(1.9) for _ in range(count)), wrap(bytearray(b"\xc4"))]
    assert same(values.decode(values.encode(members)), members)
    assert same(values.decode(values.encode(wrap(members))), wrap(members))
    assert same(values.decode(values.encode(members[:-1])), members[:-1])


def test_memoryviews_arrive_as_bytes():
    assert same(values.decode(values.encode([memoryview(b"ab")])), [b"ab"])
    with pytest.raises(UnsupportedValueError, match=r"convert it with bytes\(…\)"):
        values.encode(memoryview(b"abcd")[::2])


# ---- what cannot be serialized ----


class Point:
    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return type(other) is Point and other.x == self.x

    def __hash__(self):
        return hash(self.x)


class Zone(datetime.tzinfo):
    key = "Europe/Zurich"

    def utcoffset(self, when):
        return datetime.timedelta(hours=1)


class Text(str):
    pass


class Moment(datetime.datetime):
    pass


NOW = datetime.datetime(2024, 1, 1)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Point(1), "test_values.Point"),
        (object(), "object"),
        (Point, "type"),
        (len, "builtin_function_or_method"),
        (map(str, []), "map cannot be serialized: convert it with list(…)"),
        ({}.values(), "dict_values cannot be serialized: convert it with list(…)"),
        (collections.defaultdict(Point), "a defaultdict whose factory is"),
        (array.array("i"), "array.array"),
        (..., "ellipsis"),
        ((x for x in []), "generator cannot be serialized: convert it with list(…)"),
        (numpy.array([None]), "dtype object"),
        (numpy.zeros(1, "i4,O"), "dtype [('f0', '<i4'), ('f1', 'O')]"),
        (numpy.ma.masked_array([1]), "MaskedArray"),
        (numpy.dtype("i4"), "Int32DType"),
        (NOW.replace(tzinfo=Zone()), "test_values.Zone"),
        (datetime.time(tzinfo=Zone()), "test_values.Zone"),
    ],
)
def test_the_type_that_cannot_be_serialized_is_named(value, name):
    with pytest.raises(UnsupportedValueError, match="cannot be serialized") as caught:
        values.encode({"a": [(1, value)]})
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (Text("a"), "str(…)"),
        (Moment(2024, 1, 1), "datetime(…)"),
    ],
)
def test_subclasses_are_refused_with_a_hint(value, hint):
    with pytest.raises(UnsupportedValueError) as caught:
        values.encode(value)
    assert f"convert it with {hint} or see pando.register_type" in str(caught.value)


def test_an_unreadable_item_gives_its_own_reason():
    with pytest.raises(UnsupportedValueError, match=r"^no JSON$"):
        values.encode([values.InvalidItem("{", "no JSON")])
    assert repr(values.InvalidItem("{" * 99, "")) == repr("{" * 58)[:-1] + "…"


def nested(levels, wrap):
    value = 1
    for _ in range(levels):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: [value],
        lambda value: {1: value},
        lambda value: (value,),
        lambda value: frozenset([value]),
        lambda value: ([value],),
    ],
)
def test_what_is_nested_too_deeply_is_refused(wrap):
    with pytest.raises(UnsupportedValueError, match="nested too deeply"):
        values.encode(nested(3000, wrap))


def test_a_cycle_is_refused():
    cycle: list = []
    cycle.append((cycle,))
    with pytest.raises(UnsupportedValueError, match="nested too deeply"):
        values.encode(cycle)


def test_what_can_be_encoded_can_be_decoded():
    """However deeply it is nested."""
    for wrap in (lambda value: [value], lambda value: (value,), lambda value: ({1: value},)):
        encodable = 0
        for levels in range(0, 600, 10):
            value = nested(levels, wrap)
            try:
                encoded = values.encode(value)
            except UnsupportedValueError:
                break
            assert values.decode(encoded) is not None
            encodable = levels
        assert encodable >= 50


def test_the_unsupported_of_several_are_found():
    found = values.find_unsupported([1, Point(1), (2,), [Text("a")]])
    assert list(found) == [1, 3]
    assert "test_values.Point" in str(found[1])


# ---- registered types ----


def test_a_registered_type_is_serialized():
    values.register_type(Point, lambda point: [point.x], lambda fields: Point(fields[0]))
    value = {Point(1): [Point((2, Point(3)))]}
    assert values.decode(values.encode(value)) == value
    assert [(known.name, known.type) for known in values.registered_types()] == [("Point", Point)]


def test_a_registered_subclass_is_serialized_as_itself():
    values.register_type(Color, int, Color)
    values.register_type(Pair, list, lambda fields: Pair(*fields))
    assert same(values.decode(values.encode([Color.RED, Pair(1, 2)])), [Color.RED, Pair(1, 2)])


def test_subclasses_of_a_registered_type_are_not_serialized():
    values.register_type(Point, lambda point: point.x, Point)
    with pytest.raises(UnsupportedValueError, match="Sub"):
        values.encode(type("Sub", (Point,), {})(1))


def test_registering_again_takes_the_earlier_place():
    values.register_type(Point, lambda point: point.x, Point)
    values.register_type(Point, lambda point: -point.x, Point, name="negative")
    assert values.decode(values.encode(Point(1))) == Point(-1)
    assert [known.name for known in values.registered_types()] == ["negative"]
    values.register_type(Text, str, Text, name="negative")
    assert [known.type for known in values.registered_types()] == [Text]
    with pytest.raises(UnsupportedValueError, match="Point"):
        values.encode(Point(1))


def test_types_that_are_serialized_anyway_cannot_be_registered():
    for kind in (int, dict, tuple, datetime.date):
        with pytest.raises(PandoError, match="are serialized already"):
            values.register_type(kind, repr, eval)


def test_a_type_that_is_not_registered_where_it_arrives(monkeypatch):
    values.register_type(Point, lambda point: point.x, Point)
    encoded = values.encode(Point(1))
    monkeypatch.setattr(values.REGISTERED, "_by_name", {})
    with pytest.raises(MalformedValueError, match="'Point', which is not registered here"):
        values.decode(encoded)


def test_an_encoder_that_fails_names_its_type():
    values.register_type(Point, lambda point: point.y, Point)
    with pytest.raises(
        UnsupportedValueError, match=r"Point cannot be serialized: .*no attribute 'y'"
    ):
        values.encode([Point(1)])


def test_a_decoder_that_fails_is_no_surprise():
    values.register_type(Point, lambda point: point.x, lambda x: 1 / x)
    with pytest.raises(MalformedValueError, match="division by zero"):
        values.decode(values.encode(Point(0)))


# ---- hostile bytes ----


def decode_or_refuse(data: bytes) -> None:
    with contextlib.suppress(MalformedValueError):
        values.decode(data)


@given(st.binary())
def test_any_bytes_give_a_value_or_the_one_error(data):
    decode_or_refuse(data)


@given(st.sampled_from(sorted(codec._DECODERS)), st.binary() | VALUES.map(values.encode))
def test_any_content_of_an_extension(code, content):
    decode_or_refuse(msgpack.packb(msgpack.ExtType(code, content)))


@given(VALUES, st.data())
def test_mutated_encodings(value, data):
    encoded = bytearray(values.encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(encoded) - 1))
        encoded[place] = data.draw(st.integers(0, 255))
    decode_or_refuse(bytes(encoded))
    decode_or_refuse(bytes(encoded[: data.draw(st.integers(0, len(encoded)))]))


def extension(code: int, *fields) -> bytes:
    return msgpack.packb(msgpack.ExtType(code, msgpack.packb(list(fields))))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x01\x02",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x91" * 5000 + b"\x01",
        b"\x81\x90\x01",
        msgpack.packb(msgpack.ExtType(99, b"")),
        extension(values.Extension.SET, []),
        extension(values.Extension.NUMPY_ARRAY, "O", [1], b"\0" * 8),
        extension(values.Extension.NUMPY_ARRAY, "f8", [10**9], b"\0" * 8),
        extension(values.Extension.NUMPY_ARRAY, "f8", [1], "text"),
        extension(values.Extension.NUMPY_ARRAY, "V8", [1], b"\0" * 8),
        extension(values.Extension.NUMPY_SCALAR, "f8", b""),
        extension(values.Extension.REGISTERED, "os.system", "true"),
        extension(values.Extension.REGISTERED, ["a"], 1),
        extension(values.Extension.UUID, 1),
        msgpack.packb(msgpack.ExtType(values.Extension.DECIMAL, b"one")),
        msgpack.packb(msgpack.ExtType(values.Extension.DATETIME, b"2024-01-01|0|../../etc/passwd")),
        msgpack.packb(msgpack.ExtType(values.Extension.DATETIME, b"2024-01-01|0|Nowhere/City")),
        msgpack.packb(msgpack.ExtType(values.Extension.DATETIME, b"2024-01-01|7|")),
    ],
)
def test_malformed_values(data):
    with pytest.raises(MalformedValueError):
        values.decode(data)


def test_bytes_nested_without_end():
    data = b"\x01"
    for _ in range(2000):
        data = msgpack.packb(msgpack.ExtType(values.Extension.TUPLE, b"\x91" + data))
    with pytest.raises(MalformedValueError):
        values.decode(data)


def packed_extension(code: int, data: bytes) -> bytes:
    return b"\xc7" + bytes([len(data), code]) + data


@pytest.mark.parametrize("code", [values.Extension.TUPLE, values.Extension.COMPLEX])
@pytest.mark.parametrize(
    "members",
    [
        pytest.param(b"\x01", id="none"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x91" + packed_extension(77, b""), id="an unknown extension without data"),
        pytest.param(b"\x91" + packed_extension(77, b"x"), id="an unknown extension"),
        pytest.param(b"\x91" + packed_extension(0xFF, b""), id="a timestamp without data"),
    ],
)
def test_what_has_malformed_members(code: int, members: bytes) -> None:
    with pytest.raises(MalformedValueError):
        values.decode(packed_extension(code, members))


def test_an_unknown_extension_without_data_in_a_long_dict() -> None:
    pairs = b"".join(values.encode(f"key {n}") + packed_extension(77, b"") for n in range(100))
    with pytest.raises(MalformedValueError, match="unknown extension 77"):
        values.decode(b"\xde\x00\x64" + pairs)

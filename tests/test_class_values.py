"""Named tuples, dataclasses and enumerations as values: what is kept, and what is never called."""

from __future__ import annotations

import abc
import collections
import contextlib
import dataclasses
import enum
import functools
import threading
import typing

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando import values
from pando.errors import MalformedValueError, UnsupportedValueError, UsageError
from pando.values.shapes import MAX_COMBINATIONS

from .test_values import CODEC, KNOWN, SCALARS, Color, Mark, Pair, Right, Shade, Spot, same

calls: list[str] = []
"""What of the classes below has been called since it was cleared."""


def recording(cls):
    """Make a class note each call of what its instances are made, changed or compared by."""
    for name in (
        *("__new__", "__init__", "__post_init__", "__setstate__", "__setattr__", "_missing_"),
        *("__getattribute__", "__hash__", "__eq__", "__repr__"),
    ):
        original = getattr(cls, name, None)
        if name in vars(cls) or name in ("__hash__", "__eq__", "__repr__"):
            setattr(cls, name, noting(original, f"{cls.__name__}.{name}"))
    return cls


def noting(function, name):
    def note(*arguments, **named):
        calls.append(name)
        return function(*arguments, **named)

    return note


@recording
@dataclasses.dataclass(unsafe_hash=True)
class Noted:
    x: object
    y: object = None

    def __new__(cls, *arguments, **named):
        return object.__new__(cls)

    def __init__(self, x, y=None):
        self.x, self.y = x, y

    def __setattr__(self, name, value):
        object.__setattr__(self, name, value)

    def __getattribute__(self, name):
        return object.__getattribute__(self, name)

    def __setstate__(self, state):
        raise AssertionError


@recording
class NotedTuple(collections.namedtuple("NotedTuple", "a b")):
    __slots__ = ()

    def __new__(cls, a, b):
        return tuple.__new__(cls, (a, b))


@recording
class NotedEnum(enum.Enum):
    ONE = 1
    TWO = 2

    @classmethod
    def _missing_(cls, value):
        return cls.ONE


@recording
class NotedFlag(enum.IntFlag):
    A = 1
    B = 2
    C = 4


NOTED = (Noted, NotedTuple, NotedEnum, NotedFlag)
NOTED_CODEC = values.Codec(values.Registry(KNOWN))
for each in NOTED:
    NOTED_CODEC.registry.add(values.Registration(each.__name__, each))


def packed(code: int, *fields) -> bytes:
    return msgpack.packb(msgpack.ExtType(code, values.encode(list(fields))))


# ---- round trips ----

INSTANCES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(Pair, inner, inner),
        st.builds(Mark, st.text(), inner),
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(
            st.sampled_from([*Color, *Shade, Right.ALL, Pair(1, 2)]), inner, max_size=3
        ),
        st.sampled_from([*Color, *Shade, *Right, Right(0), Color.RED | Color.BLUE]),
    ),
    max_leaves=8,
)


@given(INSTANCES)
def test_instances_come_back_as_they_were(value):
    assert same(CODEC.decode(CODEC.encode(value)), value)


def test_members_of_an_enumeration_are_the_very_same():
    for member in (Color.RED, Shade.LIGHT, Right.READ, Right.READ | Right.WRITE, Right(0)):
        assert CODEC.decode(CODEC.encode(member)) is member


def test_a_dataclass_keeps_all_its_attributes():
    spot = Spot(3)
    spot.twice = "changed"
    spot.more = bytearray(b"more")
    decoded = CODEC.decode(CODEC.encode([spot]))[0]
    assert vars(decoded) == vars(spot)
    assert type(decoded.more) is bytearray
    assert list(vars(decoded)) == list(vars(spot))


@dataclasses.dataclass
class Added:
    x: int

    def __add__(self, other):
        raise AssertionError("it has been added")

    __radd__ = __add__


@pytest.mark.parametrize("count", [1, 100])
def test_looking_for_bytearrays_adds_nothing(count, monkeypatch):
    """Neither instances nor arrays: that may take long."""
    added = []
    monkeypatch.setattr(Added, "__add__", lambda self, other: added.append(other))
    monkeypatch.setattr(Added, "__radd__", lambda self, other: added.append(other))
    members = [Added(0xC4)] * count
    codec = codec_of(Added)
    for value in (members, [members], {"a": members}, [{"a": member} for member in members]):
        assert codec.decode(codec.encode(value)) == value
    assert added == []


def codec_of(*classes) -> values.Codec:
    registry = values.Registry()
    for number, cls in enumerate(classes):
        registry.add(values.Registration(str(number), cls))
    return values.Codec(registry)


def test_dataclasses_of_many_kinds():
    @dataclasses.dataclass
    class Base(abc.ABC, typing.Generic[typing.TypeVar("T")]):
        a: int
        count: typing.ClassVar[int] = 0
        _private: list = dataclasses.field(default_factory=list, repr=False, kw_only=True)
        hook: object = None

        def __post_init__(self):
            self.__mangled = self.a
            self.count += 1

    class Derived(Base):
        @functools.cached_property
        def slow(self):
            return [self.a]

    @dataclasses.dataclass(slots=True, weakref_slot=True)
    class Slotted:
        a: int
        unset: int = dataclasses.field(init=False)

    derived = Derived(2, _private=[1])
    assert derived.slow == [2]
    codec = codec_of(Base, Derived, Slotted)
    for value in (Base(1), derived, Slotted(3)):
        decoded = codec.decode(codec.encode(value))
        assert type(decoded) is type(value)
        assert getattr(decoded, "__dict__", None) == getattr(value, "__dict__", None)
        assert decoded.a == value.a
    assert not hasattr(codec.decode(codec.encode(Slotted(3))), "unset")


def test_enumerations_of_many_kinds():
    class Text(str, enum.Enum):  # noqa: UP042
        A = "a"

    @dataclasses.dataclass(frozen=True)
    class Body:
        mass: float

    class Planet(Body, enum.Enum):
        EARTH = 5.97

    class Loose(enum.IntFlag, boundary=enum.KEEP):
        A = 1

    codec = codec_of(Text, Planet, Loose)
    for member in (Text.A, Planet.EARTH, Loose.A, Loose(0)):
        assert codec.decode(codec.encode(member)) is member
    with pytest.raises(UnsupportedValueError, match=r"Loose cannot be serialized: it has no name"):
        codec.encode(Loose(6))


# ---- nothing is called ----


def test_making_instances_calls_nothing():
    value = [Noted(1, Noted(2)), NotedTuple(3, [4]), NotedEnum.TWO, NotedFlag.A | NotedFlag.B]
    value.append({"a": (Noted(5), collections.deque([NotedTuple(6, 7)]))})
    encoded = NOTED_CODEC.encode(value)
    calls.clear()
    decoded = NOTED_CODEC.decode(encoded)
    noted, calls[:] = list(calls), []
    assert not noted
    assert [type(each) for each in decoded] == [type(each) for each in value]
    assert decoded[0].y.x == 2
    assert decoded[4]["a"][1][0] == NotedTuple(6, 7)
    assert decoded[3] is NotedFlag.A | NotedFlag.B


ONE = NOTED_CODEC.encode(Noted(1))
NAMES_OF_NOTED = st.sampled_from([each.__name__ for each in NOTED])
FIELDS = st.recursive(
    NAMES_OF_NOTED | st.sampled_from(["x", "y", "__class__", "__dict__", "ONE"]) | SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)
CODES = st.sampled_from(
    sorted(vars(values.Extension)[n] for n in vars(values.Extension) if n[0] != "_")
)


@st.composite
def hostile(draw):
    """Extension types around encoded instances: as members, as keys, as fields, cut and changed."""
    inner = st.just(ONE) | st.sampled_from(
        [NOTED_CODEC.encode(each) for each in (NotedTuple(1, 2), NotedEnum.ONE, NotedFlag.B)]
    )
    members = draw(st.lists(inner | FIELDS.map(values.encode), max_size=4))
    name = draw(NAMES_OF_NOTED.map(values.encode))
    body = draw(
        st.sampled_from(
            [
                bytes([0x90 + len(members)]) + b"".join(members),
                bytes([0x91 + len(members)]) + name + b"".join(members),
                b"\x81" + ONE + b"\x01",
                b"\x92" + name + b"\x81" + ONE + b"\x01",
                b"\x92\xc0\x91" + ONE,
                b"\x92" + ONE * 2,
            ]
        )
    )
    data = bytearray(msgpack.packb(msgpack.ExtType(draw(CODES), body)))
    if draw(st.booleans()):
        data = bytearray(b"\x81") + data + b"\x01"  # as a key
    for _ in range(draw(st.integers(0, 2))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@given(hostile())
def test_hostile_bytes_call_nothing(data):
    calls.clear()
    with contextlib.suppress(MalformedValueError):
        NOTED_CODEC.decode(data)
    noted, calls[:] = list(calls), []
    assert not noted


@pytest.mark.parametrize(
    "data",
    [
        packed(values.Extension.DATACLASS, "Noted", {"y": 1}),
        packed(values.Extension.DATACLASS, "Noted", {"x": 1, "__class__": 1}),
        packed(values.Extension.DATACLASS, "Noted", {"x": 1, "__setstate__": 1}),
        packed(values.Extension.DATACLASS, "Noted", {"x": 1, 2: 3}),
        packed(values.Extension.DATACLASS, "Noted", [1, 2]),
        packed(values.Extension.DATACLASS, "Noted"),
        packed(values.Extension.DATACLASS, "NotedTuple", {"x": 1}),
        packed(values.Extension.DATACLASS, "subprocess.Popen", {}),
        packed(values.Extension.DATACLASS, ["Noted"], {"x": 1}),
        packed(values.Extension.NAMED_TUPLE, "NotedTuple", 1),
        packed(values.Extension.NAMED_TUPLE, "Noted", 1, 2),
        packed(values.Extension.ENUM, "NotedEnum", "THREE", 3),
        packed(values.Extension.ENUM, "NotedEnum", None, 1),
        packed(values.Extension.ENUM, "NotedEnum", "__init__", 1),
        packed(values.Extension.ENUM, "NotedFlag", None, 8),
        packed(values.Extension.ENUM, "NotedFlag", None, -1),
        packed(values.Extension.ENUM, "NotedFlag", None, "1"),
        packed(values.Extension.ENUM, "NotedFlag", 3, 3),
        packed(values.Extension.REGISTERED, "Noted", {"x": 1}),
    ],
)
def test_malformed_instances(data):
    with pytest.raises(MalformedValueError):
        NOTED_CODEC.decode(data)


def test_combinations_of_flags_are_bounded():
    flags = enum.Flag("Many", [f"F{bit}" for bit in range(20)])
    codec = codec_of(flags)
    vars(flags)["_value2member_map_"].update(
        (-number, None) for number in range(1, MAX_COMBINATIONS)
    )
    with pytest.raises(MalformedValueError, match="too many combinations"):
        codec.decode(packed(values.Extension.ENUM, "0", None, 3))


# ---- keys ----


@dataclasses.dataclass
class OwnHash:
    x: int

    def __hash__(self):
        return 7


def test_instances_with_a_hash_of_their_own_are_values_but_no_keys():
    codec = codec_of(OwnHash, Mark)
    one = OwnHash(1)
    fine = [
        [one],
        (one,),
        {"a": {"b": [one]}},
        collections.OrderedDict(a=(one, [one])),
        Mark("a", one),
    ]
    for value in (*fine, collections.deque([one], 3), collections.defaultdict(list, a=[one])):
        assert codec.decode(codec.encode(value)) == value
        assert codec.decode(codec.encode([value])) == [value]
    for keys in (
        *({one}, {one: 1}, frozenset([one]), {(one,)}, {Mark("a", (one,)): 1}, {Pair(1, one)}),
        *(collections.Counter([one]), collections.OrderedDict({one: 1})),
    ):
        with pytest.raises(UnsupportedValueError) as caught:
            codec_of(OwnHash, Mark, Pair).encode([keys])
        assert "its own __hash__ or __eq__: convert it with list(…)" in str(caught.value)


def test_keys_of_known_hashes():
    @dataclasses.dataclass(eq=False)
    class Identity:
        x: int

    codec = codec_of(Identity, Mark, Pair, Color)
    (decoded,) = codec.decode(codec.encode({Identity(1)}))
    assert decoded.x == 1
    value = {Mark("a", Color.RED): {Pair(1, (Mark("b"),))}}
    assert codec.decode(codec.encode(value)) == value


# ---- refusals ----


def test_a_class_that_is_not_known_is_refused_by_name():
    for value in (Mark("a"), Pair(1, 2), Color.RED):
        with pytest.raises(UnsupportedValueError) as caught:
            values.encode([value])
        name = type(value).__name__
        assert f"test_values.{name} cannot be serialized" in str(caught.value)
        assert f"call pando.register_type({name}) before the run starts" in str(caught.value)
        with pytest.raises(MalformedValueError, match=f"'{name}', which is not registered here"):
            values.decode(CODEC.encode(value))


def odd_classes():
    @dataclasses.dataclass
    class IsDict(dict):
        x: int = 0

    @dataclasses.dataclass
    class HasDel:
        x: int = 0

        def __del__(self):
            pass

    class Descriptor:
        def __get__(self, owner, kind):
            return 1

        def __set__(self, owner, value):
            pass

    @dataclasses.dataclass
    class HasDescriptor:
        x: int = Descriptor()

    @dataclasses.dataclass
    class OwnDict:
        x: int = 0

        @property
        def __dict__(self):
            return {}

    return [(IsDict, "a dict"), (HasDel, "__del__"), (HasDescriptor, "descriptor"),
            (OwnDict, "__dict__"), (enum.Enum, "no members")]  # fmt: skip


@pytest.mark.parametrize(("cls", "reason"), odd_classes())
def test_classes_that_cannot_be_made_without_their_code(cls, reason):
    with pytest.raises(UsageError, match=f"with encode and decode: .*{reason}"):
        values.register_type(cls)
    if cls is not enum.Enum:
        with pytest.raises(UnsupportedValueError, match=reason):
            codec_of(cls).encode(cls())


def test_what_an_instance_cannot_be_given_again_is_named():
    def refusal(value):
        with pytest.raises(UnsupportedValueError) as caught:
            CODEC.encode([value])
        return str(caught.value)

    spot = Spot(1)
    spot.__dict__["__post_init__"] = 1
    assert "its attribute '__post_init__' hides what its class has" in refusal(spot)
    spot = Spot(1)
    del spot.x
    assert "its field 'x' is not set" in refusal(spot)
    spot = Spot(1)
    spot.lock = threading.Lock()
    assert "_thread.lock cannot be serialized" in refusal(spot)

    class Wide(Pair):
        pass

    wide = Wide(1, 2)
    wide.more = 3
    with pytest.raises(UnsupportedValueError, match="'more' is an attribute"):
        codec_of(Wide).encode(wide)


def test_registering_a_class_of_fields():
    values.register_type(Pair)
    values.register_type(Color, name="colour")
    assert values.decode(values.encode([Pair(1, Color.RED)])) == [Pair(1, Color.RED)]
    assert [each.name for each in values.registered_types()] == ["Pair", "colour"]
    with pytest.raises(UsageError, match="both encode and decode, or neither"):
        values.register_type(Spot, lambda spot: spot.x)
    with pytest.raises(UsageError, match="it is no named tuple, dataclass or enumeration"):
        values.register_type(threading.Thread)

"""What nodes and workers say to each other."""

from __future__ import annotations

import contextlib
import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando import messages, values
from pando.errors import MAX_TEXT, truncate
from pando.messages import MalformedMessageError

KINDS = [
    kind
    for union in (messages.ToBorrower, messages.FromBorrower)
    for kind in typing.get_args(union)
]
RAW = st.lists(st.integers() | st.text()).map(lambda members: msgspec.Raw(values.encode(members)))


def of_type(hint: msgspec.inspect.Type) -> st.SearchStrategy:
    """Values of a field, within the bounds that its type gives."""
    match hint:
        case msgspec.inspect.RawType():
            return RAW
        case msgspec.inspect.IntType():
            low = -(2**63) if hint.ge is None else hint.ge
            return st.integers(low, 2**64 - 1 if hint.le is None else hint.le)
        case msgspec.inspect.FloatType():
            return st.floats(hint.ge, hint.le, allow_nan=False)
        case msgspec.inspect.StrType():
            return st.text(min_size=hint.min_length or 0, max_size=hint.max_length)
        case msgspec.inspect.BytesType():
            return st.binary(min_size=hint.min_length or 0, max_size=hint.max_length)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.NoneType():
            return st.none()
        case msgspec.inspect.ListType():
            return st.lists(of_type(hint.item_type), max_size=min(hint.max_length or 3, 3))
        case msgspec.inspect.DictType():
            return st.dictionaries(of_type(hint.key_type), of_type(hint.value_type), max_size=3)
        case msgspec.inspect.UnionType():
            return st.one_of(*map(of_type, hint.types))
        case msgspec.inspect.StructType():
            return of_kind(hint.cls)
    raise NotImplementedError(f"fields of type {hint}")


def of_kind(kind: type) -> st.SearchStrategy:
    fields = msgspec.inspect.type_info(kind).fields
    return st.builds(kind, **{field.name: of_type(field.type) for field in fields})


MESSAGES = st.sampled_from(KINDS).flatmap(of_kind)


def plain(message) -> dict:
    """A message's fields; raw ones as bytes, since each is equal to itself alone."""
    return {
        name: bytes(value) if isinstance(value, msgspec.Raw) else value
        for name, value in msgspec.structs.asdict(message).items()
    }


@given(MESSAGES)
def test_what_is_decoded_is_what_was_encoded(message):
    decoded = messages.decode(messages.encode(message))
    assert type(decoded) is type(message)
    assert plain(decoded) == plain(message)


def test_every_kind_has_a_tag_of_its_own():
    tags = [msgspec.inspect.type_info(kind).tag for kind in KINDS]
    assert len(set(tags)) == len(KINDS)


@pytest.mark.parametrize(
    ("message", "encoded"),
    [
        (messages.Lend(1, msgspec.Raw(b"\x92\x01\x02")), "94a46c656e6401920102c2"),
        (messages.Recall(300), "93a6726563616c6ccd012cc2"),
        (messages.ReturnItems(1, 2, 3), "94a872657475726e6564010203"),
        (messages.ItemCrashed(1, 2, "a"), "94a673747275636b0102a161"),
        (messages.Load([b"\x01"]), "95a46c6f616491c4010190c40080"),
        (
            messages.Results(
                1, 0, 0.5, msgspec.Raw(b"\x91\xc0"), {0: messages.Failure("E", "r", "t", "d")}
            ),
            "96a7726573756c74730100cb3fe000000000000091c0810095a145a172a174a164c400",
        ),
    ],
)
def test_the_bytes_of_messages(message, encoded):
    assert messages.encode(message).hex() == encoded
    assert plain(messages.decode(bytes.fromhex(encoded))) == plain(message)


def test_values_are_passed_on_untouched():
    items = values.encode([(1, 2), {3}, "\ud800"])
    decoded = messages.decode(messages.encode(messages.Lend(7, msgspec.Raw(items))))
    assert values.decode(memoryview(decoded.items)) == [(1, 2), {3}, "\ud800"]


def test_fields_that_a_later_version_adds_are_ignored():
    assert messages.decode(msgspec.msgpack.encode(["recall", 5, False, "more"])) == messages.Recall(
        5
    )


def test_fields_with_a_default_may_be_missing():
    assert messages.decode(msgspec.msgpack.encode(["refused", "why"])) == messages.LoadFailed("why")


def test_any_buffer_can_be_decoded():
    encoded = messages.encode(messages.Recall(5))
    for buffer in (bytearray(encoded), memoryview(encoded)):
        assert messages.decode(buffer) == messages.Recall(5)


# ---- hostile bytes ----


def decode_or_refuse(data: bytes) -> None:
    with contextlib.suppress(MalformedMessageError):
        messages.decode(data)


@given(st.binary())
def test_any_bytes_give_a_message_or_the_one_error(data):
    decode_or_refuse(data)


@given(MESSAGES, st.data())
def test_mutated_messages(message, data):
    encoded = bytearray(messages.encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(encoded) - 1))
        encoded[place] = data.draw(st.integers(0, 255))
    decode_or_refuse(bytes(encoded))
    decode_or_refuse(bytes(encoded[: data.draw(st.integers(0, len(encoded)))]))


@given(st.sampled_from([kind.__name__.lower() for kind in KINDS]), st.lists(st.binary(max_size=9)))
def test_any_fields_behind_a_tag(tag, fields):
    head = msgspec.msgpack.encode([tag, *[None] * len(fields)])[: 2 + len(tag)]
    decode_or_refuse(head + b"".join(fields))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x90",
        b"\x91\xa5other",
        b"\x92\xa6recall\xa1a",
        b"\x91\xa6recall",
        b"\x91\xa5ready\x00",
        b"\xdd\xff\xff\xff\xff",
        b"\x92\xa7refused\xa1\xff",
        b"\x93\xa4lend\x01" + b"\x91" * 100_000,
    ],
)
def test_malformed_messages(data):
    with pytest.raises(MalformedMessageError):
        messages.decode(data)


# ---- long texts ----


@pytest.mark.parametrize("length", [0, 1, MAX_TEXT])
def test_short_texts_are_not_cut(length):
    assert truncate("x" * length) == "x" * length


@pytest.mark.parametrize("length", [MAX_TEXT + 1, 3 * MAX_TEXT])
def test_long_texts_lose_their_middle(length):
    text = "begin" + "x" * (length - 8) + "end"
    shortened = truncate(text)
    assert len(shortened) <= MAX_TEXT
    assert len(shortened) > MAX_TEXT - 20
    assert shortened.startswith("begin")
    assert shortened.endswith("end")
    assert "\n […] \n" in shortened

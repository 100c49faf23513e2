"""Frames, series and times of pandas and Polars as values."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import zoneinfo

import msgpack
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando import values
from pando.errors import MalformedValueError, UnsupportedValueError
from pando.values import codec

ZURICH = zoneinfo.ZoneInfo("Europe/Zurich")


def again(value):
    return values.decode(values.encode(value))


def hostile_parts():
    leaves = st.none() | st.integers() | st.floats() | st.text(max_size=4) | st.binary(max_size=4)
    words = st.sampled_from(
        ["frame", "series", "index", "range", "multi", "timestamp", "timedelta", "missing", "numpy",
         "object", "category", "zoned", "string", "masked", "Int8", "ns", "UTC", "List", "Enum",
         "Struct", "Int64", "String", "Datetime", "Decimal"]
    )  # fmt: skip
    arrays = st.lists(st.integers(-3, 3), max_size=3).map(numpy.array)
    return st.recursive(
        leaves | words | arrays,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.builds(lambda word, more: [word, *more], words, st.lists(inner, max_size=4))
        ),
        max_leaves=12,
    )


def decode_or_refuse(code: int, parts) -> None:
    with contextlib.suppress(MalformedValueError):
        values.decode(msgpack.packb(msgpack.ExtType(code, values.encode(parts))))


class TestPandas:
    pandas = None

    @pytest.fixture(autouse=True)
    def _import(self):
        type(self).pandas = pytest.importorskip("pandas")
        pytest.importorskip("pandas.testing")

    def check_frame(self, frame):
        found = again(frame)
        self.pandas.testing.assert_frame_equal(found, frame, check_exact=True, check_freq=True)
        assert list(found.dtypes) == list(frame.dtypes)
        assert type(found.index) is type(frame.index)
        assert type(found.columns) is type(frame.columns)
        assert found.attrs == frame.attrs
        for place in range(frame.shape[1]):
            column, expected = again(frame.iloc[:, place]), frame.iloc[:, place]
            self.pandas.testing.assert_series_equal(column, expected, check_exact=True)
            if expected.dtype == object:
                assert list(map(type, column)) == list(map(type, expected))

    def test_columns_of_all_kinds(self):
        pandas = self.pandas
        moments = pandas.to_datetime(["2024-01-01T00:00:00.123456789", None])
        columns = {
            "integers": [1, 2],
            "floats": [1.5, numpy.nan],
            "texts": ["x", None],
            "truths": [True, False],
            "moments": moments,
            "zoned": moments.tz_localize("UTC").tz_convert(ZURICH),
            "offsets": moments.tz_localize(datetime.timezone(datetime.timedelta(hours=2))),
            "spans": pandas.to_timedelta([1, None], "s"),
            "categories": pandas.Categorical(["u", None], ["v", "u"], ordered=True),
            "masked": pandas.array([1, None], "Int8"),
            "maybe": pandas.array([True, None], "boolean"),
            "masked floats": pandas.array([1.5, None], "Float32"),
            "strings": pandas.array(["s", None], "string"),
            "objects": pandas.Series([{"k": (1, decimal.Decimal("1.5"))}, pandas.NA], dtype=object),
        }
        self.check_frame(pandas.DataFrame(columns))
        self.check_frame(pandas.DataFrame(columns)[:0])

    def test_indexes_of_all_kinds(self):
        pandas = self.pandas
        indexes = [
            pandas.RangeIndex(5, 1, -2, name=("a", 1)),
            pandas.Index([1.5, 2.5], name="x"),
            pandas.Index(["a", None], dtype=object),
            pandas.date_range("2024-03-30", periods=2, freq="D", tz=ZURICH),
            pandas.date_range("2024-01-31", periods=2, freq="ME"),
            pandas.timedelta_range("1D", periods=2, freq="h"),
            pandas.CategoricalIndex(["a", "b"], name="c"),
            pandas.MultiIndex.from_tuples([("a", 1), ("b", None)], names=["l", None]),
        ]
        for index in indexes:
            assert type(again(index)) is type(index)
            pandas.testing.assert_index_equal(again(index), index, exact=True)
            self.check_frame(pandas.DataFrame({"x": [1, 2]}, index=index))
            self.check_frame(pandas.DataFrame([[1, 2.5]], columns=index))

    def test_shapes_of_all_kinds(self):
        pandas = self.pandas
        self.check_frame(pandas.DataFrame())
        self.check_frame(pandas.DataFrame(index=[1, 2]))
        self.check_frame(pandas.DataFrame(columns=["a"]))
        frame = pandas.DataFrame(numpy.arange(6.0).reshape(2, 3), columns=["a", "a", "b"])
        frame.attrs["unit"] = "m"
        self.check_frame(frame)
        decoded = again(frame)
        decoded.iloc[0, 0] = 9.0
        assert decoded.iloc[0, 0] == 9.0
        unique = pandas.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False)
        assert again(unique).flags.allows_duplicate_labels is False

    def test_times(self):
        pandas = self.pandas
        utc = pandas.Timestamp("2024-10-27T00:30:00.123456789", tz="UTC")
        local = utc.tz_convert(ZURICH)
        west = utc.tz_convert(datetime.timezone(datetime.timedelta(hours=-3)))
        naive = utc.tz_localize(None)
        for moment in (
            *(utc, local, local + pandas.Timedelta("1h"), west, naive, utc.as_unit("s")),
            *(pandas.Timestamp.min, pandas.Timestamp.max),
        ):
            found = again([moment])[0]
            assert (type(found), found, found.unit, found.fold, found.value, str(found.tz)) == (
                type(moment), moment, moment.unit, moment.fold, moment.value, str(moment.tz)
            )  # fmt: skip
            assert type(found.tz) is type(moment.tz)
        assert again(pandas.Timedelta("1ns")) == pandas.Timedelta("1ns")
        assert again(pandas.Timedelta(5, "s")).unit == pandas.Timedelta(5, "s").unit
        assert again(pandas.NaT) is pandas.NaT
        assert again(pandas.NA) is pandas.NA

    def test_what_is_refused(self):
        pandas = self.pandas

        class Derived(pandas.DataFrame):
            pass

        for value, hint in [
            (pandas.DataFrame({"a": pandas.interval_range(0, 2)}), '.to_dict("records")'),
            (pandas.Series(pandas.arrays.SparseArray([0, 1])), ".astype(str)"),
            (
                pandas.DataFrame({"a": [1]}, index=pandas.period_range("2024", periods=1)),
                ".reset_index()",
            ),
            (pandas.DataFrame({"a": [object()]}), "object cannot be serialized"),
            (pandas.Period("2024"), "str(…)"),
            (Derived({"a": [1]}), "DataFrame(…)"),
        ]:
            with pytest.raises(UnsupportedValueError) as caught:
                values.encode([value])
            assert hint in str(caught.value)
            assert "\n" not in str(caught.value)

    @given(hostile_parts())
    def test_hostile_parts(self, parts):
        decode_or_refuse(values.Extension.PANDAS, parts)


class TestPolars:
    polars = None

    @pytest.fixture(autouse=True)
    def _import(self):
        type(self).polars = pytest.importorskip("polars")
        pytest.importorskip("polars.testing")

    def frames(self):
        polars = self.polars
        day = datetime.date(2024, 1, 2)
        yield polars.DataFrame()
        yield polars.DataFrame({"a": []})
        yield polars.DataFrame(
            {
                "integers": [1, None],
                "floats": [1.5, float("nan")],
                "texts": ["x", None],
                "truths": [True, None],
                "days": [day, None],
                "times": [datetime.time(1, 2, 3, 4), None],
                "bytes": [b"x", None],
                "lists": [[1, None], None],
                "structures": [{"u": 1, "v": [day]}, {"u": None, "v": None}],
                "nothing": [None, None],
                "decimals": [decimal.Decimal("1.50"), None],
            }
        )
        yield polars.DataFrame(
            [
                polars.Series("small", [1, None], polars.UInt8),
                polars.Series("zoned", [123456789, None]).cast(
                    polars.Datetime("ns", "Europe/Zurich")
                ),
                polars.Series("spans", [1, None]).cast(polars.Duration("ns")),
                polars.Series("categories", ["a", None], polars.Categorical),
                polars.Series("enumeration", ["a", None], polars.Enum(["b", "a"])),
                polars.Series("arrays", [[1, 2], [3, 4]], polars.Array(polars.Int16, 2)),
                polars.Series(
                    "milliseconds", [datetime.datetime(2024, 1, 1), None], polars.Datetime("ms")
                ),
            ]
        )

    def test_frames_and_series_of_all_kinds(self):
        for frame in self.frames():
            found = again(frame)
            self.polars.testing.assert_frame_equal(found, frame, check_exact=True)
            assert found.schema == frame.schema
            for series in frame.get_columns():
                self.polars.testing.assert_series_equal(again(series), series, check_exact=True)
                empty = series.clear()
                self.polars.testing.assert_series_equal(again(empty), empty, check_exact=True)

    def test_what_is_refused(self):
        polars = self.polars
        nested = polars.Series([[datetime.time(1)]])
        for value, hint in [
            (polars.LazyFrame({"a": [1]}), ".collect()"),
            (polars.Series([object()], dtype=polars.Object), ".to_dicts()"),
            (nested, ".to_dicts()"),
            (polars.col("a"), "Expr cannot be serialized"),
        ]:
            with pytest.raises(UnsupportedValueError) as caught:
                values.encode([value])
            assert hint in str(caught.value)

    @given(hostile_parts())
    def test_hostile_parts(self, parts):
        decode_or_refuse(values.Extension.POLARS, parts)


def test_frames_without_their_library_are_malformed(monkeypatch):
    missing = codec._late_decoder(values.Extension.PANDAS, "no_such_frames")
    monkeypatch.setitem(codec._DECODERS, values.Extension.PANDAS, missing)
    with pytest.raises(MalformedValueError, match="no_such_frames is not installed"):
        values.decode(msgpack.packb(msgpack.ExtType(values.Extension.PANDAS, b"\x90")))

"""Why a value cannot be serialized, and what to return in its place: one sentence."""

from __future__ import annotations

from .plain import full_name

ITERATORS = frozenset(
    [
        "generator", "map", "filter", "zip", "enumerate", "reversed", "list_iterator",
        "tuple_iterator", "set_iterator", "range_iterator", "dict_keys", "dict_values",
        "dict_items", "dict_keyiterator", "dict_valueiterator", "dict_itemiterator",
        "list_reverseiterator", "str_ascii_iterator", "str_iterator", "bytes_iterator",
        "callable_iterator", "mappingproxy",
    ]
)  # fmt: skip
INSTEAD = {
    "array.array": ".tolist()",
    "async_generator": "[each async for each in …]",
    "coroutine": "await …",
    "io.BytesIO": ".getvalue()",
    "io.StringIO": ".getvalue()",
    "re.Match": ".groups() or .group()",
    "sqlite3.Row": "dict(…)",
    "torch.Tensor": ".numpy()",
    "types.SimpleNamespace": "vars(…)",
    "PIL.Image.Image": "numpy.asarray(…)",
    "numpy.ma.MaskedArray": ".filled()",
    "numpy.matrix": "numpy.asarray(…)",
    "pyarrow.lib.Table": ".to_pydict()",
    "pyarrow.lib.RecordBatch": ".to_pydict()",
    "polars.lazyframe.frame.LazyFrame": ".collect()",
    "pandas.core.frame.DataFrame": '.to_dict("records")',
    "pandas.core.series.Series": ".tolist()",
    "pandas.DataFrame": '.to_dict("records")',
    "pandas.Series": ".tolist()",
}
BY_MODULE = {
    "itertools": "list(…)",
    "scipy.sparse": ".toarray()",
    "pandas": "str(…)",
    "polars": ".to_dicts() or .to_list()",
    "xarray": ".to_dict()",
    "jax": "numpy.asarray(…)",
    "jaxlib": "numpy.asarray(…)",
    "tensorflow": ".numpy()",
}


def why_unsupported(kind: type) -> str:
    """Tell what to return instead of a value of this type."""
    name = kind.__qualname__ if kind.__module__ == "builtins" else full_name(kind)
    if isinstance(kind, type) and issubclass(kind, type):
        return f"a value of type {name} cannot be serialized: a class is no data, its name is"
    instead = _instead_of(kind, name)
    if instead is not None:
        return f"a value of type {name} cannot be serialized: convert it with {instead}"
    hint = ""
    from .kinds import is_built_in
    from .shapes import kind_of_class

    if kind_of_class(kind) is not None:
        return (
            f"a value of type {name} cannot be serialized: its class was not known when the "
            f"function was sent; call pando.register_type({kind.__name__}) before the run starts"
        )
    for base in kind.__mro__[1:]:
        if is_built_in(base):
            hint = f"convert it with {base.__name__}(…) or "
            break
        if (inherited := _instead_of(base, full_name(base))) is not None:
            hint = f"convert it with {inherited} or "
            break
    return f"a value of type {name} cannot be serialized: {hint}see pando.register_type"


def _instead_of(kind: type, name: str) -> str | None:
    if kind.__module__ == "builtins" and kind.__name__ in ITERATORS:
        return "dict(…)" if kind.__name__ == "mappingproxy" else "list(…)"
    if name in INSTEAD or kind.__name__ in INSTEAD:
        return INSTEAD.get(name) or INSTEAD[kind.__name__]
    for module, instead in BY_MODULE.items():
        if f"{kind.__module__}.".startswith(f"{module}.") and kind.__module__ != "builtins":
            return instead
    return None

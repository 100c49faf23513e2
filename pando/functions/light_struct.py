"""Light structs: named fields in an order, serialized as a list.

They replace `msgspec.Struct` in what a worker reads before it can begin: importing msgspec
takes longer than everything else that a worker needs, Python's own start included.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, dataclass_transform
else:  # importing `typing` takes a while, too

    def dataclass_transform():
        """Mark nothing: only type checkers look at the mark."""
        return lambda cls: cls


@dataclass_transform()
class LightStruct:
    """The base of light structs; a subclass's annotations are its fields.

    One is serialized as the list of its fields, after the class's `tag` if it has one.
    """

    tag: ClassVar[str] = ""
    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, tag: str = "") -> None:
        cls.tag = tag
        cls.__match_args__ = tuple(cls.__annotations__)  # type: ignore[misc]

    def __init__(self, *fields: Any, **named: Any) -> None:
        self.__dict__.update(zip(self.__match_args__, fields, strict=False), **named)

    def to_list(self) -> list[Any]:
        """Return what is serialized; `msgpack` converts fields that are structs itself."""
        fields = [getattr(self, name) for name in self.__match_args__]
        return [self.tag, *fields] if self.tag else fields

"""Records: named fields in an order, which travel as a list.

They stand in for `msgspec.Struct` in what a worker reads before it can begin: importing msgspec
takes longer than everything else that a worker needs, Python's own start included.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, dataclass_transform
else:  # importing `typing` takes a while, too

    def dataclass_transform():
        return lambda cls: cls


@dataclass_transform()
class Record:
    """The base of records; a subclass's annotations are its fields.

    A record travels as the list of its fields, behind the class's `tag` where that has one.
    """

    tag: ClassVar[str] = ""
    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, tag: str = "") -> None:
        cls.tag = tag
        cls.__match_args__ = tuple(cls.__annotations__)  # type: ignore[misc]

    def __init__(self, *fields: Any, **named: Any) -> None:
        self.__dict__.update(zip(self.__match_args__, fields, strict=False), **named)

    def to_list(self) -> list[Any]:
        """What travels; fields that are records travel as `msgpack` comes to them."""
        fields = [getattr(self, name) for name in self.__match_args__]
        return [self.tag, *fields] if self.tag else fields

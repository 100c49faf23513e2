"""Names of files without the folders of this machine, for what is sent to others.

A file is named by its place below the folder that modules are imported from, or else by its name
alone: tracebacks then tell what the function's author knows, and nothing of the home folder.
"""

from __future__ import annotations

import os
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class ShortNames:
    """The short names of some files.

    Attributes:
        files: the files, by their short names; no two have the same.
    """

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self._short: dict[str, str] = {}

    def of(self, filename: str) -> str:
        """Return the short name of a file; names that are no absolute paths stay as they are."""
        if not os.path.isabs(filename):
            return filename
        if filename not in self._short:
            self.give(filename, _below_import_path(filename))
        return self._short[filename]

    def give(self, filename: str, short: str) -> None:
        """Give a file a short name, unless it has one."""
        if filename in self._short or not os.path.isabs(filename):
            return
        number = 2
        name = short
        while name in self.files:
            name = f"{number}/{short}"
            number += 1
        self.files[name] = filename
        self._short[filename] = name

    def shorten(self, code: types.CodeType) -> types.CodeType:
        """Return some code that has, with all inside it, the short name of its file."""
        return rename(code, self.of)


def rename(code: types.CodeType, name_of: Callable[[str], str]) -> types.CodeType:
    """Return some code with another name of its file, and so all code inside it."""
    name = name_of(code.co_filename)
    constants = tuple(
        rename(each, name_of) if isinstance(each, types.CodeType) else each
        for each in code.co_consts
    )
    if name == code.co_filename and all(
        new is old for new, old in zip(constants, code.co_consts, strict=True)
    ):
        return code
    return code.replace(co_filename=name, co_consts=constants)


def _below_import_path(filename: str) -> str:
    """Return the shortest name of a file below a folder that modules are imported from."""
    folders = {os.path.abspath(each).rstrip(os.sep) for each in sys.path} - {""}
    found = [each for each in folders if filename.startswith(each + os.sep)]
    return filename[len(max(found, key=len)) + 1 :] if found else os.path.basename(filename)

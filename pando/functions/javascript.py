"""JavaScript modules: read, and made one script that requires nothing but Pando itself.

A module is a CommonJS script that sets ``module.exports["/pando/1.0.0"] = function (x, cb) {…}``,
as for the original tool, or an ES module with a default export. Whether it exports a function is
known only where it runs; see `pando.runtime.javascript`.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import FunctionError
from ..notifier import Notifier
from .bundling import bundle
from .package import JavaScriptPackage
from .requires import scan_requires

SUFFIXES = (".js", ".cjs", ".mjs")
ENGINE = "mini-racer>=0.14,<0.15"
"""What has to be installed where no browser runs JavaScript, as PEP 508 requirement strings."""


def read_module(path: str | Path, *, as_text: bool, say: Notifier) -> JavaScriptPackage:
    """Read a JavaScript file, with all that it requires, as a package.

    Args:
        path: the file.
        as_text: whether results are wanted as `String(result)`.
        say: told, in a sentence, of what takes long, and of what will not work.

    Raises:
        FunctionError: there is no such file, or something that it requires cannot be found; the
            message is one sentence that names it.
    """
    path = Path(path)
    source = _read(path)
    needs = scan_requires(source)
    for name, line in needs.page.items():
        say(f"{path}, line {line}: there is no `{name}` where functions run, in browsers neither")
    if needs.required or needs.built_in or needs.is_es_module or path.suffix == ".mjs":
        source = bundle(source, path, needs.required, say)
    return JavaScriptPackage(path.stem, source, str(path), as_text, [ENGINE])


def _read(path: Path) -> str:
    if path.is_dir():
        raise FunctionError(f"{path} is a folder, not a JavaScript file")
    try:
        source = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise FunctionError(f"there is no file {path}") from None
    except UnicodeDecodeError:
        raise FunctionError(f"{path} is not in UTF-8") from None
    except OSError as error:
        raise FunctionError(f"{path} cannot be read: {error.strerror}") from None
    return f"//{source}" if source.startswith("#!") else source

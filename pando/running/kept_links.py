"""Which link a run has: the one that is kept for its module, or a fresh one."""

from __future__ import annotations

import sys
from pathlib import Path

from ..net.trust.join_link import LinkSecret
from ..net.trust.key_store import HeldLink, KeyStore
from .serve_options import ServeOptions


def open_link_of(options: ServeOptions) -> HeldLink:
    """Return the link to serve with.

    Raises:
        UsageError: the chosen token is none.
    """
    chosen = None if options.token is None else LinkSecret.choose(options.token)
    return KeyStore().open(module_of(options), chosen=chosen, new_link=options.new_link)


def module_of(options: ServeOptions) -> Path | None:
    """Return the file that the link is kept for: by default the script; None if there is none.

    A notebook's kernel, ``-c`` and a script from standard input have no file.
    """
    if options.link_for is not None:
        return Path(options.link_for) if options.link_for else None
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if not script or not Path(script).is_file():
        return None
    return Path(script)

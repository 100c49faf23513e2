"""The part of a server that outlives it: its link and its port."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from ..net.addresses import PORTS_TRIED
from ..net.trust.key_store import HeldLink
from .serve_options import ServeOptions


@dataclass
class Endpoint:
    """The part of a server that outlives it, so that its links stay valid for the next run.

    Attributes:
        open_link: gets the link from where it is kept; None where everybody may join.
        view_token: the secret of those who may watch, on other machines.
        management_token: the secret of those who may send devices away as well.
        port: the port of the last server, to be bound again; 0 at first.
        announced: the last announcement, which is not repeated.
    """

    open_link: Callable[[], HeldLink] | None
    view_token: str
    management_token: str
    port: int = 0
    announced: str = ""

    @cached_property
    def link(self) -> HeldLink | None:
        """What the join link stands for; None where everybody may join.

        It is got when it is first needed: making one anew imports cryptography, which a run that
        only this machine can reach, and that nobody joins, does without.
        """
        return self.open_link() if self.open_link else None

    def kept_port(self, options: ServeOptions) -> int:
        """Return the port of the last run with the same link, if the options allow it; else 0."""
        if options.is_local or not options.any_port or self.link is None:
            return 0
        port = self.link.keys.port
        may_be_it = options.port == 0 or options.port <= port <= options.port + PORTS_TRIED
        return port if may_be_it else 0

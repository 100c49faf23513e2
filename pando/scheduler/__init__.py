"""Who holds which item, and results back in order: state machines without I/O, Trio or clock.

`Lender` lends items to borrowers and takes their results; inside it `ReorderBuffer` puts results
in order. `Credit` says how many items a borrower should hold, and `Window` how far reading may
run ahead. A method is told what happened and returns what to do; whoever drives them does it.
"""

from .credit import LONG_SECONDS, MAX_BATCH_BYTES, MAX_BATCH_ITEMS, MAX_SECONDS, Credit
from .lender import Lease, Lender, LenderStatistics, StruckOut
from .recall import Holder, choose_recall
from .reorder import ReorderBuffer, ResultRun
from .share import Share
from .window import Window

__all__ = [
    "LONG_SECONDS",
    "MAX_BATCH_BYTES",
    "MAX_BATCH_ITEMS",
    "MAX_SECONDS",
    "Credit",
    "Holder",
    "Lease",
    "Lender",
    "LenderStatistics",
    "ReorderBuffer",
    "ResultRun",
    "Share",
    "StruckOut",
    "Window",
    "choose_recall",
]

"""Who holds which item, and results back in order: state machines without I/O, Trio or clock.

`Lender` lends items to borrowers and takes their results; inside it `ReorderBuffer` puts results
in order. `Credit` says how many items a borrower should hold, and `Window` how far reading may
run ahead. `Allocator` decides which borrower gets work next, of which stream (`Backlog`). A method
is told what happened and returns what to do; whoever drives them does it.
"""

from .allocator import Allocator, Loan, Read
from .attempts import MAX_ATTEMPTS, MAX_LOSSES, AttemptsExhausted, Source
from .backlog import Backlog
from .borrower import MAX_FRAME_BYTES, THIS_MACHINE, Borrower
from .conduct import Conduct, Conducts
from .credit import MAX_BATCH_BYTES, MAX_BATCH_ITEMS, MAX_SECONDS, Credit
from .lease import Lease
from .lender import Lender
from .recall import Holder, choose_recall
from .reorder import ReorderBuffer, ResultBatch
from .share import Share
from .speculation import Doubling, choose_doubling
from .statistics import LenderStatistics
from .window import Window

__all__ = [
    "MAX_ATTEMPTS",
    "MAX_BATCH_BYTES",
    "MAX_BATCH_ITEMS",
    "MAX_FRAME_BYTES",
    "MAX_LOSSES",
    "MAX_SECONDS",
    "THIS_MACHINE",
    "Allocator",
    "AttemptsExhausted",
    "Backlog",
    "Borrower",
    "Conduct",
    "Conducts",
    "Credit",
    "Doubling",
    "Holder",
    "Lease",
    "Lender",
    "LenderStatistics",
    "Loan",
    "Read",
    "ReorderBuffer",
    "ResultBatch",
    "Share",
    "Source",
    "Window",
    "choose_doubling",
    "choose_recall",
]

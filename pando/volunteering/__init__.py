"""Volunteering: compute for another person's run, as a node of its tree.

A volunteer connects to the root, receives the run and its function, starts its workers, and gets
a parent: the root itself, or a node below it. When it loses its parent, it keeps its workers and
its children and asks the root for another one. When the run ends, it waits for the next one.
"""

from ..net.trust.join_link import MAX_LINK, JoinLink
from .blocking import volunteer
from .device import Volunteer, VolunteerStatistics
from .diagnosis import Diagnosis
from .options import VolunteerOptions

__all__ = [
    "MAX_LINK",
    "Diagnosis",
    "JoinLink",
    "Volunteer",
    "VolunteerOptions",
    "VolunteerStatistics",
    "volunteer",
]

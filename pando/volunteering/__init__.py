"""Volunteering: compute for somebody else's run, as a node of its tree.

A volunteer connects to the root, is told what the run is, starts its workers, and is given a
parent: the root itself, or a node below it. When the link is lost it keeps its workers and its
own children and asks the root again; when the run is over it waits for the next one.
"""

from .blocking import volunteer
from .device import Volunteer, VolunteerOptions, VolunteerStatistics
from .invitation import Invitation

__all__ = ["Invitation", "Volunteer", "VolunteerOptions", "VolunteerStatistics", "volunteer"]

"""WebRTC: data channels between nodes, by aiortc, whose asyncio loop has a thread of its own.

Nothing is imported here. `is_available` (`availability.py`) tells whether aiortc is installed; it
is imported, in the loop's thread, when the first connection is made.
"""

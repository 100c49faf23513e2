"""Links through a public server: one control link of the root carries all of its joining nodes.

The frames on it, what waits to be sent, the proof that opens a room, and the root's side.
"""

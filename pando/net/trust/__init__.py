"""Who trusts whom: join links, keys, and the handshake that proves them.

Nothing is imported here. `join_link`, `key_store` and `peer_user` cost nothing to import; the other
modules import `cryptography`, and are imported when a node joins.
"""

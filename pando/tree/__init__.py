"""The tree: a node, and what links it to its parent and its children."""

"""The tree: a node, its parent and its children, and who goes where."""

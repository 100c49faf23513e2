"""What carries messages between nodes: the listener on a node's one port, and its channels."""

"""What is served on a node's one port: the pages, and the door at which all connections arrive."""

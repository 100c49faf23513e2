"""The commands, thin: what they read, write and say."""

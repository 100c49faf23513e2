"""The public server: where runs register, and what relays between them and their volunteers."""

"""Recorded traces of the scheduler's decisions, which the twin in TypeScript replays, too."""

"""The pages that a root serves: what volunteers open, and the monitoring."""

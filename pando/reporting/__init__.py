"""What a function tells of its own work: figures that it reports, and how they add up."""

"""Task-driven neurons."""

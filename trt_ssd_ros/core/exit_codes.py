"""What a process's exit code tells."""

INTERRUPTED = 130
"""The exit code that shells give to a process which SIGINT ended."""

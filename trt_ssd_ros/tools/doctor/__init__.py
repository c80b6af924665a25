"""What `doctor` looks at, a subject a file: each yields findings of a machine."""

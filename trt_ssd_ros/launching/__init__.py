"""Code shared by the launch files."""

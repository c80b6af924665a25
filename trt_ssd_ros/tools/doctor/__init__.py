"""Checks of a machine: each yields findings, OK, WARN or FAIL."""

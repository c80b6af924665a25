"""Offline tools on a Ray cluster: connection, workers, and the queue of units."""

"""`detect --ray` on a cluster of processes: speed of the queue, and killed workers, nodes and drivers."""

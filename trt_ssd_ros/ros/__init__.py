"""Parts shared by all nodes: parameters, life of the process, transport."""

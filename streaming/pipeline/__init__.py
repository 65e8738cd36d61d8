"""How Vigil's own workers get on: their lag, the dead letters, whether indexing goes on."""

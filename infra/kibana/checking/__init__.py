"""Objects held against Kibana's format and against the mapping of the indices that they ask. Pure."""

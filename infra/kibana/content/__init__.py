"""What Vigil puts into Kibana."""

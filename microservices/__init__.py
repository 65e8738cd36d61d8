"""Three example services, and the small client that any Python service can use."""

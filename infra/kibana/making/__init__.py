"""Builders: what a view, search, chart or dashboard is to say goes in, a saved object comes out. Pure."""

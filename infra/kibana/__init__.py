"""Kibana's objects (data views, searches, charts, dashboards) from source: made, checked, imported through its API."""

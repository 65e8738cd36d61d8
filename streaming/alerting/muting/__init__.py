"""Why nobody is told of an incident: silences, maintenance windows, inhibitions, dependencies, flapping."""

"""The workers' part of the `vigil` command line."""

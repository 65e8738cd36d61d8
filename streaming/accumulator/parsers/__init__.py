"""From a text to the fields of an event: what `<parse>` of a source or filter says."""

"""What a message says apart from its values: its masked text, and the short name of that. Standard library alone."""

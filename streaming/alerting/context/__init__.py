"""What was known around an incident when it opened: gathered from where it can be, shown as a note and as a whole."""

"""Alert rules: one file for each kind, how a set of them is read, checked, versioned and kept."""

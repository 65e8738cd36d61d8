"""Templates of messages: shapes (masked texts) that differ in values alone are shown as one. A view; see docs."""

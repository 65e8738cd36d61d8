"""Audits: what is so is held against what should be, by evidence of its own, on a schedule (`vigil nodes audit`,
`vigil pipeline audit`, and the DAGs of these names)."""

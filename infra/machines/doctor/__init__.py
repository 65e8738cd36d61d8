"""`vigil doctor` for machines: asks from the outside in, and names the first link that is broken.

`asking.py` gathers facts, `judging.py` (pure) makes findings of them, `showing.py` shows those to a person.
"""

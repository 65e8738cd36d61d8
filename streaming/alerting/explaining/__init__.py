"""Why a rule fired or did not, and what became of an incident: for people, after the fact."""

"""A platform under fire: producers that know what was acknowledged, a seeded hand that kills, and the evidence."""

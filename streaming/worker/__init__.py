"""What every worker shares: its life, its health answer, its metrics, its logs."""

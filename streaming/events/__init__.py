"""The event model: what a log, a heartbeat and a registration are, read from any dialect, written as ECS."""

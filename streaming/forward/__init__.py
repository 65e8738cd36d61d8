"""The Fluentd Forward protocol: its frames, and a sender. Needs the base install alone."""

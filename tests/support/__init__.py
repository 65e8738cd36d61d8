"""What several tests share: a Slack to write to, real log files, a running platform."""

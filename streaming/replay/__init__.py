"""Replays of real log files through the accumulators (`vigil replay`).

`files` reads lines, `records` makes of each what is sent, `schedule` says when, `sending` sends them.
"""

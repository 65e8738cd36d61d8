"""What may go to the spool next: fair shares, the limit and what happens at it. Pure; the committer asks."""

"""Where events come from. A source hands chunks to the committer, and answers its sender when they are durable."""

"""`python -m streaming.consumer`: the consumer of the original six steps. It is the indexer (`streaming.indexer`)."""

from __future__ import annotations

from streaming.indexer.__main__ import main

if __name__ == "__main__":
    main()

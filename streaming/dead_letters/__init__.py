"""Dead letters: what could not be read or indexed, kept whole with the reason; found, counted and replayed.

`letters` is the record in Kafka, `halt` says when to stop instead, `document` and `indexing` bring each letter into
Elasticsearch, `finding` and `replaying` bring the original bytes back into the logs.
"""

from streaming.dead_letters.halt import HaltGuard, TooManyDeadLetters
from streaming.dead_letters.letters import REASON, TOPIC, WORKER, DeadLetters, Letter

__all__ = ["REASON", "TOPIC", "WORKER", "DeadLetters", "HaltGuard", "Letter", "TooManyDeadLetters"]

"""Asks Kafka now and then whether it is there and has the topics, for the health answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from confluent_kafka import KafkaException, Producer

ASK_AGAIN_S = 1.0
ASK_WHEN_WELL_S = 10.0
TIMEOUT_S = 2.0

Report = Callable[[bool, str], None]


class KafkaProbe:
    """A thread that reports (true, "") or (false, why). `producer` gives the client in use."""

    def __init__(self, producer: Callable[[], Producer], topics: Iterable[str], bootstrap: str, report: Report) -> None:
        self._producer, self._topics, self._bootstrap, self._report = producer, sorted(set(topics)), bootstrap, report
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kafka-probe", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends it, after its question in hand."""
        self._stop.set()
        self._thread.join(TIMEOUT_S + 1)

    def _run(self) -> None:
        wait = 0.0
        while not self._stop.wait(wait):
            ok, why = self._ask()
            self._report(ok, why)
            wait = ASK_WHEN_WELL_S if ok else ASK_AGAIN_S

    def _ask(self) -> tuple[bool, str]:
        try:
            present = self._producer().list_topics(timeout=TIMEOUT_S).topics
        except KafkaException:
            return False, f"no answer at {self._bootstrap}; events are kept in the spool meanwhile"
        missing = [t for t in self._topics if t not in present]
        if missing:
            return False, f"topic {', '.join(missing)} does not exist; `vigil up` creates those that are Vigil's own"
        return True, ""

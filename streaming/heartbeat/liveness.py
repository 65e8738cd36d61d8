"""Whether nodes live: a pure state machine over registrations, beats, orders, what is expected, and the clock."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from streaming.events.model import Heartbeat, NodeState, Registration
from streaming.heartbeat import silence
from streaming.heartbeat.carriers import EVIDENCE_WITHIN_MS, Carrier
from streaming.heartbeat.messages import NodeOrder, NodeRecord, Order
from streaming.heartbeat.node import CAME, Node, Outcome
from streaming.heartbeat.processes import Verdict
from streaming.heartbeat.roster import FORGET_AFTER_MS, Roster, forget_at
from streaming.heartbeat.states import ACCUMULATOR_SERVICE, PIPELINE_ID, PIPELINE_SERVICE, About, Kind, State

INTERVAL_WEIGHT = 0.2
"""Weight of the newest interval in the moving mean: after 10 beats a changed interval counts for 1 - 0.8^10 = 89 %."""

LOOK_AGAIN_MS = 250
"""How often a node is looked at whose silence is long enough, and whose accumulator has not yet said that it counts."""

WATCHED = (State.UP, State.SUSPECT, State.UNKNOWN)
"""States in which silence means something."""

NOTHING = Outcome()
"""Of a beat that changes nothing but when the last one came. Not to be changed."""

BEATS_ALL_THE_SAME = ", and beats all the same"


class Liveness:
    """All nodes. Times are milliseconds of receive time, so that no sender's clock decides who lives.

    Silence counts from the last beat, but not from before `watch_from`: a monitor that was away itself has
    seen nothing, and must not call everyone dead. Nor does it count for longer than what carries the node's beats is
    known to have carried them (`Carrier`).

    A receive time is given as whoever received has it. What carries beats is measured by its own clock alone; for
    everything else a time that is later than now is now: nothing was received later, and a time before a clock was
    set back would count as life for as long.

    A beat costs some microseconds and a tick only as much as there are nodes whose silence is worth a look. What
    `Outcome.records` holds is to be kept at once; `unwritten` gives out the rest.
    """

    def __init__(
        self, deadline_ms: int, records: Iterable[NodeRecord] = (), skew_bounds_ms: Sequence[float] = ()
    ) -> None:
        self._deadline_ms = deadline_ms
        self._skew_bounds = sorted(skew_bounds_ms)
        self._roster = Roster()
        self._nodes, self._carriers, self._agenda = self._roster.nodes, self._roster.carriers, self._roster.agenda
        self._watching_since_ms: int | None = None
        self._ticked_ms = 0
        self._newest_ms = [0, 0]
        """The latest time by Kafka's clock of what was read since the last tick, and between the one before and it."""
        for record in records:
            self._roster.put(Node.restored(record))

    def __iter__(self) -> Iterator[NodeRecord]:
        return (node.record for node in self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._nodes

    # ----------------------------------------------------------------------------- what the monitor itself can see

    def watch_from(self, now_ms: int) -> None:
        """All beats up to now have been read; from now on silence counts. Call again after every gap in reading."""
        self._watching_since_ms = now_ms
        for carrier in self._carriers.values():
            carrier.forget()
            self._roster.unpark(carrier, now_ms)
        for node in self._nodes.values():
            if node.record.duplicate:
                node.processes.turned_ms = max(node.processes.turned_ms, now_ms)

    def stop_watching(self) -> None:
        """Reading lags or has ceased: silence proves nothing, and nothing changes by it, until `watch_from`."""
        self._watching_since_ms = None

    def clock_was_set(self, by_ms: int) -> None:
        """The clock was set by so much: what counts from a time in the past counts from the same moment as before."""
        self._ticked_ms += by_ms
        if self._watching_since_ms is not None:
            self._watching_since_ms += by_ms
        for carrier in self._carriers.values():
            carrier.clock_was_set(by_ms)
            carrier.parked.clear()
        self._agenda.clear()
        for node in self._nodes.values():
            node.processes.clock_was_set(by_ms)
            node.record.since_ms += by_ms
            node.arrived_ms += by_ms if node.arrived_ms else 0
            if node.record.last_beat_ms is not None:
                node.record.last_beat_ms += by_ms
            self._agenda.look_at(node, self._ticked_ms)

    # ------------------------------------------------------------------------------------------- what nodes say

    def registered(
        self, event: Registration, received_ms: int, accumulator: str | None = None, now_ms: int | None = None
    ) -> Outcome:
        """A node introduced itself. It counts as up from now on, and as silent if no beat follows.

        One that was received before its node was found DOWN is an old one, sent or read again: it revives nobody.
        """
        now_ms = received_ms if now_ms is None else now_ms
        carried_ms, received_ms = received_ms, min(received_ms, now_ms)
        node = self._nodes.get(event.node_id)
        if node is None:
            node = self._roster.first(event.node_id, event.service, received_ms, "registered")
            if node is None:
                return Outcome(refused=1)
        elif node.record.kind is not Kind.NODE:
            return Outcome(refused=1)
        elif node.record.state is State.DOWN and self._is_old(node, carried_ms, accumulator):
            return Outcome(replayed=1)
        record = node.record
        record.service = event.service or record.service
        if event.instance_id and node.processes.introduced(record, event.instance_id):
            record.rhythm.begin()
        self._heard(node, accumulator, carried_ms, now_ms)
        if record.state in (State.MAINTENANCE, State.RETIRED):
            outcome = Outcome(records=[record])
        elif event.status is NodeState.DOWN:
            outcome = node.to(State.DOWN, received_ms, "the registry says DOWN", clean=True)
        else:
            outcome = node.to(State.UP, received_ms, "registered")
        self._plan(node, now_ms)
        return outcome

    def beat(
        self, event: Heartbeat, received_ms: int, accumulator: str | None = None, now_ms: int | None = None
    ) -> Outcome:
        """A beat came through an accumulator (None: it does not say). One that is old (sent again, or read again)
        changes nothing. `now_ms`: when it was read, by the monitor's clock."""
        now_ms = received_ms if now_ms is None else now_ms
        node = self._nodes.get(event.node_id)
        if node is None:
            node = self._roster.first(event.node_id, event.service or "", min(received_ms, now_ms), "first beat")
            if node is None:
                return Outcome(refused=1)
        elif node.record.kind is not Kind.NODE:
            return Outcome(refused=1)  # a node that calls itself an accumulator is none
        return self._beaten(node, event, received_ms, accumulator, now_ms)

    def accumulator_beat(
        self, event: Heartbeat, received_ms: int, delivered_to_ms: int, now_ms: int | None = None
    ) -> Outcome:
        """An accumulator beat, straight into Kafka: it lives, and has delivered what it received up to
        `delivered_to_ms` by its own clock."""
        now_ms = received_ms if now_ms is None else now_ms
        received_ms = min(received_ms, now_ms)
        node = self._roster.of_kind(Kind.ACCUMULATOR, event.node_id, event.service or ACCUMULATOR_SERVICE, received_ms)
        process = node.record.instance_id
        outcome = self._beaten(node, event, received_ms, None, now_ms)
        if outcome.replayed:
            return outcome
        whole = Outcome()
        whole.add(outcome)
        sent_ms = event.timestamp_ns // 1_000_000
        if event.status is NodeState.DOWN:
            whole.add(self._pipeline_rests(received_ms))
            return whole
        carrier = self._carriers[event.node_id]
        self._carries(carrier, delivered_to_ms, sent_ms, now_ms, begins=node.record.instance_id != process)
        whole.add(self._pipeline_works(node, received_ms, now_ms))
        return whole

    # ------------------------------------------------------------------------------------------- what people say

    def order(self, order: NodeOrder, now_ms: int) -> Outcome:
        """Somebody ordered something about a node. An order about a node that is not known does nothing."""
        node = self._nodes.get(order.node_id)
        if node is None:
            return Outcome()
        record, by = node.record, f" by {order.author}"
        why = f": {order.reason}" if order.reason else ""
        if order.order is Order.RESTORE:
            if record.state not in (State.MAINTENANCE, State.RETIRED):
                return Outcome()
            outcome = self._watch_again(node, now_ms, f"restored{by}{why}")
        elif order.order is Order.RETIRE:
            outcome = node.to(State.RETIRED, now_ms, f"retired{by}{why}")
        elif order.until_ms is not None and order.until_ms <= now_ms:
            return Outcome()  # read too late
        else:
            outcome = node.to(State.MAINTENANCE, now_ms, "")
            record.maintenance_until_ms, record.reason = order.until_ms, f"maintenance{by}{why}"
            for change in outcome.changes:
                change.reason = record.reason
        if record.state in (State.MAINTENANCE, State.RETIRED):
            record.ordered_by = order.author
        self._roster.unpark_one(node)
        if (carrier := self._carriers.get(record.node_id)) is not None:
            # One that is retired vouches for nobody: its nodes are judged by the clock.
            self._roster.unpark(carrier, now_ms)
        self._plan(node, now_ms)
        return outcome

    def expect(self, expected: Mapping[str, str], now_ms: int) -> Outcome:
        """The nodes that must be there, with their services. One that never came and is expected no longer is
        forgotten, and told as such if it was told as missing."""
        outcome = Outcome()
        for node_id, service in expected.items():
            node = self._nodes.get(node_id)
            if node is None:
                reason = "expected by the inventory; no beat yet"
                node = self._roster.add(Kind.NODE, node_id, service, now_ms, reason, State.UNKNOWN)
                outcome.records.append(node.record)
            elif not node.record.expected:
                outcome.records.append(node.record)
            node.record.expected = True
        for node in [node for node in self._nodes.values() if node.record.expected]:
            if node.record.node_id not in expected:
                outcome.add(self._expected_no_longer(node, now_ms))
        return outcome

    def ask_skew(self, bounds_ms: Collection[float]) -> None:
        """Rules ask for clocks that are off by more than these."""
        self._skew_bounds = sorted(set(bounds_ms))

    # ------------------------------------------------------------------------------------------- time

    def tick(self, now_ms: int) -> Outcome:
        """Finds the nodes whose silence is too long, and what else is due."""
        self._ticked_ms = now_ms
        self._newest_ms = [0, self._newest_ms[0]]
        if self._watching_since_ms is None:
            return NOTHING
        outcome = Outcome()
        for node in self._agenda.due(now_ms):
            self._look(node, now_ms, outcome)
        return outcome

    def deadline_ms(self, record: NodeRecord) -> int:
        """Silence after which this node is DOWN at the latest (`silence.deadline_ms`)."""
        return silence.deadline_ms(record, self._deadline_ms)

    def unwritten(self, limit: int) -> list[NodeRecord]:
        """Records that changed by beats alone and are to be kept now and then: those that wait longest, so many."""
        return self._roster.unwritten(limit)

    # ------------------------------------------------------------------------------------------- beats, within

    def _beaten(self, node: Node, event: Heartbeat, received_ms: int, accumulator: str | None, now_ms: int) -> Outcome:
        carried_ms, received_ms = received_ms, min(received_ms, now_ms)
        record = node.record
        last_seq = record.last_seq
        verdict = node.processes.take(record, event, received_ms)
        if verdict is Verdict.OLD:
            return Outcome(replayed=1)
        self._learn(node, event, verdict, last_seq, received_ms)
        if event.service:
            record.service = event.service
        last_ms = record.last_beat_ms
        if last_ms is None or received_ms > last_ms:
            record.last_beat_ms = received_ms
        self._heard(node, accumulator, carried_ms, now_ms)
        skewed = node.measure_skew(event.timestamp_ns, carried_ms, self._skew_bounds)
        outcome = NOTHING
        if record.state is not State.UP or event.status is NodeState.DOWN or last_ms is None:
            outcome = self._says(node, event, received_ms, carried_ms, now_ms)
        else:
            self._roster.changed(record.node_id)
        queued_ms = node.queued_ms
        # Else it is looked at within the deadline, and planned anew then.
        if outcome is not NOTHING or queued_ms is None or queued_ms > now_ms + self._deadline_ms:
            self._plan(node, now_ms)
        if not skewed and verdict is not Verdict.RETURNS:
            return outcome
        return self._with_news(node, outcome, skewed=skewed, now_ms=now_ms)

    def _says(self, node: Node, event: Heartbeat, received_ms: int, carried_ms: int, now_ms: int) -> Outcome:
        """What a beat means to a node that is not UP, or that goes down. `carried_ms`: received then, by its
        carrier's clock."""
        record = node.record
        if record.state is State.RETIRED:
            return self._beats_all_the_same(node, received_ms)
        if record.state is State.MAINTENANCE:
            return Outcome(records=[record])
        if event.status is NodeState.DOWN:
            if node.processes.is_another_alive(self.deadline_ms(record), received_ms, now_ms):
                return Outcome(records=[record])
            return node.to(State.DOWN, received_ms, "the node said that it goes down", clean=True)
        if record.state is State.DOWN and self._came_late(node, carried_ms):
            # It came late, out of a backlog: its node lived then, and has been silent for too long since.
            return Outcome(records=[record])
        self._roster.unpark_one(node)
        return node.to(State.UP, received_ms, "beats")

    def _is_old(self, node: Node, received_ms: int, accumulator: str | None) -> bool:
        """Whether what was received then, by its carrier's clock, is from before the node was found DOWN."""
        carrier = self._roster.carrier_of(node)
        if carrier is None or accumulator != node.record.accumulator:
            return received_ms < node.record.since_ms
        again = node.epoch == carrier.epoch and received_ms <= node.heard_ms
        return again or self._came_late(node, received_ms)

    def _came_late(self, node: Node, received_ms: int) -> bool:
        carrier = self._roster.carrier_of(node)
        known_to_ms = max(self._newest_ms) if carrier is None else carrier.known_to_ms
        return received_ms + self.deadline_ms(node.record) < known_to_ms

    def _with_news(self, node: Node, outcome: Outcome, *, skewed: bool, now_ms: int) -> Outcome:
        whole = Outcome()
        whole.add(outcome)
        if skewed and node.record.state is not State.RETIRED:
            reason = f"its clock is off by {(node.record.skew_ms or 0) / 1000:+.1f} s"
            whole.add(Outcome([node.record], [node.record.status(About.SKEW, now_ms, reason)]))
        if found := node.look_for_two(now_ms):
            whole.add(found)
        return whole

    def _learn(self, node: Node, event: Heartbeat, verdict: Verdict, last_seq: int | None, received_ms: int) -> None:
        """Takes in the interval since the last beat, if it was one: not what lies between two processes, nor what an
        absence of the carrier made of it."""
        record = node.record
        if record.last_beat_ms is None:
            return
        if record.state is State.UP and record.since_ms > record.last_beat_ms:
            record.rhythm.begin()  # it registered since its last beat: what lies between is no rhythm
            return
        if verdict is not Verdict.CONTINUES:
            if verdict is Verdict.BEGINS:
                record.rhythm.begin()
            return
        interval = max(0, received_ms - record.last_beat_ms)
        named = event.instance_id is not None
        if record.state is State.DOWN:
            if named and not record.clean_shutdown:
                record.rhythm.survived(min(interval, self.deadline_ms(record)), received_ms)
            if named and event.seq is not None and event.seq != (last_seq or 0) + 1:
                return  # beats between were meant to be sent: that was no rhythm
            if not named:
                # Nothing tells whether it was gone or beats so slowly; if the second, three times say it.
                interval = min(interval, int(silence.MISSED_BEATS * self._deadline_ms))
        elif record.state in (State.UNKNOWN, State.MAINTENANCE, State.RETIRED):
            return
        else:
            carrier = self._roster.carrier_of(node)
            if carrier is not None and node.epoch != carrier.epoch:
                return
            record.rhythm.learn(interval, received_ms)
        mean = record.mean_interval_ms
        record.mean_interval_ms = interval if mean is None else mean + INTERVAL_WEIGHT * (interval - mean)

    def _heard(self, node: Node, accumulator: str | None, received_ms: int, now_ms: int) -> None:
        """Something of the node came through an accumulator."""
        record = node.record
        if accumulator != record.accumulator and record.kind is Kind.NODE:
            self._roster.unpark_one(node)
            record.accumulator, node.epoch = accumulator, -1
        node.arrived_ms = now_ms
        carrier = self._roster.carrier_of(node)
        if carrier is None or carrier.record.kind is Kind.PIPELINE:
            self._newest_ms[0] = max(self._newest_ms[0], received_ms)
        if carrier is not None:
            heard_ms = carrier.heard_ms(received_ms, now_ms)
            node.heard_ms = max(heard_ms, node.heard_ms) if node.epoch == carrier.epoch else heard_ms
            node.epoch, node.paused_ms = carrier.epoch, carrier.paused_ms

    def _beats_all_the_same(self, node: Node, received_ms: int) -> Outcome:
        """A retired node beats. It stays retired, and that it beats is told once."""
        record = node.record
        told = record.reason.endswith(BEATS_ALL_THE_SAME)
        if told or received_ms - record.since_ms <= self._deadline_ms:  # it was perhaps retired before it was stopped
            return Outcome(records=[record])
        record.reason += BEATS_ALL_THE_SAME
        return Outcome([record], [record.status(About.STATE, received_ms, record.reason)])

    # ------------------------------------------------------------------------------------------- carriers, within

    def _carries(self, carrier: Carrier, delivered_to_ms: int, sent_ms: int, now_ms: int, *, begins: bool) -> None:
        """It says how far it has delivered; what waits for that is watched again."""
        anew = carrier.says(delivered_to_ms, sent_ms, now_ms, begins=begins)
        if anew or sent_ms - carrier.known_to_ms <= EVIDENCE_WITHIN_MS:
            self._roster.unpark(carrier, now_ms)

    def _pipeline_works(self, accumulator: Node, received_ms: int, now_ms: int) -> Outcome:
        """An accumulator's beat shows that Kafka takes what accumulators send."""
        node = self._roster.of_kind(Kind.PIPELINE, PIPELINE_ID, PIPELINE_SERVICE, received_ms)
        carrier, record = self._carriers[PIPELINE_ID], node.record
        self._carries(carrier, received_ms, received_ms, now_ms, begins=False)
        accumulator.heard_ms, accumulator.epoch = received_ms, carrier.epoch
        accumulator.paused_ms = carrier.paused_ms
        first = record.last_beat_ms is None
        record.last_beat_ms, node.arrived_ms = max(received_ms, record.last_beat_ms or 0), now_ms
        self._roster.changed(PIPELINE_ID)
        outcome = NOTHING
        if first or record.state in (State.DOWN, State.SUSPECT, State.UNKNOWN):
            outcome = node.to(State.UP, received_ms, f"{accumulator.record.node_id} delivers")
        self._plan(node, now_ms)
        return outcome

    def _pipeline_rests(self, now_ms: int) -> Outcome:
        """An accumulator was stopped on purpose; if it was the last, the pipeline is."""
        pipeline = self._nodes.get(PIPELINE_ID)
        others = [node.record for node in self._nodes.values() if node.record.kind is Kind.ACCUMULATOR]
        rest = all(r.clean_shutdown or r.state is State.RETIRED for r in others)
        if pipeline is None or not rest or pipeline.record.state in (State.MAINTENANCE, State.RETIRED):
            return NOTHING
        return pipeline.to(State.DOWN, now_ms, "all accumulators were stopped", clean=True)

    # ------------------------------------------------------------------------------------------- silence, within

    def _look(self, node: Node, now_ms: int, outcome: Outcome) -> None:
        """Its time has come."""
        record = node.record
        if record.duplicate and (found := node.look_for_two(now_ms)):
            outcome.add(found)
        if node.is_missed_in_vain:  # as the registry of an earlier version has it
            outcome.add(node.to(record.state, now_ms, record.reason, clean=record.clean_shutdown))
        if record.state is State.MAINTENANCE:
            if record.maintenance_until_ms is not None and now_ms >= record.maintenance_until_ms:
                outcome.add(self._watch_again(node, now_ms, "maintenance is over"))
        elif record.state in WATCHED:
            self._judge(node, now_ms, outcome)
            return
        elif (forget_ms := forget_at(record)) is not None and now_ms >= forget_ms:
            if self._roster.is_waited_for(record):
                self._agenda.look_at(node, now_ms + FORGET_AFTER_MS)
                return
            outcome.forgotten.append(record.node_id)
            self._roster.drop(node, now_ms)
            return
        self._plan(node, now_ms)

    def _judge(self, node: Node, now_ms: int, outcome: Outcome) -> None:
        """What the silence of a node that is watched means, and when to look again."""
        record = node.record
        carrier = self._roster.carrier_of(node)
        silent_ms = now_ms - silence.since_ms(node, carrier, self._watching_since_ms or 0)
        if record.last_beat_ms is None and record.expected and record.state is State.UNKNOWN:
            self._look_for_the_missing(node, silent_ms, now_ms, outcome)
            return
        suspect_ms, down_ms = silence.limits(node, carrier, self._deadline_ms, now_ms)
        known_ms = silent_ms
        if carrier is not None:
            known_ms = min(silent_ms, carrier.silence_ms(node.heard_ms, node.epoch, node.paused_ms))
        if known_ms > down_ms:
            outcome.add(node.to(State.DOWN, now_ms, silence.why_down(record, self._deadline_ms, known_ms)))
        elif carrier is not None and silent_ms > down_ms + silence.evidence_within_ms(node, carrier):
            carrier.parked.add(record.node_id)
            if record.state is not State.UNKNOWN:
                outcome.add(node.to(State.UNKNOWN, now_ms, silence.why_unknown(carrier, now_ms)))
            return
        elif known_ms > suspect_ms and record.state is State.UP:
            reason = f"no heartbeat for {known_ms / 1000:.1f} s (phi {record.rhythm.phi(known_ms) or 0:.1f})"
            outcome.add(node.to(State.SUSPECT, now_ms, reason))
        limit = suspect_ms if record.state is State.UP else down_ms
        if record.state not in WATCHED or silent_ms <= limit:
            self._plan(node, now_ms)
        else:
            self._agenda.look_at(node, now_ms + LOOK_AGAIN_MS)

    def _look_for_the_missing(self, node: Node, silent_ms: int, now_ms: int, outcome: Outcome) -> None:
        """One that is expected and never came. While no accumulator delivers, nobody can come."""
        record, pipeline = node.record, self._carriers.get(PIPELINE_ID)
        if pipeline is not None and pipeline.record.state is State.UP:
            silent_ms = min(silent_ms, now_ms - max(pipeline.began_ms, pipeline.record.since_ms))
        elif pipeline is not None:
            silent_ms = 0
        limit = silence.START_DEADLINES * self._deadline_ms
        if silent_ms > limit and not record.never_seen:
            record.never_seen, record.reason = True, "never seen; the inventory expects it"
            outcome.add(Outcome([record], [record.status(About.STATE, now_ms, record.reason)]))
        if not record.never_seen:
            self._agenda.look_at(node, max(now_ms + LOOK_AGAIN_MS, now_ms - silent_ms + limit + 1))

    def _plan(self, node: Node, now_ms: int) -> None:
        """Says when to look at it next; at once where that was yesterday."""
        at_ms = self._next_look(node, now_ms)
        if node.record.duplicate:
            until_ms = node.processes.until_ms(node.record) + 1
            at_ms = until_ms if at_ms is None else min(at_ms, until_ms)
        if at_ms is not None:
            self._agenda.look_at(node, max(at_ms, self._ticked_ms + 1))

    def _next_look(self, node: Node, now_ms: int) -> int | None:
        record = node.record
        if record.state is State.MAINTENANCE:
            return record.maintenance_until_ms
        if record.state in WATCHED:
            carrier = self._roster.carrier_of(node)
            suspect_ms, down_ms = silence.limits(node, carrier, self._deadline_ms, now_ms)
            limit = suspect_ms if record.state is State.UP else down_ms
            return silence.since_ms(node, carrier, self._watching_since_ms or 0) + limit + 1
        return forget_at(record)

    # ------------------------------------------------------------------------------------------- keeping, within

    def _watch_again(self, node: Node, now_ms: int, reason: str) -> Outcome:
        """Maintenance or retirement is over: UP if it beats, else UNKNOWN until it does or is silent for too long."""
        record = node.record
        suspect_ms, _ = silence.limits(node, self._roster.carrier_of(node), self._deadline_ms, now_ms)
        if record.last_beat_ms is not None and now_ms - node.arrived_ms <= suspect_ms:
            return node.to(State.UP, now_ms, f"{reason}; it beats")
        return node.to(State.UNKNOWN, now_ms, f"{reason}; no beat yet")

    def _expected_no_longer(self, node: Node, now_ms: int) -> Outcome:
        record = node.record
        record.expected = False
        told, record.never_seen = record.never_seen, False
        changes = [record.status(About.STATE, now_ms, "the inventory expects it no longer")] if told else []
        if record.last_beat_ms is not None or record.state in CAME:
            return Outcome(records=[record], changes=changes)
        self._roster.drop(node, now_ms)
        return Outcome(changes=changes, forgotten=[record.node_id])

"""What a scenario expects, as sentences: each waits for the record that proves it and returns that record.

Absence is never found by waiting. A sentence that begins with ``no`` or ``not`` takes a ``control``: a record which
shows that the thing would have been seen by then, had it happened. On a link that is a later frame on the same link in
the same direction (frames of a port stay in order), in an app a later record of the same app. What was lost by the
capture in between makes the finding worthless, and so it fails.

Nodes, apps and sockets are given as such; addresses come from the plan of the lab.
"""

from typing import Protocol

from joinlab import questions
from joinlab.capture import FRAMES_LOST
from joinlab.errors import ExpectationFailed, UsageError
from joinlab.frames import FrameFacts
from joinlab.places import AppLike, NodeLike, name_of_node, place_of
from joinlab.plan import LabPlan
from joinlab.trace import PATIENCE_S, Kind, Moment, Question, Record, Trace
from multipoint.wire import Confirm

# pytest shows the line of the test that failed, not ours (it looks for this name in a module too).
__tracebackhide__ = True


class Captures(Protocol):
    """What captures packets: it can tell that it has let in all that has passed."""

    def catch_up(self) -> None:
        """Let in all that has passed until now."""


class Expectations:
    """The sentences. All of them look at what happened since ``since``, unless one is given another zero point."""

    def __init__(self, trace: Trace, plan: LabPlan, capture: Captures, patience_s: float = PATIENCE_S) -> None:
        self.since: Moment = trace.mark()
        self._trace = trace
        self._capture = capture
        self._patience_s = patience_s
        self._hosts = {link.node: link.ipv4.partition("/")[0] for link in reversed(plan.links)}

    def from_now(self) -> Moment:
        """Let the sentences look at what happens from now on; returns that zero point."""
        self.since = self._trace.mark()
        return self.since

    # Groups, on the wire

    def igmp_join(
        self, node: NodeLike, group: str, *, version: int | None = None, since: Moment | None = None
    ) -> Record:
        """The node's host announces the group: an IGMPv2 report, an IGMPv3 TO_EX or ALLOW; MLD for an IPv6 group."""
        return self._wait(questions.joins(name_of_node(node), group, version), since)

    def igmp_leave(self, node: NodeLike, group: str, *, since: Moment | None = None) -> Record:
        """The node's host gives the group up: an IGMPv2 leave, an IGMPv3 TO_IN or BLOCK; MLD for an IPv6 group."""
        return self._wait(questions.leaves(name_of_node(node), group), since)

    def no_igmp(
        self, node: NodeLike, group: str | None = None, *, control: Record, since: Moment | None = None
    ) -> None:
        """The node's host says nothing about the group until ``control``, a later join or leave of that host.

        Without a group: nothing about any, those of the link itself aside. A datagram is no control here: a report
        leaves 10 ms after the program has joined, but reports keep their order.
        """
        question = questions.speaks_of(name_of_node(node), group)
        if not isinstance(control.facts, FrameFacts) or control.facts.membership is None:
            raise UsageError(
                f"the control for «no {question.text}» must be IGMP or MLD of {question.node}, got {control}"
            )
        self._absent_on_link(question, True, control, since)

    # Datagrams, on the wire

    def sent(
        self, by: NodeLike, *, payload: bytes | None = None, group: str | None = None, since: Moment | None = None
    ) -> Record:
        """A datagram leaves a node."""
        return self._wait(questions.datagram(name_of_node(by), from_node=True, payload=payload, group=group), since)

    def forwarded(
        self,
        to: NodeLike,
        *,
        payload: bytes | None = None,
        group: str | None = None,
        by: NodeLike | None = None,
        since: Moment | None = None,
    ) -> Record:
        """A datagram is forwarded to a node: it comes out of the bridge's port to that node's link."""
        return self._wait(self._datagram_to(to, payload, group, by), since)

    def not_forwarded(
        self,
        to: NodeLike,
        *,
        payload: bytes | None = None,
        group: str | None = None,
        by: NodeLike | None = None,
        control: Record,
        since: Moment | None = None,
    ) -> None:
        """No such datagram is forwarded to a node until ``control``, a later frame to that node.

        The control should come from the same sender, sent after what is not to be seen: then it has come the same way.
        """
        self._absent_on_link(self._datagram_to(to, payload, group, by), False, control, since)

    def control_message(
        self, message: str, *, by: NodeLike | None = None, to: NodeLike | None = None, since: Moment | None = None
    ) -> Record:
        """A message of the control protocol ("Join", "Invite", "Confirm"...) leaves one node, or reaches one."""
        if (by is None) == (to is None):
            raise UsageError("control_message takes either by or to")
        node = by if by is not None else to
        assert node is not None
        return self._wait(questions.control_message(name_of_node(node), message, from_node=by is not None), since)

    def session_group(self, member: NodeLike, *, since: Moment | None = None) -> str:
        """Return the group of the session that a node becomes a member of: the root's Confirm to it tells."""
        record = self.control_message("Confirm", to=member, since=since)
        assert isinstance(record.facts, FrameFacts)
        confirms = [message for message in record.facts.messages if isinstance(message, Confirm)]
        return confirms[0].membership.group.host

    # Bridges

    def bridge_joined(self, node: NodeLike, group: str, *, since: Moment | None = None) -> Record:
        """The bridge learns that the node's port wants the group."""
        return self._wait(questions.port_change(name_of_node(node), group, "joined"), since)

    def bridge_forgot(self, node: NodeLike, group: str, *, since: Moment | None = None) -> Record:
        """The bridge forgets the group at the node's port."""
        return self._wait(questions.port_change(name_of_node(node), group, "forgotten"), since)

    # Apps

    def event(self, at: AppLike, name: str, *, error: int | str | None = None, since: Moment | None = None) -> Record:
        """A network event at an app, or at one socket; ``error`` 0 or a name, None: any."""
        return self._wait(questions.network_event(*place_of(at), name, error), since)

    def no_event(self, at: AppLike, name: str, *, control: Record, since: Moment | None = None) -> None:
        """No such network event until ``control``, a later record of the same app."""
        self._absent_in_app(questions.network_event(*place_of(at), name, None), control, since)

    def data(self, at: AppLike, payload: bytes | None = None, *, since: Moment | None = None) -> Record:
        """An app, or one socket, receives this data."""
        return self._wait(questions.received(*place_of(at), payload), since)

    def not_received(
        self, at: AppLike, payload: bytes | None = None, *, control: Record, since: Moment | None = None
    ) -> None:
        """An app, or one socket, has not received this data (any) until ``control``, a later record of the same app."""
        self._absent_in_app(questions.received(*place_of(at), payload), control, since)

    # Anything else

    def seen(self, question: Question, *, since: Moment | None = None) -> Record:
        """Whatever the question asks for."""
        return self._wait(question, since)

    def _datagram_to(self, to: NodeLike, payload: bytes | None, group: str | None, by: NodeLike | None) -> Question:
        source = self._hosts[name_of_node(by)] if by is not None else None
        return questions.datagram(name_of_node(to), from_node=False, payload=payload, group=group, source=source)

    def _wait(self, question: Question, since: Moment | None) -> Record:
        return self._trace.wait_for(question, since or self.since, self._patience_s)

    def _absent_on_link(self, question: Question, from_node: bool, control: Record, since: Moment | None) -> None:
        facts = control.facts
        if not isinstance(facts, FrameFacts) or control.node != question.node or facts.from_node is not from_node:
            way = "from" if from_node else "to"
            raise UsageError(
                f"the control for «no {question.text}» must be a frame {way} {question.node}, got {control}"
            )
        self._capture.catch_up()
        self._absent(question, control, since or self.since)
        self._nothing_lost(question, control, since or self.since)

    def _absent_in_app(self, question: Question, control: Record, since: Moment | None) -> None:
        if (control.node, control.app) != (question.node, question.app):
            place = f"{question.node}/{question.app}"
            raise UsageError(f"the control for «no {question.text}» must be a record of {place}, got {control}")
        self._trace.catch_up()
        self._absent(question, control, since or self.since)

    def _absent(self, question: Question, control: Record, since: Moment) -> None:
        if control.ns < since.ns:
            raise UsageError(f"the control for «no {question.text}» is older than the zero point: {control}")
        if self._trace.first(question, since, control) is not None:
            headline = f"seen, and should not have been: {question.text}"
            raise ExpectationFailed(self._trace.explain(headline, question, since, control))

    def _nothing_lost(self, question: Question, control: Record, since: Moment) -> None:
        lost = Question("lost frames", Kind.LINK, where=lambda record: record.name == FRAMES_LOST)
        for record in self._trace.select(lost, since):
            if record.facts["since_ns"] <= control.ns:
                raise ExpectationFailed(
                    f"can't tell that there was no {question.text}: the capture lost {record.facts['frames']} frames in"
                    " that time. Less traffic, or a lab of its own for this test, will do."
                )

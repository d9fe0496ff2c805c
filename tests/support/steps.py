"""The steps that scenarios are made of, in the field's words; each proves from the packets what it claims.

May not know: which scenario uses them.
"""

from dataclasses import dataclass

from joinlab.app import App, RemoteSocket
from joinlab.expect import Expectations
from joinlab.trace import Mark, Trace
from joinlab.words import Family, Flag, NetworkEvent, Provider, Role, Verdict

# A group and port of any-source multicast, chosen by these tests.
GROUP = ("239.77.0.1", 5004)
OTHER_GROUP = ("239.77.0.2", 5004)
QUIET_GROUP = ("239.77.0.3", 5004)
IPV6_GROUP = ("ff15::77:1", 5004)

# Source-specific groups lie in 232/8 (RFC 4607).
CHANNEL = ("232.77.0.1", 5006)

# The most connect data that the rooted providers take (JL-13).
MOST_CONNECT_DATA = 1024


@dataclass(frozen=True)
class Membership:
    """One leaf in a rooted session: the root's leg, the leaf's socket, and the group that carries the data."""

    leg: RemoteSocket
    member: RemoteSocket
    group: str

    @property
    def leaf(self) -> App:
        """Return the leaf's app."""
        return self.member.app


class Stage:
    """Steps that wait for their proof."""

    def __init__(self, trace: Trace, expect: Expectations, igmp: int | None, family: Family = Family.IPV4) -> None:
        """Prepare steps; ``igmp`` is the version that reports must have, None: any, and MLD over IPv6."""
        self._trace = trace
        self._expect = expect
        self._igmp = igmp
        self._family = family

    def now(self) -> Mark:
        """Return a zero point for what is done next."""
        return self._trace.mark()

    # Rooted sessions: point-to-multipoint, and conferences, where the data plane of all is a leaf's

    def open_session(self, root: App) -> RemoteSocket:
        """A root opens a session: a c_root that listens, and whose network events are seen."""
        session = self.open_blocking_session(root)
        session.watch()
        return session

    def open_conference(self, root: App) -> RemoteSocket:
        """A root opens a conference, in which it speaks and hears like the others."""
        conference = root.socket(Provider.CONF, Flag.C_ROOT, Flag.D_LEAF, family=self._family)
        conference.bind()
        conference.listen()
        conference.watch()
        return conference

    def open_blocking_session(self, root: App) -> RemoteSocket:
        """A root opens a session on a c_root whose calls wait; no events."""
        session = root.socket(Provider.P2MP, Flag.C_ROOT, Flag.D_ROOT, family=self._family)
        session.bind()
        session.listen()
        return session

    def new_leaf(self, leaf: App, provider: Provider = Provider.P2MP) -> RemoteSocket:
        """A leaf's socket, not joined yet, its network events seen."""
        socket = leaf.socket(provider, Flag.C_LEAF, Flag.D_LEAF, family=self._family)
        socket.watch()
        return socket

    def blocking_leaf(self, leaf: App) -> RemoteSocket:
        """A leaf's socket whose calls wait; no events."""
        return leaf.socket(Provider.P2MP, Flag.C_LEAF, Flag.D_LEAF, family=self._family)

    def open_door(self, leaf: App) -> RemoteSocket:
        """A leaf waits for invitations: a c_leaf that listens."""
        door = leaf.socket(Provider.P2MP, Flag.C_LEAF, Flag.D_LEAF, family=self._family)
        door.bind()
        door.listen()
        door.watch()
        return door

    def invite(self, session: RemoteSocket, leaf: App) -> Membership:
        """The root invites a leaf, which accepts."""
        door, asked = self.open_door(leaf), self.now()
        leg = session.join_leaf(door.local_address)
        self._expect.event(door, NetworkEvent.ACCEPT, error=0, since=asked)
        member = door.accept(Verdict.ACCEPT).socket
        self._expect.event(session, NetworkEvent.CONNECT, error=0, since=asked)
        door.close()
        return self.prove_joined(leg, member, asked)

    def admit(self, session: RemoteSocket, leaf: App, provider: Provider = Provider.P2MP) -> Membership:
        """A leaf asks the root to let it in, and the root does."""
        member, asked = self.new_leaf(leaf, provider), self.now()
        member.join_leaf(session.local_address)
        self._expect.event(session, NetworkEvent.ACCEPT, error=0, since=asked)
        leg = session.accept(Verdict.ACCEPT).socket
        self._expect.event(member, NetworkEvent.CONNECT, error=0, since=asked)
        return self.prove_joined(leg, member, asked)

    def prove_joined(self, leg: RemoteSocket, member: RemoteSocket, since: Mark) -> Membership:
        """The leaf's host has announced the session's group, and the bridge has understood."""
        node = member.app.node
        group = self._expect.session_group(node, since=since)
        self._expect.igmp_join(node, group, version=self._igmp, since=since)
        self._expect.bridge_joined(node, group, since=since)
        return Membership(leg, member, group)

    def prove_left(self, membership: Membership, since: Mark) -> None:
        """The leaf's host has given the session's group up, and the bridge has forgotten its port."""
        node = membership.leaf.node
        self._expect.igmp_leave(node, membership.group, since=since)
        self._expect.bridge_forgot(node, membership.group, since=since)

    # Any-source groups (MCAST)

    def join_group(self, app: App, role: Role = Role.BOTH, group: tuple[str, int] = GROUP) -> RemoteSocket:
        """An app joins an IP group; the proof is the host's report, which a mere sender does not send."""
        socket, asked = app.socket(Provider.MCAST, Flag.C_LEAF, Flag.D_LEAF, family=self._family), self.now()
        socket.watch()
        socket.join_leaf(group, role)
        self._expect.event(socket, NetworkEvent.CONNECT, error=0, since=asked)
        if role is not Role.SENDER_ONLY:
            self._expect.igmp_join(app.node, group[0], version=self._igmp, since=asked)
            self._expect.bridge_joined(app.node, group[0], since=asked)
        return socket

    # Channels (SSM)

    def open_channel(self, source: App) -> RemoteSocket:
        """A source opens its channel."""
        socket, asked = source.socket(Provider.SSM, Flag.C_LEAF, Flag.D_ROOT, family=self._family), self.now()
        socket.watch()
        socket.join_leaf(CHANNEL, Role.SENDER_ONLY)
        self._expect.event(socket, NetworkEvent.CONNECT, error=0, since=asked)
        return socket

    def tune_in(self, app: App, *sources: App) -> RemoteSocket:
        """An app joins the channels of these sources; the proof is the host's report, which names them with IGMPv3."""
        socket, asked = app.socket(Provider.SSM, Flag.C_LEAF, Flag.D_LEAF, family=self._family), self.now()
        socket.watch()
        socket.join_leaf(CHANNEL, Role.RECEIVER_ONLY, sources=[source.host for source in sources])
        self._expect.event(socket, NetworkEvent.CONNECT, error=0, since=asked)
        self._expect.igmp_join(app.node, CHANNEL[0], version=self._igmp, since=asked)
        self._expect.bridge_joined(app.node, CHANNEL[0], since=asked)
        return socket

    def plain_sender(self, app: App) -> RemoteSocket:
        """A socket that has joined nothing."""
        return app.socket(Provider.MCAST, Flag.C_LEAF, Flag.D_LEAF, family=self._family)

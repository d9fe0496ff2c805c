"""The capture of a real session, as tshark shows it with our dissector."""

from pathlib import Path

from wireshark import INFO, needs_tshark, show

from joinlab.artefacts import write_artefacts
from joinlab.lab import Lab
from joinlab.planning import plan
from joinlab.topology import Overrides, load
from joinlab.words import Flag, NetworkEvent, Provider, Verdict


@needs_tshark
def test_session_is_read_from_its_capture(tmp_path: Path) -> None:
    with Lab(plan(load("star", Overrides(leaves=1))), "netns") as lab:
        expect, root, leaf = lab.expectations(), lab.root.app(), lab.leaves[0].app()
        session = root.socket(Provider.P2MP, Flag.C_ROOT, Flag.D_ROOT)
        door = leaf.socket(Provider.P2MP, Flag.C_LEAF, Flag.D_LEAF)
        for end in (session, door):
            end.bind()
            end.listen()
            end.watch()
        leg = session.join_leaf(door.local_address, caller_data=b"come in", callee_capacity=100)
        expect.event(door, NetworkEvent.ACCEPT, error=0)
        member = door.accept(Verdict.ACCEPT, callee_data=b"thanks").socket
        expect.event(session, NetworkEvent.CONNECT, error=0)
        group, host = expect.session_group(leaf.node), leaf.host
        expect.bridge_joined(leaf.node, group)
        session.send(b"down")
        expect.data(member, b"down")
        member.send(b"up")
        expect.data(session, b"up")
        leg.close()
        expect.event(member, NetworkEvent.CLOSE, error=0)
        lab.capture.catch_up()
        capture = next(file for file in write_artefacts(tmp_path, lab.trace, lab.plan) if file.suffix == ".pcapng")
    fields = ("caller_data", "callee_data", "data_address.ipv4", "group.ipv4", "sender", "payload")
    shown = show(capture, INFO, *fields, "malformed")
    told = " ".join(frame[INFO][0] for frame in shown).split()
    for message in ("Hello", "Invite", "Accept", "Confirm", "Leave"):
        assert message in told
    assert "malformed" not in told
    seen = {field: {value for frame in shown for value in frame.get(field, ())} for field in fields}
    assert seen == {
        "caller_data": {b"come in".hex()},
        "callee_data": {b"thanks".hex()},
        "data_address.ipv4": {host},
        "group.ipv4": {group},
        "sender": {"0", "1"},
        "payload": {b"down".hex(), b"up".hex()},
    }

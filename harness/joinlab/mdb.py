"""The group tables of bridges: who is a member of what behind which port, as the kernel's snooping knows it.

pyroute2 has the numbers of these messages but not their layout; it stands here, in classes named like their siblings
there. Source: <linux/if_bridge.h>.
May not know: labs, nodes.
"""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

from pyroute2.netlink import NLA_F_NESTED, nla, nlmsg
from pyroute2.netlink.rtnl import RTM_DELMDB, RTM_GETMDB, RTM_NEWMDB, RTNLGRP_MDB

from joinlab.netlink import HEADER, Netlink, Request

ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD
FLAG_BLOCKED = 0x10  # MDB_FLAGS_BLOCKED: a source that the members don't want


class FilterMode(IntEnum):
    """How a port's sources are meant (MCAST_EXCLUDE, MCAST_INCLUDE of <linux/in.h>)."""

    EXCLUDE = 0
    INCLUDE = 1


class mdbmsg(nlmsg):  # type: ignore[misc]
    """``struct br_port_msg`` and its attributes."""

    prefix = "MDBA_"
    fields = (("family", "B"), ("pad", "3x"), ("index", "I"))
    nla_map = (("MDBA_UNSPEC", "none"), ("MDBA_MDB", "mdb"), ("MDBA_ROUTER", "hex"))

    class mdb(nla):  # type: ignore[misc]
        """One for each bridge."""

        nla_flags = NLA_F_NESTED
        nla_map = (("MDBA_MDB_UNSPEC", "none"), ("MDBA_MDB_ENTRY", "entry"))

        class entry(nla):  # type: ignore[misc]
            """One for each group."""

            nla_flags = NLA_F_NESTED
            nla_map = (("MDBA_MDB_ENTRY_UNSPEC", "none"), ("MDBA_MDB_ENTRY_INFO", "info"))

            class info(nla):  # type: ignore[misc]
                """``struct br_mdb_entry``, one for each port of a group, then attributes."""

                fields = (
                    ("index", "I"),
                    ("state", "B"),
                    ("flags", "B"),
                    ("vid", "H"),
                    ("address", "16s"),
                    ("protocol", ">H"),
                    ("pad", "2x"),
                )
                nla_map = (
                    ("MDBA_MDB_EATTR_UNSPEC", "none"),
                    ("MDBA_MDB_EATTR_TIMER", "uint32"),
                    ("MDBA_MDB_EATTR_SRC_LIST", "sources"),
                    ("MDBA_MDB_EATTR_GROUP_MODE", "uint8"),
                    ("MDBA_MDB_EATTR_SOURCE", "cdata"),
                    ("MDBA_MDB_EATTR_RTPROT", "uint8"),
                )

                class sources(nla):  # type: ignore[misc]
                    """The sources of a group's port."""

                    nla_flags = NLA_F_NESTED
                    nla_map = (("MDBA_MDB_SRCLIST_UNSPEC", "none"), ("MDBA_MDB_SRCLIST_ENTRY", "source"))

                    class source(nla):  # type: ignore[misc]
                        """One source."""

                        nla_flags = NLA_F_NESTED
                        nla_map = (
                            ("MDBA_MDB_SRCATTR_UNSPEC", "none"),
                            ("MDBA_MDB_SRCATTR_ADDRESS", "cdata"),
                            ("MDBA_MDB_SRCATTR_TIMER", "uint32"),
                        )


@dataclass(frozen=True, slots=True)
class Entry:
    """A group at a port of a bridge. ``source`` None: any source, as far as ``mode`` and ``sources`` allow."""

    bridge: str
    port: str
    group: str
    version: int  # of IP: 4 or 6
    source: str | None = None
    blocked: bool = False  # frames of this source are not forwarded here
    mode: str | None = None  # "include" or "exclude"; None: the kernel says nothing (IGMPv2)
    sources: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str, str | None]:
        """What stays the same while the entry changes."""
        return self.bridge, self.port, self.group, self.source

    def to_json(self) -> dict[str, Any]:
        """Return the facts of a record."""
        return asdict(self)


class GroupWatch:
    """The group tables, kept up to date from the kernel's notices."""

    def __init__(self, names: Mapping[int, str]) -> None:
        """``names``: interfaces by index, bridges and ports."""
        self._names = names
        self._netlink = Netlink()
        self._netlink.subscribe(RTNLGRP_MDB)
        self._known = {entry.key: entry for entry in self.dump()}

    def fileno(self) -> int:
        """Return what becomes readable when there are notices."""
        return self._netlink.fileno()

    def close(self) -> None:
        """Stop watching."""
        self._netlink.close()

    def dump(self) -> list[Entry]:
        """Return all entries as the kernel has them now."""
        message = mdbmsg()
        message["family"] = socket.AF_BRIDGE
        with Netlink() as netlink:
            found = netlink.dump(Request("list groups", RTM_GETMDB, message), mdbmsg)
        return [entry for message in found for entry in self._entries(message)]

    def changes(self) -> list[tuple[str, Entry]]:
        """Return what has changed since the last call: "joined", "changed" or "forgotten", and the entry."""
        try:
            notices = self._netlink.notices()
        except OSError:  # ENOBUFS: the kernel had to drop notices, so the table itself must tell
            return list(self._difference())
        return [change for notice in notices for change in self._change(notice)]

    def _change(self, notice: bytes) -> Iterator[tuple[str, Entry]]:
        (_, kind, _, _, _) = HEADER.unpack_from(notice)
        if kind not in (RTM_NEWMDB, RTM_DELMDB):
            return
        message = mdbmsg(notice)
        message.decode()
        for entry in self._entries(message):
            if kind == RTM_DELMDB:
                self._known.pop(entry.key, None)
                yield "forgotten", entry
            elif (change := self._learn(entry)) is not None:
                yield change, entry

    def _learn(self, entry: Entry) -> str | None:
        before = self._known.get(entry.key)
        self._known[entry.key] = entry
        if before is None:
            return "joined"
        return "changed" if before != entry else None

    def _difference(self) -> Iterator[tuple[str, Entry]]:
        now = {entry.key: entry for entry in self.dump()}
        for key in self._known.keys() - now.keys():
            yield "forgotten", self._known.pop(key)
        for entry in now.values():
            if (change := self._learn(entry)) is not None:
                yield change, entry

    def _entries(self, message: Any) -> Iterator[Entry]:
        for bridge in message.get_attrs("MDBA_MDB"):
            for group in bridge.get_attrs("MDBA_MDB_ENTRY"):
                for info in group.get_attrs("MDBA_MDB_ENTRY_INFO"):
                    if info["protocol"] in (ETH_P_IP, ETH_P_IPV6):
                        yield self._entry(message["index"], info)

    def _entry(self, bridge: int, info: Any) -> Entry:
        mode = info.get_attr("MDBA_MDB_EATTR_GROUP_MODE")
        source = info.get_attr("MDBA_MDB_EATTR_SOURCE")
        listed = info.get_attr("MDBA_MDB_EATTR_SRC_LIST")
        return Entry(
            bridge=self._name(bridge),
            port=self._name(info["index"]),
            group=_address(info["address"][: 4 if info["protocol"] == ETH_P_IP else 16]),
            version=4 if info["protocol"] == ETH_P_IP else 6,
            source=_address(source) if source else None,
            blocked=bool(info["flags"] & FLAG_BLOCKED),
            mode=None if mode is None else FilterMode(mode).name.lower(),
            sources=tuple(_sources(listed)) if listed else (),
        )

    def _name(self, index: int) -> str:
        return self._names.get(index, f"interface {index}")


def _sources(listed: Any) -> Iterator[str]:
    for source in listed.get_attrs("MDBA_MDB_SRCLIST_ENTRY"):
        yield _address(source.get_attr("MDBA_MDB_SRCATTR_ADDRESS"))


def _address(data: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(data) == 4 else socket.AF_INET6, data)

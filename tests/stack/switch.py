"""Hosts on a switch that forwards a group only to those who want it: a bridge with snooping and its own querier."""

from itertools import count

from tests.stack.network import IFA_F_NODAD, Place, enter_another_namespace

# In centiseconds, and short: a querier counts once the response interval is over; a port is forgotten when after a
# leave nobody behind it has answered for the last member's interval, this many times.
TIMERS = {
    "br_mcast_query_response_intvl": 1,
    "br_mcast_startup_query_intvl": 5,
    "br_mcast_last_member_intvl": 2,
    "br_mcast_last_member_cnt": 2,
}
VERSIONS = {"br_mcast_igmp_version": 3, "br_mcast_mld_version": 2}


class Switch:
    """So many places with an eth0 each, joined by a snooping bridge. Make it inside ``isolated``."""

    def __init__(self, hosts: int) -> None:
        middle = Place("10.9.0.0")
        self.places = [self._place(number) for number in range(1, hosts + 1)]
        with middle:
            self._join()

    @staticmethod
    def _place(number: int) -> Place:
        enter_another_namespace()
        return Place(f"10.9.0.{number}")

    def _join(self) -> None:
        # As in ``network``: it takes a tenth of a second to load.
        from pyroute2 import IPRoute

        with IPRoute() as routes:
            routes.link("add", ifname="br0", kind="bridge", br_mcast_snooping=1, **TIMERS, **VERSIONS)
            (bridge,) = routes.link_lookup(ifname="br0")
            # An MLD querier speaks from a link-local address.
            routes.addr("add", index=bridge, address="fe80::1", prefixlen=64, flags=IFA_F_NODAD)
            # Not in the first message: the kernel would take the querier before the timers.
            routes.link("set", index=bridge, kind="bridge", br_mcast_querier=1, state="up")
            for number, place in zip(count(1), self.places):
                far = {"ifname": "eth0", "net_ns_fd": place.descriptor}
                routes.link("add", ifname=f"port{number}", kind="veth", peer=far, master=bridge, state="up")
        for place in self.places:
            place.equip()
        self._introduce()

    def _introduce(self) -> None:
        """Tell each host the others' addresses: IPv6 asks for them in groups, which the switch may not know yet."""
        from pyroute2 import IPRoute

        cards = {}
        for place in self.places:
            with place, IPRoute() as routes:
                (link,) = routes.link("get", ifname="eth0")
                cards[place.address6] = link.get_attr("IFLA_ADDRESS")
        for place in self.places:
            with place, IPRoute() as routes:
                (index,) = routes.link_lookup(ifname="eth0")
                for address in cards.keys() - {place.address6}:
                    routes.neigh("add", dst=address, lladdr=cards[address], ifindex=index, state="permanent")

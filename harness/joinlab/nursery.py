"""The nursery: the keeper's child from which the nodes are forked.

It imports the agent and the stack while the keeper imports netlink, each on its own processor, so a lab is up sooner;
and a node inherits nothing of the keeper's. It ends with the keeper, and the nodes end with it.

The keeper asks ``{"number": n, "name": node}`` and hears ``{"number": n, "name": node, "pid": pid}`` with the harness's
end of the agent's channel once the node is up, or ``{"number": n, "name": node, "failure": text}``; and ``{"name":
node, "status": status}`` when it has ended.

May not know: the fabric, links, plans, the harness.
"""

import contextlib
import gc
import os
import selectors
from typing import NoReturn

from joinlab import namespaces, nodefork
from joinlab.descriptors import make_room
from joinlab_agent.channel import Channel, ChannelClosed

# Its end, its report and the two ends of its channel while it comes up.
DESCRIPTORS_PER_NODE = 4


def start(harness: Channel) -> Channel:
    """Fork the nursery, which lets go of ``harness``; return the keeper's end of a channel to it."""
    ours, theirs = Channel.pair()
    if os.fork() == 0:
        namespaces.die_with_parent()
        harness.close()
        ours.close()
        _run(theirs)
    theirs.close()
    return ours


def _run(keeper: Channel) -> NoReturn:
    namespaces.name_process("nursery")
    # Imports leave hardly any garbage, and make the collector look for it again and again.
    gc.disable()
    nursery = Nursery(keeper)
    # The collector would touch the objects of the imports, and so copy their pages in each node.
    gc.freeze()
    gc.enable()
    with contextlib.suppress(ChannelClosed):
        nursery.serve()
    os._exit(0)


class Nursery:
    """Forks nodes and waits for their ends."""

    def __init__(self, keeper: Channel) -> None:
        # Late, because this is what takes its time.
        from joinlab_agent import agent

        self._agent = agent.main
        self._keeper = keeper
        self._own_pids = namespaces.open_namespace("self", "pid")
        self._living = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(keeper, selectors.EVENT_READ, self._take_requests)

    def serve(self) -> NoReturn:
        """Serve until the keeper ends: ChannelClosed is raised then."""
        while True:
            for key, _ in self._selector.select():
                key.data()

    def _take_requests(self) -> None:
        for body, _ in self._keeper.take():
            try:
                self._fork(**body)
            except Exception as error:  # one node that can't be made must not end the others
                self._keeper.send({**body, "failure": str(error) or type(error).__name__})

    def _fork(self, number: int, name: str) -> None:
        """Fork a node; the answer goes out when it is up, so many can come up side by side."""
        make_room(DESCRIPTORS_PER_NODE * (self._living + 1))
        forked = nodefork.fork(name, self._agent, self._own_pids)
        self._living += 1
        ended = os.pidfd_open(forked.pid)
        self._selector.register(ended, selectors.EVENT_READ, lambda: self._ended(name, forked.pid, ended))
        report = selectors.EVENT_READ, lambda: self._reported(number, name, forked)
        self._selector.register(forked.report, *report)

    def _reported(self, number: int, name: str, forked: nodefork.Forked) -> None:
        self._selector.unregister(forked.report)
        with os.fdopen(forked.report) as report:
            failure = report.read()
        try:
            if failure:
                self._keeper.send({"number": number, "name": name, "failure": failure})
            else:
                self._keeper.send({"number": number, "name": name, "pid": forked.pid}, (forked.channel,))
        finally:
            os.close(forked.channel)

    def _ended(self, name: str, pid: int, ended: int) -> None:
        self._selector.unregister(ended)
        os.close(ended)
        self._living -= 1
        _, status = os.waitpid(pid, 0)
        self._keeper.send({"name": name, "status": os.waitstatus_to_exitcode(status)})

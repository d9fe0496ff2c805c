"""Many threads at once on one stack (SU-23)."""

import random
import threading

import pytest
from tests.stack.network import isolated
from tests.stack.people import PATIENCE_S, a_leaf, a_root

from multipoint.errors import MultipointError
from multipoint.stack import Stack

THREADS = 16
ROUNDS = 15


@pytest.mark.requirement("SU-23", "D-87")
@isolated
def test_sixteen_threads_join_talk_and_leave() -> None:
    faults: list[BaseException] = []
    with Stack() as stack:
        root = a_root(stack)

        def admit_all() -> None:
            try:
                for _ in range(THREADS * ROUNDS):
                    root.accept().set_blocking(False)
            except BaseException as fault:
                faults.append(fault)

        def come_and_go(seed: int) -> None:
            dice = random.Random(seed)
            try:
                for _ in range(ROUNDS):
                    leaf = a_leaf(stack)
                    leaf.join(root.local_address)
                    leaf.send(b"here")
                    root.send(b"to all")
                    if dice.random() < 0.5:
                        leaf.receive()
                    leaf.close()
            except BaseException as fault:
                faults.append(fault)

        threads = [threading.Thread(target=come_and_go, args=[seed], daemon=True) for seed in range(THREADS)]
        threads.append(threading.Thread(target=admit_all, daemon=True))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(4 * PATIENCE_S)
        assert not faults
        assert not any(thread.is_alive() for thread in threads)


@pytest.mark.requirement("CL-25", "CL-27")
@isolated
def test_one_socket_closed_by_many_is_closed_once() -> None:
    with Stack() as stack:
        for _ in range(20):
            leaf = a_leaf(stack)
            codes: list[int] = []
            barrier = threading.Barrier(4)

            def close() -> None:
                barrier.wait()  # noqa: B023 - run within this round
                try:
                    leaf.close()  # noqa: B023
                except MultipointError as failure:
                    codes.append(failure.code)  # noqa: B023

            threads = [threading.Thread(target=close) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(codes) == 3

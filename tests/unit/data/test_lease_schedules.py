"""Two holders of a lease never write at once, however requests are delayed: 1,000 schedules.

Time is simulated. Every request takes time to reach the server and time to be answered; some are
held back for longer than the lease, some fail after they have arrived, processes stop for a while
and go on. A holder writes while `check` or `require` lets it begin; a write that it began arrives
within half a lease, or not at all: requests are broken off before (`spavl.storage.bucket`).
"""

import heapq
import itertools
import random
import threading

import pytest

from spavl.errors import AwayError, BusyError
from spavl.storage.bucket import Stored
from spavl.storage.lease import RENEWALS, RIGHT, LapsedError, Lease

LEASE = 60.0
SCHEDULES = 1000


class World:
    """Simulated time: of all actors that sleep, the one goes on whose time comes first."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.time = 0.0
        self.objects = {}
        self.writes = []
        self.errors = []
        self._sleeping = []
        self._order = itertools.count()
        self._turn = None

    def now(self):
        return self.time

    def sleep(self, seconds):
        mine = threading.Event()
        heapq.heappush(self._sleeping, (self.time + max(seconds, 0.0), next(self._order), mine))
        self._next()
        mine.wait()

    def run(self, actors):
        threads = [threading.Thread(target=self._live, args=(actor,)) for actor in actors]
        gates = []
        for thread in threads:
            gate = threading.Event()
            heapq.heappush(self._sleeping, (self.time, next(self._order), gate))
            thread.gate = gate
            gates.append(gate)
        for thread in threads:
            thread.start()
        self._next()
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def _live(self, actor):
        threading.current_thread().gate.wait()
        try:
            actor()
        except BaseException as error:
            self.errors.append(error)
        finally:
            self._next()

    def _next(self):
        if self._sleeping:
            self.time, _, event = heapq.heappop(self._sleeping)
            event.set()


class Server:
    """A bucket whose requests are delayed, as a lease sees it."""

    def __init__(self, world, slow):
        self._world = world
        self._slow = slow

    def uri(self, name):
        return f"s3://b/{name}"

    def write(self, name, content):
        self._travel()
        self._world.objects[name] = self._world.time
        self._travel(fails=True)

    def listed(self, name):
        self._travel()
        found = [Stored(n, 0, t, "") for n, t in self._world.objects.items() if n.startswith(name)]
        self._travel(fails=True)
        return found

    def remove(self, names):
        for name in list(names):
            self._travel()
            self._world.objects.pop(name, None)
            self._travel(fails=True)

    def _travel(self, fails=False):
        draw = self._world.random
        if draw.random() < self._slow:
            self._world.sleep(draw.choice([0.1, 0.4, 0.6, 1.2, 3.0]) * LEASE * draw.random())
            if fails and draw.random() < 0.3:
                raise AwayError("no answer")
        else:
            self._world.sleep(draw.uniform(0.01, 0.5))


def holder(world, name, slow, told):
    """An actor that holds the lease now and then and writes, and one that renews it."""
    lease = Lease(Server(world, slow), "work/x", world)
    state = {"holds": False, "ended": False, "killed": False}
    draw = world.random

    def pause():
        if draw.random() < slow:  # a process that stops, and knows nothing of it
            world.sleep(draw.uniform(0, 2 * LEASE))

    def write(part):
        """A write that takes a part of the lease; false if its process is killed amid it.

        Of a killed process no request goes on: S3 keeps nothing that it got in part.
        """
        state["killed"] = draw.random() < 0.1
        part *= draw.random() if state["killed"] else 1.0
        world.writes.append((name, world.time, world.time + part * LEASE))
        told["writes"] += 1
        world.sleep(part * LEASE)
        return not state["killed"]

    def rounds():
        for _ in range(3):
            try:
                lease.acquire(name, patience=4 * LEASE)
            except (BusyError, AwayError):
                continue
            told["held"] += 1
            state.update(holds=True, killed=False)
            try:
                for number in range(draw.randint(1, 8)):
                    world.sleep(draw.uniform(0, 0.2 * LEASE))
                    pause()
                    (lease.require if number % 2 else lease.check)()
                    if not write(draw.uniform(0, RIGHT)):
                        break
            except (LapsedError, AwayError):
                try:
                    lease.acquire_anew(name)
                    lease.require()
                    told["anew"] += write(0.99 * RIGHT)
                except (BusyError, AwayError):
                    told["lost"] += 1
            except BusyError:
                told["lost"] += 1
            state["holds"] = False
            if not state["killed"]:
                lease.release()
            world.sleep(draw.uniform(0, LEASE))

    def work():
        try:
            rounds()
        finally:
            state["ended"] = True

    def keep():
        while not state["ended"]:
            world.sleep(LEASE / RENEWALS)
            if state["holds"]:
                pause()
                try:
                    lease.renew()
                except (AwayError, BusyError):
                    continue

    return work, keep


def overlaps(writes):
    """Pairs of writes of two holders that were under way at the same time."""
    for (one, begin, end), (other, start, stop) in itertools.combinations(writes, 2):
        if one != other and begin < stop and start < end:
            yield one, begin, end, other, start, stop


@pytest.mark.parametrize("part", range(10))
def test_two_holders_never_write_at_once(part, monkeypatch):
    monkeypatch.setenv("SPAVL_LEASE_SECONDS", str(LEASE))
    told = dict.fromkeys(("held", "writes", "lost", "anew"), 0)
    for seed in range(part, SCHEDULES, 10):
        world = World(seed)
        slow = world.random.choice([0.0, 0.02, 0.1, 0.3])
        actors = [actor for name in "abc" for actor in holder(world, name, slow, told)]
        random.seed(seed)
        world.run(actors)
        assert not list(overlaps(world.writes)), seed
    print(told)
    assert told["held"] > 100
    assert told["writes"] > 300
    assert told["lost"] > 10


def test_a_renewal_that_comes_late_never_makes_a_claim_anew(monkeypatch):
    monkeypatch.setenv("SPAVL_LEASE_SECONDS", str(LEASE))
    world = World(0)
    first = Lease(Server(world, 0.0), "work/x", world)
    second = Lease(Server(world, 0.0), "work/x", world)
    late = {}

    def hold():
        first.acquire("a", 10)
        first.check()
        late["name"] = first._claim
        world.sleep(0.4 * LEASE)
        first.renew()
        world.sleep(3 * LEASE)  # its next renewal is on its way for so long
        world.objects[late["name"]] = world.time
        for each in (first.check, first.require, first.renew):
            with pytest.raises(BusyError):
                each()
        late["told"] = world.time

    def take_over():
        world.sleep(1.0)
        second.acquire("b", 10 * LEASE)
        while "told" not in late and not world.errors:
            world.sleep(LEASE / RENEWALS)
            second.renew()
        second.check()  # another's claim that came back is removed, and costs the holder nothing
        assert late["name"] not in world.objects

    world.run([hold, take_over])
    assert late["told"]


def test_who_finds_anothers_live_claim_has_lost_the_lease(monkeypatch):
    monkeypatch.setenv("SPAVL_LEASE_SECONDS", str(LEASE))
    world = World(0)
    lease = Lease(Server(world, 0.0), "work/x", world)

    def hold():
        lease.acquire("a", 10)
        world.objects["work/x.lock/other.1"] = world.time
        with pytest.raises(BusyError, match="took over"):
            lease.check()
        with pytest.raises(BusyError):
            lease.require()

    world.run([hold])

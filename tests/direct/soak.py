# SPDX-License-Identifier: Apache-2.0
"""Engine trap, while others interfere: machines that are paused, copied and
switched, monitors and stubs that are halted and killed; and nothing grows."""

import os
import random
import re
import shutil
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from vm import LIMIT, Skip, command, equal  # noqa: E402
from world import World  # noqa: E402
from torture import SETUP, built  # noqa: E402

STUBS = 12  # of one vCPU, at most: SHADOW_SPACES

# Address spaces come and go, and each has much to do.
CHURN = SETUP + """
n=0
while :; do
    for p in mem sig proc jit odd; do t t-$p & done
    wait
    n=$((n + 1))
    echo round-$n
done
"""

# One may be cut off by what happens to its stub; its neighbours go on.
SUMS = """want=$(sha256sum </bin/busybox)
n=0
while :; do
    n=$((n + 1))
    got=$(sha256sum </bin/busybox) || echo cut-$n
    [ -z "$got" ] || [ "$got" = "$want" ] || echo BAD
    echo sum-$n
done
"""


def stat_of(pid):
    """State and parent; nothing if it has gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            words = f.read().rsplit(")", 1)[1].split()
        return words[0], int(words[1])
    except (OSError, IndexError):
        return None


def children(pid):
    found = {}
    for p in os.listdir("/proc"):
        stat = stat_of(p) if p.isdigit() else None
        if stat and stat[1] == pid:
            found[int(p)] = stat[0]
    return found


def size_of(pid):
    """What the monitor has: none of it may grow without end."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        anon = int(re.search(r"RssAnon:\s+(\d+)", f.read()).group(1))
    with open(f"/proc/{pid}/maps", encoding="ascii") as f:
        maps = len(f.readlines())
    return {"KiB": anon, "maps": maps, "fds": len(os.listdir(
        f"/proc/{pid}/fd")), "stubs": len(children(pid))}


def send(pid, sig):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


class Soak:
    def __init__(self, w, rng, pid, cpus):
        self.w, self.rng, self.pid, self.cpus = w, rng, pid, cpus
        self.done = {}

    def pause(self):
        self.w.ctl("a", "pause")
        time.sleep(self.rng.random() / 4)
        self.w.ctl("a", "resume")

    def switch(self):
        self.w.ctl("a", "engine", "interp")
        equal(children(self.pid), {}, "stubs of engine interp")
        time.sleep(self.rng.random() / 2)
        self.w.ctl("a", "engine", "trap")

    def snapshot(self):
        self.w.ctl("a", "snapshot", os.path.join(self.w.d, "snap"))
        shutil.rmtree(os.path.join(self.w.d, "snap"))

    def fork(self):
        name = self.w.json("a", "fork", "1")["children"][0]
        time.sleep(self.rng.random())
        self.w.json(name, "status")
        self.w.ctl(name, "quit")

    def halt(self):
        send(self.pid, signal.SIGSTOP)
        time.sleep(self.rng.random() / 4)
        send(self.pid, signal.SIGCONT)

    def halt_stubs(self):
        """As a frozen cgroup, a debugger or a laptop's lid does."""
        for stub in children(self.pid):
            send(stub, signal.SIGSTOP)
        time.sleep(self.rng.random() / 10)
        for stub in children(self.pid):
            send(stub, signal.SIGCONT)

    def act(self, act):
        act()
        self.done[act.__name__] = self.done.get(act.__name__, 0) + 1
        time.sleep(self.rng.random() / 2)
        stubs = children(self.pid)
        if len(stubs) > STUBS * self.cpus:
            raise AssertionError(f"{len(stubs)} stubs")

    def rounds(self):
        return self.w.said().count(b"\nround-")

    def measured(self):
        """With nothing native: what is left is the monitor's own."""
        self.w.ctl("a", "engine", "interp")
        size = size_of(self.pid)
        self.w.ctl("a", "engine", "trap")
        return size

    def run(self, seconds):
        acts = [self.pause, self.switch, self.snapshot, self.fork, self.halt,
                self.halt_stubs]
        start = time.time()
        for act in acts:
            self.act(act)
        while time.time() < start + seconds / 3 or not self.rounds():
            self.act(self.rng.choice(acts))
        sizes, steps = [self.measured()], 2
        for i in range(1, steps + 1):
            while time.time() < start + seconds * (1 + 2 * i / steps) / 3:
                self.act(self.rng.choice(acts))
            sizes.append(self.measured())
        first, last = sizes[0], sizes[-1]
        print(f"# {self.rounds()} rounds, {self.done}\n# {sizes}",
              file=sys.stderr)
        if (last["KiB"] > first["KiB"] + 16384 or
                last["maps"] > first["maps"] + 32 or
                last["fds"] > first["fds"] + 2 or last["stubs"]):
            raise AssertionError(f"it grows: {sizes}")


def soak(seconds, seed=1):
    def test(d):
        w = World(d)
        try:
            p = w.boot(command(d, "--engine", "trap", "--cpus", "2",
                               "--memory", "1G", script=CHURN,
                               files=built(d)), "a")
            w.until(lambda: b"-- t-" in w.said(), LIMIT)
            Soak(w, random.Random(seed), p.pid, 2).run(seconds)
            out = w.said()
            if b"BAD" in out or b"rcu" in out or b"panic" in out:
                raise AssertionError(out.replace(b"\r", b"").decode(
                    errors="replace")[-2500:])
        finally:
            w.stop()
    return test


def outsider(d):
    """Who kills stubs hurts processes of the guest, and nobody else."""
    w = World(d)
    try:
        p = w.boot(command(d, "--engine", "trap", "--cpus", "2", "--stats",
                           "json:" + d + "/stats", script=SUMS), "a")
        w.until(lambda: b"sum-20\r" in w.said() and children(p.pid), LIMIT)
        killed = 0
        for n in range(60):
            paused = n % 3 == 0
            if paused:
                w.ctl("a", "pause")
            stubs = list(children(p.pid))
            for stub in random.sample(stubs, min(len(stubs), 2)):
                send(stub, signal.SIGKILL)
                killed += 1
            if paused:
                w.ctl("a", "resume")
            time.sleep(0.03)
        sums = w.said().count(b"sum-")
        w.until(lambda: w.said().count(b"sum-") > sums + 10, 60)
        if killed < 10:
            raise Skip("there were no stubs")
        states = children(p.pid).values()
        if b"BAD" in w.said() or len(states) > 2 * STUBS:
            raise AssertionError(f"{w.said()[-1500:]} {states}")
        print(f"# {killed} stubs killed, "
              f"{w.said().count(b'cut-')} of the guest's processes cut off",
              file=sys.stderr)
    finally:
        w.stop()

# SPDX-License-Identifier: Apache-2.0
"""Several machines at once, by name, and what `ringfence ctl` says of them."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

from vm import PROGRAM, TOP, Skip, equal

GUEST = os.path.join(TOP, "build", "guest", "string")


class World:
    """A runtime folder of its own, and the machines in it."""

    def __init__(self, d):
        self.d = d
        self.env = dict(os.environ, XDG_RUNTIME_DIR=d)
        self.machines = []

    def boot(self, cmd, name=None, **kw):
        out = open(os.path.join(self.d, f"out{len(self.machines)}"), "wb")
        kw.setdefault("stdin", subprocess.DEVNULL)
        p = subprocess.Popen(cmd + (["--name", name] if name else []),
                             env=self.env, stdout=out,
                             stderr=subprocess.STDOUT, **kw)
        self.machines.append((p, out.name))
        return p

    def standing(self, name, *options):
        """A machine before its first instruction."""
        if not os.path.exists(GUEST):
            raise Skip("tests/guest/run builds what this runs")
        p = self.boot([PROGRAM, "boot", "--kernel", GUEST, "--memory", "32M",
                       "--gdb", f"unix:{self.d}/{name}.gdb"] + list(options),
                      name)
        self.until(lambda: os.path.exists(self.socket(name)))
        return p

    def socket(self, name):
        return os.path.join(self.d, "ringfence", name + ".sock")

    def said(self, n=0):
        with open(self.machines[n][1], "rb") as f:
            return f.read()

    def until(self, fn, seconds=10, n=0):
        end = time.time() + seconds
        while not fn():
            if self.machines and self.machines[-1][0].poll() == -signal.SIGABRT:
                raise AssertionError(f"aborted: {self.said(-1)!r}")
            if time.time() > end:
                raise AssertionError(f"never: {self.said(n)[-900:]!r}")
            time.sleep(0.05)

    def ctl(self, *args, status=0, stdin=None):
        p = subprocess.run([PROGRAM, "ctl"] + list(args), env=self.env,
                           input=stdin, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=60)
        if status is not None:
            equal(p.returncode, status, f"{args}: {p.stderr}")
        return (p.stdout + p.stderr).decode(errors="replace")

    def json(self, *args):
        return json.loads(self.ctl("--json", *args))

    def connect(self, name):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        while True:
            try:
                s.connect(self.socket(name))
                return s
            except BlockingIOError:  # the queue is full for now
                time.sleep(0.01)

    def stop(self):
        for m in self.json("list"):  # forks are nobody's children
            self.ctl(m["name"], "quit", status=None)
        for p, _ in self.machines:
            if p.poll() is None:
                p.kill()
                p.wait()


def main(group, fast, slow):
    """Runs what the command line asks for; the exit status."""
    wanted = [a for a in sys.argv[1:] if a not in ("all", "fast")]
    tests, failures = fast + slow, 0
    if sys.argv[1:2] == ["fast"]:
        print(f"skip {group}/stock-kernel: boots kernels; make test does it")
        tests = fast
    for fn in tests:
        name = fn.__name__.replace("_", "-")
        if wanted and name not in wanted:
            continue
        with tempfile.TemporaryDirectory() as d:
            w = World(d)
            try:
                fn(w)
                print(f"ok {group}/{name}", flush=True)
            except Skip as e:
                print(f"skip {group}/{name}: {e}", flush=True)
            except (AssertionError, OSError, ValueError, KeyError,
                    subprocess.SubprocessError) as e:
                failures += 1
                print(f"not ok {group}/{name}", flush=True)
                print(f"{name}: {e}", file=sys.stderr, flush=True)
            finally:
                w.stop()
    return failures != 0

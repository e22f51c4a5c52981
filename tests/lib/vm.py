# SPDX-License-Identifier: Apache-2.0
"""A machine on a terminal, for tests that type into it."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(HERE, "..", "..")
PROGRAM = os.environ.get("RINGFENCE", os.path.join(TOP, "build", "ringfence"))
LIMIT = int(os.environ.get("BOOT_SECONDS", "300"))
SUITE = os.environ.get("SUITE", "bookworm")


class Skip(Exception):
    pass


def equal(a, b, what):
    if a != b:
        raise AssertionError(f"{what}: {a!r} is not {b!r}")


def tool(*args):
    p = subprocess.run([os.path.join(TOP, "scripts", args[0])] +
                       list(args[1:]), stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE)
    if p.returncode:
        raise Skip(p.stderr.decode().strip().splitlines()[-1])
    return p.stdout.decode().strip()


def command(d, *options, script=None, suite=SUITE, files=()):
    kernel = tool("fetch-kernel", suite)
    image = os.path.join(d, "initramfs" + ("-s" if script else ""))
    args = [kernel, image]
    if script:
        path = os.path.join(d, "script")
        with open(path, "w") as f:
            f.write("#!/bin/sh\n" + script)
        args += [path] + list(files)
    tool("mkinitramfs", *args)
    return [PROGRAM, "boot", "--kernel", kernel + "/vmlinuz", "--initrd",
            image, "--append", "console=ttyS0 panic=-1 reboot=panic_warm "
            "quiet TERM=linux"] + list(options)


class Terminal:
    """A machine on a terminal; a thread collects what it says."""

    def __init__(self, d, *options, cmd=None):
        self.out = b""
        self.at = 0
        self.closed = False
        self.master, self.slave = pty.openpty()
        self.resize(24, 80)
        self.before = termios.tcgetattr(self.slave)
        self.p = subprocess.Popen(cmd or command(d, *options),
                                  stdin=self.slave, stdout=self.slave,
                                  stderr=self.slave, preexec_fn=self.own)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    @staticmethod
    def own():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        # A background job has inherited some of them ignored.
        for sig in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP,
                    signal.SIGTERM):
            signal.signal(sig, signal.SIG_DFL)

    def resize(self, rows, cols):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, cols, 0, 0))

    def read(self):
        # A read() that waits would keep a closed terminal alive.
        while not self.closed:
            try:
                if not select.select([self.master], [], [], 0.2)[0]:
                    continue
                b = os.read(self.master, 65536)
            except (OSError, ValueError):
                return
            if not b:
                return
            self.out += b

    def expect(self, text, seconds=60):
        end = time.time() + seconds
        while time.time() < end:
            at = self.out.find(text, self.at)
            if at >= 0:
                self.at = at + len(text)
                return
            if self.p.poll() is not None:
                time.sleep(0.3)
                if self.out.find(text, self.at) < 0:
                    break
            time.sleep(0.02)
        raise AssertionError(f"no {text!r} in {self.out[self.at:][-1500:]!r}")

    def type(self, text):
        while text:
            n = os.write(self.master, text[:512])
            text = text[n:]

    def prompt(self, seconds=LIMIT):
        self.expect(b"ringfence:", seconds)
        self.expect(b"# ")

    def run(self, line, answer, seconds=60):
        """The echo of a line must not be the answer."""
        self.type(line + b"\r")
        self.expect(answer, seconds)

    def restored(self, seconds=5):
        end = time.time() + seconds
        while termios.tcgetattr(self.slave) != self.before:
            if time.time() > end:
                raise AssertionError("the terminal is still raw")
            time.sleep(0.05)

    def ends(self, status, seconds=60):
        equal(self.p.wait(seconds), status, "status")
        self.restored()

    def close(self):
        self.closed = True
        self.reader.join()
        if self.master is not None:
            os.close(self.slave)
            os.close(self.master)
        self.master = None

    def stop(self):
        if self.p.poll() is None:
            self.p.kill()
            self.p.wait()
        self.close()

# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of the engines share: who runs, and tables."""

import os
import re
import shutil
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(HERE, "..", "..")
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from vm import PROGRAM, Skip, tool  # noqa: E402,F401

OUT = os.path.join(TOP, "build", "bench")
LIMIT = 600
QEMU = "qemu-system-x86_64"
# -cpu max: what TCG carries, as our default is what we carry.
QEMU_TCG = [QEMU, "-M", "q35", "-accel", "tcg", "-cpu", "max", "-display",
            "none", "-monitor", "none", "-no-reboot"]


def engines():
    """The engines that this host can run, by doctor's table."""
    text = subprocess.run([PROGRAM, "doctor"], stdout=subprocess.PIPE,
                          check=True).stdout.decode()
    table = text[text.index("Engines"):].splitlines()[1:]
    names = []
    soft_kvm = "made in software" in text # it does not run every guest
    for line in table:
        words = line.split()
        if not words or words[0] == "auto":
            break
        if words[0] == "interp-plain": # to be compared with, not to be fast
            continue
        if words[0] == "kvm" and soft_kvm:
            print("skip kvm: made in software", file=sys.stderr)
        elif words[1] == "yes":
            names.append(words[0])
        else:
            print(f"skip {line.strip()}", file=sys.stderr)
    return names


def have_qemu():
    if shutil.which(QEMU):
        return True
    print("skip qemu: not installed (scripts/setup bench)", file=sys.stderr)
    return False


def build_work(d):
    """work.c as a static program."""
    path = os.path.join(d, "work")
    subprocess.run(["gcc", "-O2", "-static", "-o", path,
                    os.path.join(HERE, "work.c"), "-lz", "-lzstd"],
                   check=True)
    return path


def nano_guest(d, engine):
    """Builds nano.c; a command that runs it. engine None: QEMU's TCG."""
    guest = os.path.join(d, "nano")
    if not os.path.exists(guest):
        subprocess.run([os.path.join(TOP, "tests/guest/run"), "build",
                        os.path.join(HERE, "nano.c"), guest, "64"],
                       check=True)
    if engine:
        return [PROGRAM, "boot", "--kernel", guest, "--engine", engine,
                "--memory", "64M", "--no-reboot"]
    return QEMU_TCG + ["-m", "64", "-serial", "stdio", "-kernel", guest,
                       "-device", "isa-debug-exit,iobase=0xf4"]


def output(cmd, good=(0,)):
    p = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=LIMIT)
    text = p.stdout.replace(b"\r", b"").decode(errors="replace")
    if p.returncode not in good:
        raise AssertionError(f"{cmd[0]}: status {p.returncode}\n{text[-800:]}")
    return text


def figures(text, word):
    """{name: number} of the lines `word name number`."""
    return {m[0]: int(m[1])
            for m in re.findall(rf"^{word} (\S+) (\d+)$", text, re.M)}


def medians(runs):
    """Of each name's numbers in several runs."""
    return {name: statistics.median(r[name] for r in runs if name in r)
            for name in runs[0]} if runs else {}

# SPDX-License-Identifier: Apache-2.0
"""A bundle with a busybox in it, a state root of its own, and what is left of
both afterwards: nothing, or the test fails."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(HERE, "..", "..")
PROGRAM = os.path.abspath(os.environ.get(
    "RINGFENCE_OCI", os.path.join(TOP, "build", "ringfence-oci")))
BUSYBOX = shutil.which("busybox")
CAPS = ["CAP_" + c for c in (
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE "
    "SETGID SETUID SETPCAP SYS_CHROOT").split()]


class Skip(Exception):
    pass


def equal(a, b, what):
    if a != b:
        raise AssertionError(f"{what}: {a!r} is not {b!r}")


def mounts(name):
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        return [l for l in f if name in l]


def cgroups(name):
    """Not deeper than ours may be: others may have thousands there."""
    found = []
    for d, dirs, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(d, x) for x in dirs if name in x]
        if d.count("/") > 6:
            dirs.clear()
    return found


class Box:
    """cgroups, mounts and states made by it carry its name."""

    def __init__(self):
        self.d = tempfile.mkdtemp(prefix="rf-oci-", dir="/var/tmp")
        os.chmod(self.d, 0o755)
        self.name = os.path.basename(self.d)
        self.root = self.d + "/state"
        self.rootfs = self.d + "/rootfs"
        self.out = self.d + "/out"
        self.make_rootfs()
        self.config = self.default()

    def make_rootfs(self):
        for x in ("bin", "etc", "proc", "sys", "dev", "tmp", "home"):
            os.makedirs(f"{self.rootfs}/{x}")
        shutil.copy(BUSYBOX, self.rootfs + "/bin/busybox")
        for x in ("sh cat id ls ps sleep echo true mount stat grep mknod dd "
                  "hostname kill env date test head mkdir touch rm ln pwd ip "
                  "ulimit wc tail tty stty readlink cut usleep nproc "
                  "seq").split():
            os.symlink("busybox", f"{self.rootfs}/bin/{x}")
        with open(self.rootfs + "/etc/passwd", "w", encoding="ascii") as f:
            f.write("root:x:0:0::/root:/bin/sh\nme:x:7:8::/home:/bin/sh\n")
        with open(self.rootfs + "/etc/group", "w", encoding="ascii") as f:
            f.write("root:x:0:\nours:x:9:\n")

    def default(self):
        subprocess.run([PROGRAM, "spec"], cwd=self.d, check=True)
        with open(self.d + "/config.json", encoding="utf-8") as f:
            c = json.load(f)
        c["process"]["terminal"] = False
        c["process"]["args"] = ["/bin/true"]
        c["process"]["rlimits"] = []
        for s in ("bounding", "effective", "permitted"):
            c["process"]["capabilities"][s] = list(CAPS)
        c["root"]["readonly"] = False
        c["linux"]["cgroupsPath"] = "/" + self.name
        return c

    def write(self, config=None):
        with open(self.d + "/config.json", "w", encoding="utf-8") as f:
            json.dump(config if config is not None else self.config, f)

    def call(self, *args, **kw):
        """Status, stdout, stderr."""
        kw.setdefault("stdin", subprocess.DEVNULL)
        kw.setdefault("timeout", 60)
        kw.setdefault("cwd", self.d)
        p = subprocess.run([PROGRAM, "--root", self.root] + list(args),
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           **kw)
        return (p.returncode, p.stdout.decode(errors="replace"),
                p.stderr.decode(errors="replace"))

    def must(self, *args, **kw):
        rc, out, err = self.call(*args, **kw)
        equal((rc, err), (0, ""), f"{args}")
        return out

    def refused(self, *args, **kw):
        """Its one line on stderr."""
        rc, out, err = self.call(*args, **kw)
        if rc == 0 or err.count("\n") != 1 or not err.startswith("ringfence: "):
            raise AssertionError(f"{args}: {rc}, {out!r}, {err!r}")
        return err[len("ringfence: "):-1]

    def run(self, script, ident="c", **kw):
        """Status and output of a shell script in a container."""
        self.config["process"]["args"] = ["/bin/sh", "-c", script]
        self.write()
        rc, out, err = self.call("run", ident, **kw)
        return rc, out + err

    def says(self, script, **kw):
        rc, out = self.run(script, **kw)
        equal(rc, 0, f"{script}: {out}")
        return out.strip()

    def leave(self, *args, **kw):
        """A command whose process goes on, with its output in a file."""
        with open(self.out, "wb") as out:
            p = subprocess.run([PROGRAM, "--root", self.root] + list(args),
                               cwd=self.d, stdin=subprocess.DEVNULL,
                               stdout=out, stderr=out, timeout=60, **kw)
        equal(p.returncode, 0, self.output())

    def start(self, script="sleep 1000", ident="c"):
        self.config["process"]["args"] = ["/bin/sh", "-c", script]
        self.write()
        self.leave("create", ident)
        self.must("start", ident)

    def output(self):
        with open(self.out, encoding="utf-8") as f:
            return f.read()

    def state(self, ident="c"):
        return json.loads(self.must("state", ident))

    def status(self, ident="c"):
        return self.state(ident)["status"]

    def until(self, fn, seconds=20):
        end = time.time() + seconds
        while not fn():
            if time.time() > end:
                raise AssertionError("never: " + repr(fn))
            time.sleep(0.02)

    def namespace(self, kind, path=None):
        """Adds or changes one; None as path: a new one."""
        l = self.config["linux"]["namespaces"]
        l[:] = [n for n in l if n["type"] != kind]
        l.append({"type": kind, **({"path": path} if path else {})})

    def end(self):
        """What was left behind, as text."""
        for ident in (os.listdir(self.root) if os.path.isdir(self.root)
                      else []):
            self.call("delete", "--force", ident)
        left = []
        if os.path.isdir(self.root) and os.listdir(self.root):
            left.append(f"states {os.listdir(self.root)}")
        left += mounts(self.name)
        left += cgroups(self.name)
        shutil.rmtree(self.d, ignore_errors=True)
        return ", ".join(left)


def main(group, tests):
    wanted = [a for a in sys.argv[1:] if a not in ("all", "fast")]
    if not os.path.exists(PROGRAM):
        print(f"not ok {group}: {PROGRAM} is not built")
        return 1
    if not BUSYBOX or os.geteuid():
        why = "needs busybox-static" if not BUSYBOX else "needs root"
        print(f"skip {group}: {why}")
        return 0
    failures = 0
    for fn in tests:
        name = fn.__name__.replace("_", "-")
        if wanted and name not in wanted:
            continue
        box = Box()
        said, why = "ok", ""
        try:
            fn(box)
        except Skip as e:
            said, why = "skip", f": {e}"
        except Exception as e:  # what is left behind goes in any case
            said = "not ok"
            print(f"{name}: {type(e).__name__} {e}", file=sys.stderr,
                  flush=True)
        left = box.end()
        if left and said == "ok":
            said = "not ok"
            print(f"{name}: left behind: {left}", file=sys.stderr, flush=True)
        failures += said == "not ok"
        print(f"{said} {group}/{name}{why}", flush=True)
    return failures != 0

# SPDX-License-Identifier: Apache-2.0
"""What depends on the host: AppArmor, root with every capability, cgroups v2
with nsdelegate. `run lab` has them all."""

import os
import shutil
import subprocess

from box import PROGRAM, Skip, cgroups, equal, mounts

PROFILE = """
profile rf-test flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  network,
  signal,
  ptrace,
  mount,
  umount,
  unix,
  deny /denied/** wkl,
}
"""


def has_apparmor():
    try:
        with open("/sys/module/apparmor/parameters/enabled",
                  encoding="ascii") as f:
            return f.read().strip() == "Y"
    except OSError:
        return False


def an_apparmor_profile(b):
    """It holds at first, in exec, and with no_new_privs."""
    if not has_apparmor():
        raise Skip("this host has no AppArmor")
    if not shutil.which("apparmor_parser"):
        raise Skip("needs apparmor_parser")
    subprocess.run(["apparmor_parser", "-K", "-r"], input=PROFILE.encode(),
                   check=True)
    os.mkdir(b.rootfs + "/denied")
    look = ("cat /proc/self/attr/current; touch /tmp/x && touch /denied/x "
            "2>/dev/null || echo no")
    held = "rf-test (enforce)\nno"
    plain = b.says("cat /proc/self/attr/current")
    equal(plain, "unconfined", "without one")
    for nnp in (False, True):
        b.config["process"]["noNewPrivileges"] = nnp
        b.config["process"]["apparmorProfile"] = "rf-test"
        equal(b.says(look), held, f"run, no_new_privs {nnp}")
        b.start()
        equal(b.must("exec", "c", "/bin/sh", "-c", look).strip(), held, "exec")
        b.must("delete", "--force", "c")
        b.config["process"]["apparmorProfile"] = ""
        b.start()
        equal(b.must("exec", "--apparmor", "rf-test", "c", "/bin/sh", "-c",
                     look).strip(), held, "exec --apparmor")
        b.must("delete", "--force", "c")


def an_apparmor_profile_that_is_not_there(b):
    b.config["process"]["apparmorProfile"] = "rf-none"
    b.write()
    said = ("process.apparmorProfile: rf-none is not loaded into the kernel"
            if has_apparmor() else
            "process.apparmorProfile: rf-none: this host has no AppArmor")
    equal(b.refused("run", "c"), said, "run")
    equal((mounts(b.name), cgroups(b.name), os.listdir(b.root)), ([], [], []),
          "left")
    b.config["process"]["apparmorProfile"] = "unconfined"
    b.says("true")
    b.config["process"]["apparmorProfile"] = ""
    b.start()
    equal(b.refused("exec", "--apparmor", "rf-none", "c", "true"), said, "exec")


def a_label_of_selinux(b):
    """No test has a kernel that would hold it."""
    if os.path.isdir("/sys/fs/selinux"):
        raise Skip("this host has SELinux")
    b.config["process"]["selinuxLabel"] = "system_u:system_r:container_t:s0"
    b.write()
    equal(b.refused("run", "c"), "process.selinuxLabel: "
          "system_u:system_r:container_t:s0: this host has no SELinux", "run")


def limits_go_up(b):
    """With CAP_SYS_RESOURCE no limit of the caller's is in the way."""
    with open("/proc/self/status", encoding="ascii") as f:
        caps = int([l for l in f if l.startswith("CapEff")][0].split()[1], 16)
    if not caps >> 24 & 1:
        raise Skip("root here has no CAP_SYS_RESOURCE")
    b.config["process"]["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "hard": 200000, "soft": 100000},
        {"type": "RLIMIT_NPROC", "hard": 300000, "soft": 200000}]
    b.config["process"]["oomScoreAdj"] = -700
    look = ("cat /proc/self/oom_score_adj; grep -E \"open files|processes\" "
            "/proc/self/limits")
    want = ("-700 Max processes 200000 300000 processes "
            "Max open files 100000 200000 files").split()
    limit = f"ulimit -n 1024; ulimit -u 4096; exec {PROGRAM} --root {b.root} "
    b.config["process"]["args"] = ["/bin/sh", "-c", look]
    b.write()
    out = subprocess.run(["bash", "-c", limit + "run c"], cwd=b.d, check=True,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    equal(out.stdout.decode().split(), want, "run")
    b.start()
    out = subprocess.run(["bash", "-c", limit + f"exec c sh -c '{look}'"],
                         cwd=b.d, check=True, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE)
    equal(out.stdout.decode().split(), want, "exec")


def a_limit_of_one_process(b):
    """exec needs no second one for its own sake."""
    b.config["process"]["rlimits"] = [
        {"type": "RLIMIT_NPROC", "hard": 2, "soft": 2}]
    b.config["process"]["user"] = {"uid": 54321, "gid": 54321}
    b.start("exec sleep 1000")
    rc, out, err = b.call("exec", "c", "cat", "/proc/self/limits")
    equal((rc, err), (0, ""), "exec")
    equal([l.split()[2:4] for l in out.split("\n") if "processes" in l],
          [["2", "2"]], "limit")


ALL = [
    an_apparmor_profile, an_apparmor_profile_that_is_not_there,
    a_label_of_selinux, limits_go_up, a_limit_of_one_process,
]

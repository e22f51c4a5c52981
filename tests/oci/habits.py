# SPDX-License-Identifier: Apache-2.0
"""What the specification leaves open, and users of runc and crun rely on."""

import os

from box import equal


def deleting(b):
    """One that never ran needs no force; a pattern takes all that it fits."""
    b.write()
    b.leave("create", "a1")
    b.must("delete", "a1")
    for i in ("a1", "a2", "b1"):
        b.config["linux"]["cgroupsPath"] = "/" + b.name + i
        b.start(ident=i)
    b.must("delete", "--force", "--regex", "^a[0-9]$")
    equal(b.must("list", "--quiet").split(), ["b1"], "left")
    b.must("delete", "--force", "b1")
    equal(b.refused("delete", "--regex", "("), "--regex (: is no pattern",
          "no pattern")


def hooks_have_an_environment_and_places_to_write(b):
    said = b.d + "/said"
    b.config["annotations"] = {"run.oci.hooks.stdout": said}
    b.config["hooks"] = {"prestart": [
        {"path": "/bin/sh", "args": ["sh", "-c", "echo $MINE"]}]}
    b.write()
    b.must("run", "c", env={"MINE": "mine", "PATH": os.environ["PATH"]})
    with open(said, encoding="ascii") as f:
        equal(f.read(), "mine\n", "the runtime's environment, in a file")


def a_failing_poststart_ends_it(b):
    b.config["process"]["args"] = ["/bin/sleep", "1000"]
    b.config["hooks"] = {"poststart": [{"path": "/bin/false"}]}
    b.write()
    says = ("hooks.poststart[0]: /bin/false: poststart hook failed with exit "
            "code 1")
    equal(b.refused("run", "c"), says, "run")
    b.leave("create", "c")
    equal(b.refused("start", "c"), says, "start")
    equal(b.refused("state", "c"), 'container "c" does not exist', "state")


def a_new_network_has_its_loopback(b):
    equal("UP" in b.says("ip link show lo").split("\n")[0], True, "lo")


def the_working_folder_is_made(b):
    b.config["root"]["readonly"] = True
    b.config["process"]["cwd"] = "/not/there"
    equal(b.says("pwd"), "/not/there", "cwd")


def a_root_that_is_shared(b):
    b.config["linux"]["rootfsPropagation"] = "shared"
    equal(b.says("head -n 1 /proc/self/mountinfo | grep -c shared:"), "1",
          "propagation")


def without_cgroups(b):
    b.config["linux"]["cgroupsPath"] = ""
    b.write()
    equal(b.call("--cgroup-manager", "disabled", "run", "c"), (0, "", ""),
          "run")
    equal(b.refused("--cgroup-manager", "x", "run", "c"),
          "--cgroup-manager x: give cgroupfs or disabled", "unknown")


def what_contradicts_itself(b):
    b.config["linux"]["sysctl"] = {"kernel.hostname": "a"}
    b.write()
    equal(b.refused("run", "c").split(":")[0], "linux.sysctl.kernel.hostname",
          "hostname")
    b.config["linux"]["sysctl"] = {}
    b.config["process"]["scheduler"] = {"policy": "SCHED_DEADLINE",
                                        "runtime": 30000, "deadline": 20000}
    b.write()
    equal(b.refused("run", "c"),
          "process.scheduler: sched_setattr: `SCHED_DEADLINE` runtime 30000 "
          "must be <= deadline 20000", "deadline")


def files_that_are_no_config(b):
    """One line, at once, and nothing is left of it."""
    b.write()
    path = b.d + "/config.json"
    with open(path, encoding="utf-8") as f:
        good = f.read()

    def says(line, make):
        os.unlink(path)
        make()
        equal(b.refused("run", "c", timeout=10), line, "refused")
        os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
        open(path, "w", encoding="ascii").close()

    def text(old, new):
        def make():
            with open(path, "w", encoding="utf-8") as f:
                f.write(good.replace(old, new, 1))
        return make

    def large():
        with open(path, "w", encoding="ascii") as f:
            f.truncate(100 << 20)

    none = "config.json: is no regular file"
    says(none, lambda: os.mkfifo(path))
    says(none, lambda: os.mkdir(path))
    says(none, lambda: os.symlink("/dev/zero", path))
    says("config.json: has more than 16 MiB", large)
    says("config.json: is nested deeper than 32, in line 1, at byte 37",
         text("{", '{"x": ' + 40 * "["))
    says("root.path: has a NUL in it", text('rootfs"', 'rootfs\\u0000/x"'))
    says("linux.resources.memory.limit: 99999999999999999999 is out of range, "
         "must be a number of 64 bits",
         text('"resources": {', '"resources": {"memory": {"limit": '
              '99999999999999999999}, '))
    says('linux.sysctl.a?b?[2J: belongs to no namespace: it would change the '
         'host',
         text('"linux": {', '"linux": {"sysctl": {"a\\nb\\u001b[2J": "1"}, '))


def sockets_of_systemd(b):
    out = b.says("echo $LISTEN_FDS $LISTEN_PID",
                 env={"LISTEN_FDS": "1", "PATH": os.environ["PATH"]})
    equal(out, "1 1", "LISTEN_FDS")


def a_filter_that_denies_getcwd(b):
    """The working folder is checked before that is in the way."""
    b.config["process"]["noNewPrivileges"] = False
    b.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_ERRNO"}]}
    equal(b.says("echo in"), "in", "denied")


def a_filter_for_calls_that_are_not_known(b):
    b.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["nosuch"], "action": "SCMP_ACT_ERRNO"}]}
    equal(b.says("echo in"), "in", "passed over")
    b.config["annotations"] = {"run.oci.seccomp_fail_unknown_syscall": "1"}
    b.write()
    equal(b.refused("run", "c"), "linux.seccomp.syscalls[0].names[0]: no call "
          "is named nosuch", "refused")


ALL = [
    deleting, hooks_have_an_environment_and_places_to_write,
    a_failing_poststart_ends_it, a_new_network_has_its_loopback,
    the_working_folder_is_made, a_root_that_is_shared, without_cgroups,
    what_contradicts_itself, files_that_are_no_config, sockets_of_systemd, a_filter_that_denies_getcwd,
    a_filter_for_calls_that_are_not_known,
]

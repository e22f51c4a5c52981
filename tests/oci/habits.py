# SPDX-License-Identifier: Apache-2.0
"""What the specification leaves open, and users of runc and crun rely on."""

import json
import os
import shutil
import subprocess

from box import HERE, PROGRAM, Skip, equal


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


def a_user_namespace_without_maps(b):
    """Has all ids as they are, as with crun."""
    b.namespace("user")
    for k in ("uidMappings", "gidMappings"):
        b.config["linux"].pop(k, None)
    with open("/proc/self/uid_map", encoding="ascii") as f:
        ids = f.read().split()
    equal(b.says("cat /proc/self/uid_map; stat -c %u /etc/passwd").split(),
          ids[:1] + ids[:1] + ids[2:] + ["0"], "ids")
    b.config["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 0,
                                         "size": 1}]
    b.write()
    equal(b.refused("run", "c"), 'linux.gidMappings: a new namespace "user" '
          "needs one", "half of it")


def maps(b):
    b.namespace("user")
    for k in ("uidMappings", "gidMappings"):
        b.config["linux"][k] = [{"containerID": 0, "hostID": 100000,
                                 "size": 65536}]
    subprocess.run(["chown", "-R", "-h", "100000:100000", b.rootfs], check=True)


def devices_in_a_user_namespace(b):
    """Made outside, so that the host need not have them."""
    maps(b)
    b.config["linux"]["devices"] = [
        {"path": "/dev/sub/mine", "type": "c", "major": 1, "minor": 5,
         "fileMode": 0o640, "uid": 7, "gid": 8},
        {"path": "/dev/pipe", "type": "p", "fileMode": 0o600}]
    equal(b.says("stat -c '%t:%T %a %u %g' /dev/sub/mine; head -c 3 "
                 "/dev/sub/mine | wc -c; test -p /dev/pipe && echo pipe; "
                 "grep -c -E ' / / .*tmpfs' /proc/self/mountinfo; true").split("\n"),
          ["1:5 640 7 8", "3", "pipe", "0"], "node")


def a_host_whose_mounts_are_shared(b):
    """As systemd has it: what is mounted inside is not seen outside."""
    maps(b)
    os.makedirs(b.d + "/vol/sub")
    b.config["mounts"] += [
        {"destination": "/v", "source": b.d + "/vol", "options": ["rbind"]},
        {"destination": "/v/sub", "type": "tmpfs", "source": "t"}]
    b.config["process"]["args"] = ["/bin/sh", "-c", "grep -c ' /v/sub ' "
                                   "/proc/mounts"]
    b.write()
    p = subprocess.run(
        ["unshare", "-m", "sh", "-c",
         f"mount --make-rshared / && {PROGRAM} --root {b.root} run c; "
         f"grep {b.d} /proc/mounts"], cwd=b.d, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=60)
    equal(p.stdout.decode(), "1\n", "inside; and nothing outside")


def a_tmpfs_is_as_open_as_what_it_hides(b):
    os.mkdir(b.rootfs + "/own")
    os.chmod(b.rootfs + "/own", 0o712)
    for i, o in enumerate(([], ["mode=0750"], ["size=64k", "ro"])):
        b.config["mounts"].append({"destination": ("/own", "/own/x", "/own")[i],
                                   "type": "tmpfs", "source": "t",
                                   "options": o})
    equal(b.says("stat -c %a /own").split(), ["712"], "the folder's")
    b.config["mounts"].pop()
    equal(b.says("stat -c %a /own/x").split(), ["750"], "the option's")


def options_of_trees_on_new_file_systems(b):
    b.config["mounts"] += [
        {"destination": "/a", "type": "tmpfs", "source": "t",
         "options": ["rnosuid", "rnoexec"]},
        {"destination": "/b", "type": "tmpfs", "source": "t",
         "options": ["rro"]},
        {"destination": "/b/c", "type": "tmpfs", "source": "t"}]
    out = b.says("grep ' /a ' /proc/mounts; touch /b/c/x; "
                 "touch /b/x || echo fixed")
    equal([o in out for o in ("nosuid", "noexec", "fixed")], [True] * 3, out)


def a_mount_on_the_root(b):
    for x in ("proc", "sys", "dev"):
        os.makedirs(f"{b.d}/other/{x}")
    os.makedirs(b.d + "/other/bin")
    shutil.copy(b.rootfs + "/bin/busybox", b.d + "/other/bin/sh")
    with open(b.d + "/other/mark", "w", encoding="ascii") as f:
        f.write("other\n")
    ours = b.config["mounts"]
    b.config["mounts"] = [{"destination": "/", "source": b.d + "/other",
                           "options": ["bind"]}] + ours
    equal(b.says("read m </mark; echo $m"), "other", "another folder")
    b.config["mounts"] = [{"destination": "/", "type": "tmpfs", "source": "t",
                           "options": ["tmpcopyup"]}] + ours
    equal(b.says("cat /etc/group >/new && wc -l </new"), "2", "a tmpfs")
    equal(os.path.exists(b.rootfs + "/new"), False, "which hides the folder")


def a_link_as_the_target(b):
    with open(b.d + "/file", "w", encoding="ascii") as f:
        f.write("data\n")
    os.symlink("nowhere", b.rootfs + "/link")
    b.config["mounts"].append({"destination": "/link", "source": b.d + "/file",
                               "options": ["bind", "dest-nofollow"]})
    equal(b.says("cat /link"), "data", "what is on the link")
    equal(os.path.lexists(b.rootfs + "/nowhere"), False, "not where it leads")


def a_link_instead_of_dev(b):
    os.rmdir(b.rootfs + "/dev")
    os.symlink("/tmp", b.rootfs + "/dev")
    b.config["mounts"] = [m for m in b.config["mounts"]
                          if not m["destination"].startswith("/dev")]
    b.write()
    equal(b.refused("run", "c"), "/dev: is no folder of the root, which "
          "devices need", "refused")
    equal(os.listdir(b.rootfs + "/tmp"), [], "nothing was made there")


def asked_while_it_is_made(b):
    """state waits for the process, and does not wait for one that died."""
    b.write()
    seen = set()
    for i in range(20):
        b.config["linux"]["cgroupsPath"] = f"/{b.name}{i}"
        b.write()
        with open(b.out, "wb") as out:
            p = subprocess.Popen([PROGRAM, "--root", b.root, "create", f"c{i}"],
                                 cwd=b.d, stdin=subprocess.DEVNULL,
                                 stdout=out, stderr=out)
        while True:
            rc, text, err = b.call("state", f"c{i}")
            if "does not exist" not in err:
                break
        equal((p.wait(20), rc, err), (0, 0, ""), "state")
        seen.add(json.loads(text)["status"])
        b.must("delete", "--force", f"c{i}")
    equal(seen, {"created"}, "status")
    os.makedirs(b.root + "/dead", exist_ok=True)
    if "was never finished" not in b.refused("state", "dead"):
        raise AssertionError("a folder alone")


NET = """
ip link add rf-a type veth peer name rf-b || exit 77
ip addr add 10.9.8.7/24 brd 10.9.8.200 dev rf-a
ip -6 addr add fd00:9::7/64 nodad dev rf-a
ip link set rf-a up
"""


def network(b, after):
    """`run` in a network of its own that has two devices; "after" is run in
    it as well."""
    b.write()
    p = subprocess.run(
        ["unshare", "-n", "sh", "-c", NET + f"{PROGRAM} --root {b.root} run c "
         f"2>&1; {after}"], cwd=b.d, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=60)
    if p.returncode == 77:
        raise Skip("no veth devices here: " + p.stderr.decode())
    return p.stdout.decode()


def network_devices(b):
    """Moved with their addresses, under a new name; all of them or none."""
    b.config["process"]["args"] = ["/bin/sh", "-c", "ip addr show eth7; "
                                   "ip link show rf-b | head -1"]
    for ns in (False, True):
        b.config["linux"]["netDevices"] = {"rf-a": {"name": "eth7"},
                                           "rf-b": {}}
        if ns:
            maps(b)
        out = network(b, "ip -o link | grep -c rf-")
        for want in ("inet 10.9.8.7/24 brd 10.9.8.200", "inet6 fd00:9::7/64",
                     "rf-b", ",UP"):
            if want not in out:
                raise AssertionError(f"{ns}: {want} is not in {out}")
        equal(out.split()[-1], "0", "left outside")
    b.config["linux"]["netDevices"]["nosuch"] = {}
    out = network(b, "ip addr show rf-a; ip -o link | grep -c rf-")
    for want in ("ringfence: linux.netDevices.nosuch: No such device\n",
                 "inet 10.9.8.7/24 brd 10.9.8.200", "inet6 fd00:9::7/64"):
        if want not in out:
            raise AssertionError(f"{want} is not in {out}")
    equal(out.split()[-1], "2", "moved back")
    for devices, says in (
            ({"a/b": {}}, ': "a/b" is no device\'s name'),
            ({"a": {"name": ".."}}, '.a.name: ".." is no device\'s name'),
            ({"a": {"name": "x" * 16}},
             f'.a.name: "{"x" * 16}" is no device\'s name'),
            ({"a": {"name": "c"}, "b": {"name": "c"}},
             '.b.name: "c" stands there twice')):
        b.config["linux"]["netDevices"] = devices
        b.write()
        equal(b.refused("run", "c"), "linux.netDevices" + says, "refused")


# What each of them says of the container that it is in.
SCRIPT = """
    echo ids: $(id); cd; pwd
    for x in CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp; do
        grep ^$x: /proc/self/status
    done
    echo limits: $(ulimit -n) $(ulimit -c); umask
    echo names: $(hostname) $(cat /proc/sys/kernel/domainname)
    env | grep -v -e ^OLDPWD= -e ^SHLVL= -e ^_= -e ^PWD=
    ps -o pid,comm | head -n 2
    for f in /dev/null /dev/zero /dev/full /dev/tty /dev/random /dev/urandom \\
             /dev/ptmx /dev/fd /dev/stdin /dev/shm /dev/pts /dev/mqueue; do
        stat -c '%n %f %u %g %t %T' $f
    done
    cat /proc/kcore 2>/dev/null | wc -c; ls /sys/firmware | wc -l
    echo 1 2>/dev/null >/proc/sys/kernel/domainname || echo read-only
    touch /mine && rm /mine && echo writable
    cat /proc/self/oom_score_adj
    while read -r device at type options rest; do
        [ $at = / ] || echo mount: $at $type
    done </proc/mounts | grep -v -e ' /proc/' -e /sys/fs/cgroup
    ls /proc/self/fd | wc -l
    for n in ipc mnt net pid uts user; do
        [ $(readlink /proc/self/ns/$n) = $(eval echo "\\$host_$n") ] &&
            echo shares $n
    done
    exit 7
"""


def crun_and_runc_say_the_same(b):
    """One script in one bundle, with each that is there."""
    others = [p for p in map(shutil.which, ("crun", "runc")) if p]
    if not others:
        raise Skip("needs crun or runc")
    b.config["ociVersion"] = "1.0.0"  # which all of them know
    b.config["hostname"] = "one"
    b.config["process"].update(
        args=["/bin/sh", "-c", SCRIPT], user={"uid": 7, "gid": 8, "umask": 18,
                                              "additionalGids": [9]},
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 256, "hard": 256}])
    b.config["process"]["env"] += ["HOME=/home"] + [
        f"host_{n}=" + os.readlink(f"/proc/self/ns/{n}")
        for n in ("ipc", "net", "pid", "uts", "user")]
    b.write()

    def says(program):
        p = subprocess.run(
            [os.path.join(HERE, "..", "lib", "v1-view"), program, "--root",
             b.d + "/view", "run", "c"], cwd=b.d, input=b"",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        return (p.returncode, sorted(p.stdout.decode().split("\n")))

    ours = says(PROGRAM)
    equal((ours[0], len(ours[1]) > 40), (7, True), f"ours: {ours}")
    for other in others:
        theirs = says(other)
        equal(theirs[0], 7, other)
        equal([l for l in theirs[1] if l not in ours[1]],
              [l for l in ours[1] if l not in theirs[1]], other)


ALL = [
    deleting, hooks_have_an_environment_and_places_to_write,
    a_failing_poststart_ends_it, a_new_network_has_its_loopback,
    the_working_folder_is_made, a_root_that_is_shared, without_cgroups,
    what_contradicts_itself, files_that_are_no_config,
    sockets_of_systemd, a_filter_that_denies_getcwd,
    a_filter_for_calls_that_are_not_known, a_user_namespace_without_maps,
    devices_in_a_user_namespace, a_host_whose_mounts_are_shared,
    a_tmpfs_is_as_open_as_what_it_hides, options_of_trees_on_new_file_systems,
    a_mount_on_the_root, a_link_as_the_target, a_link_instead_of_dev,
    asked_while_it_is_made, network_devices, crun_and_runc_say_the_same,
]

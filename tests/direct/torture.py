# SPDX-License-Identifier: Apache-2.0
"""The programs in guest/: what they say on the interpreter, on engine trap, and
on a build of it that runs all natively that it can (plant-eager.sed)."""

import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from vm import LIMIT, PROGRAM, TOP, Skip, command, equal  # noqa: E402

PROGRAMS = ("mem", "sig", "proc", "jit", "odd")
EAGER = "build/planted/direct-eager"
# Their code begins and ends at a page: torture.h says why.
CFLAGS = ["-O1", "-Wall", "-Wextra", "-Wno-clobbered", "-static", "-pthread",
          "-fno-reorder-functions", "-mno-red-zone"]

SETUP = """t() { echo "-- $*"; "$@" || echo "BAD $1: status $?"; }
echo 0 >/proc/sys/vm/mmap_min_addr
echo 16 >/proc/sys/vm/nr_hugepages
"""

LUA = """
local function sieve(n)
    local p, count = {}, 0
    for i = 2, n do p[i] = true end
    for i = 2, n do
        if p[i] then
            count = count + 1
            for k = i * i, n, i do p[k] = false end
        end
    end
    return count
end
local function words(n)
    local t = {}
    for i = 1, n do
        local w = ("w%d"):format(i * 7919 % 1000)
        t[w] = (t[w] or 0) + #w
    end
    local s = 0
    for w, c in pairs(t) do s = s + c * tonumber(w:sub(2)) end
    return s
end
local function turns(n)
    local co = coroutine.wrap(function()
        local x = 1
        while true do x = (x * 69069 + 1) % 4294967296; coroutine.yield(x) end
    end)
    local s = 0
    for i = 1, n do s = (s + co()) % 4294967296 end
    return s
end
local ffi, bit = require("ffi"), require("bit")
local function bytes(n)
    local a, h = ffi.new("uint8_t[?]", n), 0
    for i = 0, n - 1 do a[i] = i * 31 end
    for i = 0, n - 1 do h = bit.bxor(bit.rol(h, 5), a[i]) end
    return h
end
for round = 1, 4 do
    print(sieve(300000), words(60000), turns(60000), bytes(1000000))
    jit.flush() -- all of it is compiled anew, over what was there
end
print(jit.status())
"""


def built(d, programs=PROGRAMS):
    """The programs, for the guest."""
    files = []
    for name in programs:
        files.append(os.path.join(d, "t-" + name))
        p = subprocess.run(["gcc"] + CFLAGS + ["-o", files[-1], os.path.join(
            HERE, "guest", name + ".c")], stderr=subprocess.PIPE)
        if p.returncode:
            raise Skip("no static C library: " + p.stderr.decode()[-200:])
    return files


def eager():
    p = subprocess.run(["make", "-s", EAGER], cwd=TOP, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
    equal(p.returncode, 0, p.stdout.decode())
    return os.path.join(TOP, EAGER)


def lua_files(d):
    """Debian's luajit, and what it needs."""
    lua = shutil.which("luajit")
    if not lua:
        print("# no luajit: apt-get install luajit", file=sys.stderr)
        return []
    out = subprocess.run(["ldd", lua], stdout=subprocess.PIPE, check=True)
    with open(d + "/t.lua", "w", encoding="ascii") as f:
        f.write(LUA)
    return [lua, d + "/t.lua"] + re.findall(r"(/\S+)", out.stdout.decode())


def native(path):
    """How often each counter was counted, by all vCPUs."""
    with open(path, encoding="ascii") as f:
        stats = f.read()
    total = {}
    for name, n in re.findall(r'"((?:direct|shadow|stub)[\w-]*)": ?{"count": ?'
                              r'(\d+)', stats):
        total[name] = total.get(name, 0) + int(n)
    return total


def boot(d, program, engine, cpus, files, scale, lua, *options):
    script = SETUP + "".join(f"t {os.path.basename(f)} {scale}\n"
                             for f in files)
    if lua:
        script += ("t ld-linux-x86-64.so.2 --library-path /bin "
                   "/bin/luajit /bin/t.lua\n")
    cmd = command(d, "--engine", engine, "--cpus", str(cpus), "--memory", "1G",
                  "--stats", "json:" + d + "/stats", *options, script=script,
                  files=files + lua)
    cmd[0] = program
    p = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=LIMIT + 60 * scale)
    out = p.stdout.replace(b"\r", b"").decode(errors="replace")
    if p.returncode or "script: status 0" not in out or "BAD" in out:
        raise AssertionError(f"{engine}, {cpus} CPUs: {out[-2500:]}")
    return [line for line in out.splitlines()
            if line and not re.match(r"^\[ *\d", line)]


def torture(machines, scale=1, with_lua=False):
    """machines: eager or not, and how many CPUs."""
    def test(d):
        files = built(d)
        lua = lua_files(d) if with_lua else []
        want = boot(d, PROGRAM, "interp", 2, files, scale, lua)
        for is_eager, cpus in machines:
            got = boot(d, eager() if is_eager else PROGRAM, "trap", cpus,
                       files, scale, lua)
            equal(got, want, "what the guest said")
            ran = native(d + "/stats")
            least = 10000 if is_eager else 500
            for counter in ("direct-runs", "direct-true-faults",
                            "direct-hidden-faults", "shadow-pages"):
                if ran.get(counter, 0) < least / 10:
                    raise AssertionError(f"nothing ran natively: {ran}")
            if ran["direct-runs"] < least:
                raise AssertionError(f"little ran natively: {ran}")
    return test


def checked_torture(programs, with_lua=False):
    """Each native stretch again, by the interpreter: --direct-check."""
    def test(d):
        files = built(d, programs)
        lua = lua_files(d) if with_lua else []
        boot(d, PROGRAM, "trap", 1, files, 1, lua, "--direct-check")
        ran = native(d + "/stats")
        same, not_ = (ran.get("direct-" + n, 0)
                      for n in ("compared", "not-compared"))
        if same < 1000 * len(files) or not_ > same / 10:
            raise AssertionError(f"little was compared: {ran}")
        print(f"# direct: {same} stretches compared, {not_} not",
              file=sys.stderr)
    return test

# SPDX-License-Identifier: MIT
"""pal as its manual describes it: what a user types, and what goes wrong. Three machines, each for many checks."""

import json
import re

import pytest

from test_domains import PROMPT, control, domain0, domains_image, machine, steps, wait_console, wait_gone  # noqa: F401
from qemu import Qemu, json_in

# A guest that ends by itself; init takes commas in guest.run for blanks.
POWEROFF = "sleep,1;poweroff,-f"
REBOOT = "sleep,1;reboot,-f"
PANIC = "sleep,1;echo,c>/proc/sysrq-trigger"


@pytest.fixture
def plain(directory):
    """Domain 0 without progress bars and colours in what it prints; guests may panic here."""
    with Qemu(machine(), directory) as qemu:
        control = domain0(qemu)
        control.run("export NO_COLOR=1 TERM=linux")
        yield control
        qemu.check_log(allowed=[r"sysrq triggered crash"])


def guest(control, name, run="", more="", memory=128):
    """A domain's file under /tmp; `more` stands before <devices>."""
    path = f"/tmp/{name}.xml"
    edits = [f"s|>web<|>{name}<|", f"s|>192<|>{memory}<|", f"s|<devices>|{more}<devices>|"]
    if run:
        edits.append(f"s|console=hvc0|console=hvc0 quiet guest.run={run}|")
    control.run(f"sed '{'; '.join(edits)}' /guest/web.xml >{path}")
    return path


def names(control):
    return [d["name"] for d in control.json("pal list")["domains"]]


def poll(control, condition, what, seconds=60):
    """Until the condition (a shell command) holds, in domain 0's time."""
    most = steps(seconds * 5)
    control.run(f"i=0; while ! {{ {condition}; }}; do i=$((i + 1)); [ $i -lt {most} ] || "
                f"{{ echo gave up: {what}; break; }}; usleep 200000; done; [ $i -lt {most} ]", limit=seconds * 3)


def nothing_left(control, free):
    """No domain, no record, no node in the store, no loop device, and the memory is back."""
    assert names(control) == ["Domain-0"]
    control.run("ls /run/pal | grep '^[0-9]'", status=1)
    control.run("xenstore-ls /local/domain/0/backend 2>/dev/null | grep state", status=1)
    control.run("xenstore-ls /vm 2>/dev/null | grep name", status=1)
    poll(control, "[ -z \"$(losetup -a)\" ]", "loop devices", 20)
    left = free - control.json("pal info")["machine"]["memory_free_bytes"]
    assert left < 1 << 20, f"{left} bytes of the machine's memory are gone"


def in_background(control, command):
    """Runs on while more is typed; its exit status comes in /tmp/status.

    setsid makes it an orphan that takes SIGINT: busybox's shell may end when a child of its own does while it reads a line, and what is
    started with & by a shell that is not interactive ignores that signal.
    """
    control.run(f"rm -f /tmp/status; setsid sh -c '{command}; echo $? >/tmp/status' </dev/null >/tmp/out 2>/tmp/err")


def background_status(control, seconds=60):
    poll(control, "[ -s /tmp/status ]", "the end of the command", seconds)
    # The hypervisor's own lines may stand among it.
    return int(re.search(r"^(\d+)$", control.run("cat /tmp/status"), re.M).group(1))


def signal_pal(control, words, signal, when="true"):
    """To the process that was called with those words, as soon as a command has succeeded or the process has ended."""
    control.run(f"until {when}; do [ ! -s /tmp/status ] || break; done; "
                f"for p in $(pidof pal); do tr '\\0' ' ' </proc/$p/cmdline | grep -q '^pal {words}' && kill -{signal} $p; done; true")


def test_run(plain):
    """pal run: the guest's end is its exit status; signals; Ctrl-]; what is made again; what cannot be made."""
    free = plain.json("pal info")["machine"]["memory_free_bytes"]
    off = guest(plain, "off", POWEROFF)
    plain.run(f"pal run {off} </dev/null >/tmp/out 2>/tmp/err", limit=90, status=0)
    assert "GUEST-INIT" in plain.run("cat /tmp/out")
    assert "off has ended: poweroff" in plain.run("cat /tmp/err")
    nothing_left(plain, free)

    answer = plain.run(f"pal run {guest(plain, 'panics', PANIC)} --json </dev/null 2>/dev/null | sed -n '/^{{/,$p'", limit=90)
    answer = json_in(answer)
    assert (answer["verb"], answer["end"], answer["status"], answer["restarts"]) == ("run", "crash", 3, 0)
    plain.run(f"pal run {guest(plain, 'resets', REBOOT, '<on_reboot>destroy</on_reboot>')} </dev/null >/tmp/out 2>/tmp/err",
              limit=90, status=1)
    kept = guest(plain, "kept", PANIC, "<on_crash>preserve</on_crash>")
    plain.run(f"pal run {kept} </dev/null >/tmp/out 2>/tmp/err", limit=90, status=3)
    assert plain.json("pal list kept")["domains"][0]["reason"] == "crash"
    plain.run("pal destroy kept")
    nothing_left(plain, free)

    # It stays with a domain that reboots; the same domain, as its UUID shows. SIGTERM asks the guest.
    in_background(plain, f"pal run {guest(plain, 'again')}")
    poll(plain, "grep -q GUEST-INIT /tmp/out", "the guest")
    first = plain.json("pal info again")["domain"]
    plain.run("pal reboot again")
    poll(plain, "[ $(grep -c GUEST-INIT /tmp/out) = 2 ]", "the second boot")
    second = plain.json("pal info again")["domain"]
    assert second["id"] != first["id"] and second["uuid"] == first["uuid"]
    signal_pal(plain, "run", "TERM")
    assert background_status(plain) == 0
    assert "asked to shut down" in plain.run("cat /tmp/err")
    nothing_left(plain, free)

    # The second signal ends it, and so may somebody else.
    in_background(plain, f"pal run {guest(plain, 'stubborn', 'echo,>/bin/poweroff;echo,ARMED')}")
    poll(plain, "grep -q ^ARMED /tmp/out", "the guest")
    signal_pal(plain, "run", "INT")
    poll(plain, "grep -q 'once more' /tmp/err", "the message")
    signal_pal(plain, "run", "INT")
    assert background_status(plain) == 130
    in_background(plain, f"pal run {guest(plain, 'victim')}")
    poll(plain, "grep -q GUEST-INIT /tmp/out", "the guest")
    plain.run("pal destroy victim")
    assert background_status(plain) == 137
    nothing_left(plain, free)

    # On a terminal: keys go to the guest, Ctrl-] leaves it running.
    plain.qemu.send_line(f"pal run {guest(plain, 'keys')}; echo left=$?")
    plain.qemu.expect(r"guest:\S+# ", 90)
    plain.qemu.send_line("stty raw -echo; echo ready=$((40 + 2)); dd bs=1 count=1 2>/dev/null | od -c; stty sane")
    plain.qemu.expect("ready=42", 30)
    plain.qemu.child.send("\x03")  # a key like any other
    plain.qemu.expect("0000000 003", 30)
    plain.qemu.child.send("\x1d")
    plain.qemu.expect(r"keys goes on as domain \d+", 30)
    plain.qemu.expect(r"left=0", 30)
    assert names(plain) == ["Domain-0", "keys"]
    plain.run("pal shutdown keys --wait --progress=none", limit=90)
    wait_gone(plain, "keys")

    plain.error("pal run /nowhere.xml", 127, "PAL-XML-004")
    plain.error("pal run", 125, "PAL-USE-001")
    plain.error(f"pal run {guest(plain, 'huge', memory=99999)}", 126, "PAL-MEM-001")
    plain.error(f"pal run {guest(plain, 'small', memory=32)}", 126, "PAL-MEM-003")
    nothing_left(plain, free)


def test_endings(plain):
    """on_crash, on_reboot and names as the watcher keeps them; logs that are followed; requests nobody takes."""
    free = plain.json("pal info")["machine"]["memory_free_bytes"]
    # Two that crash: one is left to be looked at, one is made again.
    plain.json(f"pal create {guest(plain, 'kept', PANIC, '<on_crash>preserve</on_crash>')}", limit=90)
    plain.json(f"pal create {guest(plain, 'again', '', '<on_crash>restart</on_crash>')}", limit=90)
    plain.json(f"pal create {guest(plain, 'gone', PANIC)}", limit=90)
    poll(plain, "pal logs again | grep -q GUEST-INIT", "the guest")
    first = plain.json("pal list again")["domains"][0]
    in_background(plain, "pal logs -f again")
    plain.run("{ sleep 1; echo 'echo c >/proc/sysrq-trigger'; sleep 1; } | pal console again >/dev/null 2>&1", status=None)
    assert background_status(plain) == 0  # the log is followed until the domain's end
    plain.run("grep -q 'not syncing: sysrq triggered crash' /tmp/out")  # not to be shown: another domain's end may cut the line
    poll(plain, "pal list again 2>/dev/null | grep -qv ' %d '; pal logs again | grep -c GUEST-INIT | grep -q 2" % first["id"],
         "the second boot")
    second = plain.json("pal list again")["domains"][0]
    assert second["id"] != first["id"] and second["uuid"] == first["uuid"]
    poll(plain, "pal list kept | grep -q crashed", "the crash")
    poll(plain, "! pal list gone 2>/dev/null", "the end of the one that is destroyed")
    for verb in "pause", "unpause", "shutdown", "reboot", "console":
        plain.error(f"pal {verb} kept", 4, "PAL-DOM-003")
    assert re.search(r"^kept +crash$", plain.run("pal list -o name,reason"), re.M)
    plain.json("pal destroy kept")

    # A new name lasts over reboots, and the log is found by it.
    plain.json("pal rename again shop")
    assert plain.run("pal logs shop -n 1").strip()
    before = second["id"]
    for boots in 1, 2:
        answer = plain.json("pal reboot shop --wait --progress=none", limit=90)
        assert answer["domains"][0]["name"] == "shop" and answer["domains"][0]["id"] != before
        before = answer["domains"][0]["id"]
        poll(plain, f"pal logs shop | grep -c GUEST-INIT | grep -q {boots}", "the next boot")
    third = plain.json("pal info shop")["domain"]
    assert third["uuid"] == first["uuid"] and third["id"] == answer["domains"][0]["id"]

    # It is still booting, or has no driver for the request: a deadline, and the request does not stay.
    plain.json(f"pal create {guest(plain, 'deaf')} --paused")
    plain.error("pal shutdown deaf --wait", 4, "PAL-DOM-003")
    poll(plain, "pal logs shop | grep -q GUEST-INIT", "the guest")
    plain.run("pal unpause deaf; pal pause deaf; pal unpause deaf")
    plain.error("pal shutdown deaf --timeout 0 --progress=none", 7, "PAL-DOM-005")
    plain.run("pal destroy deaf")
    plain.run("pal shutdown shop --wait --progress=none", limit=90)
    wait_gone(plain, "shop")
    # The watcher tells when all is done.
    poll(plain, "grep -q 'shop .*(poweroff): destroy' /var/log/pal-watch.log", "the word of the watcher")
    told = plain.run("cat /var/log/pal-watch.log")
    for line, times in ((r"kept .*\(crash\): preserve", 1), (r"again .*\(crash\): restart", 1), (r"gone .*\(crash\): destroy", 1),
                        (r"shop .*\(reboot\): restart", 2), (r"shop .*\(poweroff\): destroy", 1)):
        assert len(re.findall(line, told)) == times, (line, told)
    nothing_left(plain, free)


def test_words(plain):
    """create's options, columns, top's screen, domain 0, memory, and each daemon that does not run."""
    free = plain.json("pal info")["machine"]["memory_free_bytes"]
    # Ctrl-C while the kernel is unpacked: nothing is left. Then progress for a program.
    in_background(plain, f"pal create {guest(plain, 'web', memory=192)}")
    signal_pal(plain, "create", "INT", when="pal list 2>/dev/null | grep -q unnamed")
    assert background_status(plain) == 1
    assert "[PAL-SYS-002]" in plain.run("cat /tmp/err")
    nothing_left(plain, free)
    lines = plain.run("pal create /tmp/web.xml --paused --progress=json 2>&1 >/dev/null", limit=90)
    steps = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
    assert [s["phase"] for s in steps if s["event"] == "phase"] == ["kernel", "memory", "contents", "devices"]
    assert steps[-1]["event"] == "done" and steps[-1]["percent"] == 100
    assert all(a["percent"] <= b["percent"] for a, b in zip(steps, steps[1:]))

    # Columns; domain 0 in set and rename; a bar on the terminal only when it takes long.
    assert re.search(r"^NAME +UUID *\n(.*\n)*web +[0-9a-f]{8}-", plain.run("pal list -o name,uuid"), re.M)
    assert "MAX/MiB" in plain.run("pal list -o +max/mib") and "MAX/MiB" not in plain.run("pal list")
    plain.error("pal list -o name,colour", 2, "PAL-USE-001")
    plain.run("pal set Domain-0 --weight 512")
    assert plain.json("pal info 0")["domain"]["weight"] == 512
    plain.error("pal set Domain-0 --vcpus 1", 4, "PAL-DOM-004")
    plain.error("pal rename Domain-0 zero", 4, "PAL-DOM-004")
    plain.error("pal logs Domain-0", 4, "PAL-DOM-004")
    plain.error("pal logs nobody", 3, "PAL-DOM-001")
    plain.run("pal set web --weight 300 --cap 50")
    web = plain.json("pal info web")["domain"]
    assert (web["weight"], web["cap"]) == (300, 50)
    plain.error("pal set web --vcpus 2", 2, "PAL-USE-001")
    top = plain.json("pal top")["domains"]
    assert [d["name"] for d in top] == ["Domain-0", "web"] and {"cpu_percent", "disk_reads", "sent_bytes"} <= set(top[1])
    batch = plain.run("pal top -b -i 2 -d 1 -o 'name,mem(k)'")
    assert len(re.findall(r"^web +196608$", batch, re.M)) == 2

    # The screen: drawn again, gone with q and with Ctrl-C.
    for leave in "q", "\x03":
        plain.qemu.send_line("pal top -d 1; echo screen=$?")
        plain.qemu.expect(r"\x1b\[\?1049h", 30)
        for _ in range(2):
            plain.qemu.expect(r"2 domains, \d running[\s\S]*?NAME +STATE +CPU\(sec\)", 30)
        plain.qemu.child.send(leave)
        plain.qemu.expect(r"\x1b\[\?1049l", 30)
        plain.qemu.expect(r"screen=0", 30)
        plain.qemu.expect(PROMPT, 30)
    plain.run("pal destroy web")

    # It starts with less than it may have.
    less = guest(plain, "less", more="<currentMemory unit=\"MiB\">128</currentMemory>", memory=192)
    assert "can be created" in plain.run(f"pal create {less} -n")
    plain.json(f"pal create {less}", limit=90)
    domain = plain.json("pal list less")["domains"][0]
    assert domain["memory_bytes"] == 128 << 20
    assert plain.run(f"xenstore-read /local/domain/{domain['id']}/memory/static-max").strip() == str(192 << 10)
    poll(plain, "pal logs less | grep -q GUEST-INIT", "the guest")
    plain.run("pal destroy less")

    # A user without rights; the daemons that do not run. Nothing is left of what was refused.
    plain.run("echo 'user:x:1000:1000::/:/bin/sh' >>/etc/passwd; echo 'user:x:1000:' >>/etc/group")
    as_user = "start-stop-daemon -S -c user -n none -a /bin/pal --"
    for verb in "list", "info", "create /tmp/web.xml", "destroy web", "dmesg", "top -b -i 1":
        plain.error(f"{as_user} {verb}", 6, "PAL-HV-001")
    assert plain.json(f"{as_user} doctor", status=1)["fit"] is False
    plain.run("kill $(pidof xenconsoled); while pidof xenconsoled; do usleep 100000; done")
    plain.error("pal create /tmp/web.xml", 6, "PAL-CON-002")
    plain.error("pal run /tmp/web.xml", 126, "PAL-CON-002")
    nothing_left(plain, free)
    tests = {t["test"]: t for t in plain.json("pal doctor", status=1)["tests"]}
    assert not tests["console daemon"]["good"] and "xenconsoled" in tests["console daemon"]["remedy"]
    plain.run("kill -9 $(pidof xenstored); while pidof xenstored; do usleep 100000; done")
    for verb in "list", "create /tmp/web.xml", "shutdown web", "info web":
        plain.error(f"pal {verb}", 6, "PAL-STO-001")
    tests = {t["test"]: t for t in plain.json("pal doctor", status=1)["tests"]}
    assert not tests["store"]["good"] and "xenstored" in tests["store"]["remedy"]

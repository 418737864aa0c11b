# SPDX-License-Identifier: MIT
"""Several guests shut down together, by name, all of them, and with domain 0; on one CPU, where a busy one waits its turn."""

from qemu import Qemu
from test_cli import guest, names, poll
from test_domains import PROMPT, domain0, domains_image, machine  # noqa: F401

STUBBORN = "echo,>/bin/poweroff;while,:;do,:;done"
DISK = "<disk type='block'><source dev='/dev/vda'/><target dev='xvda'/></disk>"


def state(control, name):
    return control.json(f"pal list {name}")["domains"][0]["state"]


def booted(control, name, times=1):
    poll(control, f"[ $(pal logs {name} | grep -c GUEST-INIT) = {times} ]", f"the boot of {name}", 120)


def test_together(directory):
    directory.mkdir(parents=True, exist_ok=True)
    disk = directory / "disk.raw"
    disk.write_bytes(bytes(1 << 20))
    drive = ("-nic", "none", "-drive", f"file={disk},format=raw,if=virtio")
    with Qemu(machine(cpus=1, devices=drive), directory) as qemu:
        control = domain0(qemu)
        control.run("export NO_COLOR=1")
        for name, run in (("stubborn", STUBBORN), ("good", ""), ("better", "")):
            control.json(f"pal create {guest(control, name, run)}", limit=120)
        for name in "stubborn", "good", "better":
            booted(control, name)
        assert state(control, "stubborn") == "runnable"  # domain 0 has the CPU
        poll(control, "pal list good | grep -q ' blocked '", "the guest at its prompt")

        before = {d["name"]: d["id"] for d in control.json("pal list")["domains"]}
        answer = control.json("pal reboot good better --wait", limit=240)
        for name in "good", "better":
            booted(control, name, 2)
        after = {d["name"]: d["id"] for d in control.json("pal list")["domains"]}
        assert {d["name"]: d["id"] for d in answer["domains"]} == {n: after[n] for n in ("good", "better")}
        assert all(after[n] != before[n] for n in ("good", "better"))

        # None is asked unless all can be.
        control.error("pal shutdown good nobody", 3, "PAL-DOM-001")
        control.run("pal pause better")
        control.error("pal shutdown good better --wait", 4, "PAL-DOM-003")
        assert control.run(f"xenstore-read /local/domain/{after['good']}/control/shutdown").split() == []
        assert sorted(names(control)) == ["Domain-0", "better", "good", "stubborn"]
        control.run("pal unpause better")
        # One that does not end keeps nobody else from it.
        control.error("pal shutdown stubborn good better --timeout 30 --progress=none", 7, "PAL-DOM-005")
        poll(control, "! pal list | grep -Eq '^(good|better) '", "the ends of those that were asked", 120)
        assert names(control) == ["Domain-0", "stubborn"]
        control.json("pal create /tmp/good.xml", limit=120)
        booted(control, "good", 3)
        control.run("pal pause stubborn")
        control.error("pal shutdown --all --wait --progress=none", 4, "PAL-DOM-003")
        poll(control, "! pal list | grep -Eq '^(good|\\(unnamed\\)) '", "the end of the one that could", 120)
        assert names(control) == ["Domain-0", "stubborn"]
        control.run("pal destroy stubborn")
        control.json("pal shutdown --all --wait")

        # The end of domain 0's shell is the machine's; the guest has its time to write.
        guest(control, "last")
        control.run(f"sed -i \"s|<devices>|<devices>{DISK}|\" /tmp/last.xml")
        control.json("pal create /tmp/last.xml", limit=120)
        control.qemu.send_line("pal console last")
        control.qemu.expect(r"guest:\S+# ", 120)
        control.qemu.send_line("sed -i 's|^sync|sleep 1; echo bye >/dev/xvda; sync|' /bin/poweroff; echo set=$((40 + 2))")
        control.qemu.expect(r"set=42", 30)
        control.qemu.child.send("\x1d")
        control.qemu.expect(PROMPT, 30)
        control.qemu.send_line("exit")
        qemu.wait_exit(120)
        assert qemu.shutdown_reason() == "guest-shutdown"
        qemu.check_log()
    assert disk.read_bytes()[:4] == b"bye\n"
    disk.unlink()

# SPDX-License-Identifier: MIT
"""Memory that moves between many guests: loads that come and go, targets at random, two that want room at once, and those
who do not play along."""

import re
import subprocess

import pytest

import qemu as q
from layer import described, domains_with, program
from qemu import Qemu
from test_balloon import CONFIG, COUNTED, MIB, memory, start_daemon
from test_domains import audit, domain0, domains_image, machine, steps  # noqa: F401

SOURCES = "tests/e2e/moved"

GUEST = """<domain type='xen'><name>{name}</name><memory unit='MiB'>{most}</memory>
<currentMemory unit='MiB'>{now}</currentMemory>
<metadata><pal:domain xmlns:pal='urn:palimpsest:domain:1'><pal:minimum unit='MiB'>{least}</pal:minimum></pal:domain></metadata>
<os><type arch='x86_64' machine='xenpv'>linux</type><kernel>/guest/{kernel}</kernel>
<initrd>/guest/moved-initrd.gz</initrd><cmdline>console=hvc0 {words}</cmdline></os>
<devices>{disk}<console type='pty'/></devices></domain>
"""
DISK = "<disk type='file' device='disk'><source file='/tmp/{name}.img'/><target dev='xvda' bus='xen'/></disk>"


def guest(name, most, now, least, swap=False):
    words = "guest.agent guest.run=swap" if swap else "guest.agent"
    disk = DISK.format(name=name) if swap else ""
    return GUEST.format(name=name, most=most, now=now, least=least, kernel="vmlinuz", words=words, disk=disk).encode()


LOADED = [f"g{i}" for i in range(1, 9)]
GUESTS = {name: guest(name, 288, 128, 72, swap=True) for name in LOADED}


@pytest.fixture(scope="session")
def initrd(domains_image):  # noqa: F811
    subprocess.run(["make", "-s", "-C", q.TOP, f"BUILD={q.BUILD}", "guests"], check=True, stdout=subprocess.DEVNULL)
    files = [*described(GUESTS), ("guest/targets", TARGETS.encode(), 0o755),
             ("guest/answer.elf", (q.BUILD / "guest/answer.elf").read_bytes(), 0o644)]
    inside = [program("bin/worker", f"{SOURCES}/worker.c"), ("bin/swap", (q.TOP / SOURCES / "swap").read_bytes(), 0o755)]
    with domains_with(files, inside, "moved-initrd.gz") as own:
        yield own


@pytest.fixture
def control(request, directory, initrd):
    with Qemu(machine(initrd=initrd, **getattr(request, "param", {})), directory) as qemu:
        yield domain0(qemu)
        qemu.check_log()


def log(name):
    return f"/var/log/xen/console/guest-{name}.log"


def logged(name, pattern, count=1, limit=120):
    """A command: until so many lines of the guest's console hold the pattern."""
    return (f"for i in $(seq {steps(limit * 5)}); do n=$(grep -ac '{pattern}' {log(name)}); [ ${{n:-0}} -ge {count} ] && break; "
            f"usleep 200000; done; [ ${{n:-0}} -ge {count} ]")


def wait_log(control, name, pattern, count=1, limit=120):
    control.run(logged(name, pattern, count, limit), limit=2 * limit)


def type_in(control, name, line):
    """As if it had been typed on the guest's console."""
    control.run(f"id=$(pal list {name} -o ID | tail -n 1 | tr -d ' '); echo '{line}' >$(xenstore-read /local/domain/$id/console/tty)")


def create(control, name):
    """A guest with its swap."""
    control.run(f"truncate -s 96M /tmp/{name}.img")
    control.json(f"pal create /guest/{name}.xml", limit=180)
    wait_log(control, name, "SWAP-ON")


def took(control, name, turn):
    """What the bursts of the guest's nth load took."""
    wait_log(control, name, "^WORKER-TOOK", turn)
    return int(re.findall(r"WORKER-TOOK (\d+)", control.run(f"grep -a ^WORKER-TOOK {log(name)}"))[turn - 1])


def restart_daemon(control):
    control.run("kill -9 $(cat /tmp/pid)")
    start_daemon(control)


def move_load(control, names, turns, bursts):
    """The load goes from guest to guest; each must do its work as fast as with memory that is its own."""
    control.run(f"printf '{CONFIG}' >/tmp/balloon.conf; mkdir -p /etc/pal")
    create(control, names[0])
    control.json(f"pal balloon {names[0]} 288M --wait", limit=120)
    type_in(control, names[0], f"worker 128 {bursts}")
    fixed = took(control, names[0], 1)
    control.json(f"pal balloon {names[0]} 128M --wait", limit=120)
    for name in names[1:]:
        create(control, name)
    start_daemon(control)
    done = {names[0]: 1}
    for number in range(turns):
        name = names[number % len(names)]
        done[name] = done.get(name, 0) + 1
        type_in(control, name, f"worker 128 {bursts}")
        # In one command: the machine's time goes on while nobody types.
        now = memory(control, after=logged(name, "^WORKER-FULL", done[name]), limit=240)[1]
        assert now[name]["current_bytes"] > 180 * MIB, "the memory did not follow"
        restart_daemon(control)
        share = fixed / took(control, name, done[name])
        print(f"turn {number}: {name} had {now[name]['current_bytes'] // MIB} MiB, {share:.3f} of the fixed memory's throughput")
        assert share > 0.9
    for name in names:
        text = control.run(f"pal logs {name}")
        assert "Out of memory" not in text and "oom-kill" not in text, "a guest's own killer was at work"
    control.run("kill $(cat /tmp/pid)")
    for name in names:
        control.run(f"pal destroy {name}")
    audit(control)


FOUR = dict(COUNTED, memory="1408M", dom0_mem="640M")
EIGHT = dict(COUNTED, memory="2144M", dom0_mem="896M")


@pytest.mark.parametrize("control", [FOUR], indirect=True, ids=["counted"])
def test_moving_load(control):
    """Of four guests one after the other works: all the memory there is would not do for all of them at once."""
    move_load(control, LOADED[:4], 4, 18)


@pytest.mark.soak
@pytest.mark.parametrize("control", [EIGHT], indirect=True, ids=["counted"])
def test_moving_load_of_eight(control):
    """The same with eight, round and round."""
    move_load(control, LOADED, 24, 10)


PRESSED = ["p1", "p2", "p3"]
GUESTS.update({name: guest(name, 208, 112, 80, swap=True) for name in PRESSED})
GUESTS["brief"] = guest("brief", 112, 112, 80)

# What a targets run does in domain 0: targets at random, some waited for, and a domain that comes and goes meanwhile. Every command
# must end with a status that is meant for it: 0; 1 the guest's own floor; 4 it ended; 5 no memory; 7 late or silent.
TARGETS = """
n=0 done=0 refused=0 made=0
while [ $n -lt $1 ]; do
    n=$((n + 1))
    name=p$((1 + RANDOM % 3)) wait=
    [ $((RANDOM % 8)) != 0 ] || wait="--deadline 3"
    pal balloon $name $((80 + RANDOM % 129))M $wait >/tmp/said 2>&1
    case $? in
    0) done=$((done + 1)) ;;
    1 | 5 | 7) refused=$((refused + 1)) ;;
    *) cat /tmp/said; echo BAD-STATUS; break ;;
    esac
    if [ $((n % 20)) = 0 ]; then
        pal create /guest/brief.xml >/tmp/said 2>&1
        case $? in
        0) made=$((made + 1)) ;;
        5) ;;
        *) cat /tmp/said; echo BAD-CREATE; break ;;
        esac
        (usleep $((RANDOM * 40)); pal destroy brief) >/dev/null 2>&1
    fi
done
echo TARGETS n=$n done=$done refused=$refused made=$made
"""


def random_targets(control, count):
    """Targets change at random while the guests take and give memory themselves; nothing gets lost."""
    control.json("pal create /guest/brief.xml", limit=120)
    control.run("pal destroy brief")
    free = memory(control)[0]["free_bytes"]  # once there has been a domain, so that nothing is made that stays
    for name in PRESSED:
        create(control, name)
        # As much as it may come to have is always touched by somebody: pages that go are pages that were in use.
        type_in(control, name, "while worker 60 2; do :; done >/dev/null &")
    text = control.run(f"sh /guest/targets {count}", limit=1800)
    found = re.search(r"TARGETS n=(\d+) done=(\d+) refused=(\d+) made=(\d+)", text)
    assert found and "BAD" not in text, text
    n, done, refused, made = map(int, found.groups())
    print(found.group(0))
    assert n == count == done + refused and done > count / 2 and made > 0
    for name in PRESSED:
        text = control.run(f"pal logs {name}")
        assert "Kernel panic" not in text and "BUG:" not in text, text
    control.run("/checks/audit | grep 'books pass'", limit=120)  # its other part wants no domain but domain 0
    for name in PRESSED:
        control.run(f"pal destroy {name}")
    m, _ = memory(control)
    assert free - m["free_bytes"] < MIB and m["moving_bytes"] == 0 and m["promised_bytes"] == 0
    audit(control)


SMALL = {"memory": "1460M", "dom0_mem": "1000M"}  # domain 0 holds their swap


@pytest.mark.parametrize("control", [SMALL], indirect=True, ids=["small"])
def test_random_targets(control):
    random_targets(control, 100)


@pytest.mark.soak
@pytest.mark.parametrize("control", [SMALL], indirect=True, ids=["small"])
def test_thousand_random_targets(control):
    random_targets(control, 1000)


GUESTS["giver"] = guest("giver", 352, 352, 96)
GUESTS.update({name: guest(name, 160, 160, 96) for name in ("left", "right")})
GUESTS["third"] = guest("third", 256, 256, 96)
AT_ONCE = {"memory": "1100M", "dom0_mem": "640M"}


def at_once(control, *commands):
    """All of them at the same time; their statuses and what they said."""
    for i, command in enumerate(commands):
        control.run(f"( ({command} >/tmp/out{i} 2>&1; echo $? >/tmp/status{i}) </dev/null >/dev/null 2>&1 & )")
    got = []
    for i, command in enumerate(commands):
        control.run(f"for n in $(seq 900); do [ -s /tmp/status{i} ] && break; usleep 200000; done", limit=240)
        text = control.run(f"cat /tmp/status{i} /tmp/out{i}; rm -f /tmp/status{i}")
        got.append((int(re.search(r"^(\d+)\s*$", text, re.M).group(1)), text))
    return got


@pytest.mark.parametrize("control", [AT_ONCE], indirect=True, ids=["small"])
def test_two_at_once(control):
    """Two domains that both need room made get it both, when there is enough; when there is only enough for one, one does."""
    control.json("pal create /guest/giver.xml", limit=120)
    wait_log(control, "giver", "GUEST-INIT")
    free = memory(control)[0]["free_bytes"] // MIB
    assert free < 150, free
    said = at_once(control, "pal create /guest/left.xml", "pal create /guest/right.xml")
    assert [status for status, _ in said] == [0, 0], said
    assert any("making room: giver gives" in text for _, text in said)
    for name in ("left", "right"):
        wait_log(control, name, "GUEST-INIT")
    m, domains = memory(control)
    assert domains["left"]["current_bytes"] == domains["right"]["current_bytes"] == 160 * MIB
    assert m["promised_bytes"] == 0
    # Ended again, what they leave does for one more, not for two.
    control.run("pal destroy right")
    room = (m["free_bytes"] + 160 * MIB + domains["giver"]["current_bytes"] - domains["giver"]["minimum_bytes"]) // MIB
    control.run(f"sed 's|third|fourth|; s|>256<|>{room - 40}<|g' /guest/third.xml >/tmp/fourth.xml; sed 's|fourth|fifth|' /tmp/fourth.xml >/tmp/fifth.xml")
    said = at_once(control, "pal create /tmp/fourth.xml", "pal create /tmp/fifth.xml")
    assert sorted(status for status, _ in said) == [0, 5], said
    assert "[PAL-MEM-001]" in max(said)[1]
    m, domains = memory(control)
    assert ("fourth" in domains) != ("fifth" in domains) and m["promised_bytes"] == 0
    for name in set(domains) - {"Domain-0"}:
        control.run(f"pal destroy {name}")
    audit(control)


GUESTS["dumb"] = GUEST.format(name="dumb", most=64, now=64, least=32, kernel="answer.elf", words="-", disk="").replace(
    "<initrd>/guest/moved-initrd.gz</initrd>", "").encode()
GUESTS["liar"] = guest("liar", 256, 160, 80)
GUESTS["good"] = guest("good", 256, 160, 80, swap=True)


def decided(control, later=0):
    """The daemon has decided what `good` is to have, now or so many seconds later."""
    control.run(f"now=$(( $(date +%s) + {later} )); for i in $(seq 200); do "
                "at=$(pal balloon good --explain --json | grep -o '\"at\": *[0-9]*' | tr -dc 0-9); "
                "[ ${at:-0} -ge $now ] && break; usleep 100000; done; [ $at -ge $now ]", limit=120)


@pytest.mark.parametrize("control", [AT_ONCE], indirect=True, ids=["small"])
def test_who_does_not_play(control):
    """A guest that ignores what it is asked, one that lies, one that ends meanwhile; a store that is away; sizes that are none."""
    for name in ("dumb", "liar"):
        control.json(f"pal create /guest/{name}.xml", limit=120)
    create(control, "good")
    wait_log(control, "liar", "GUEST-INIT")
    # It has no driver: it keeps what it has, and gets no more.
    control.error("pal balloon dumb 48M --wait", 7, "PAL-MEM-006")
    fixed = memory(control)[1]["dumb"]
    assert fixed["limit_bytes"] == fixed["current_bytes"] == fixed["target_bytes"]
    for size in ("-1M", "1e9", "128MB", "0x80M", "18446744073709551615G", "18014398509481985K", "128M256M", "''"):
        control.error(f"pal balloon -- good {size}", 2, "PAL-USE-001")
    assert memory(control)[1]["good"]["target_bytes"] == 160 * MIB, "a refusal changed the target"

    # The daemon moves the others' memory all the same; a lie holds no more than the liar's own share.
    control.run(f"printf '{CONFIG}' >/tmp/balloon.conf; mkdir -p /etc/pal")
    start_daemon(control)
    control.run("id=$(pal list liar -o ID | tail -n 1 | tr -d ' '); xenstore-ls /local/domain/$id/data >/dev/null")
    for lie in ("99999999999999999999 1 1", "1 -5 10000", "words", "200000 999999999999 10000"):
        control.run(f"id=$(pal list liar -o ID | tail -n 1 | tr -d ' '); xenstore-write /local/domain/$id/data/pal-memory '{lie}'")
        decided(control, 2)
        assert memory(control)[1]["liar"]["current_bytes"] <= 256 * MIB
    type_in(control, "good", "worker 110 2000")
    wait_log(control, "good", "^WORKER-FULL")
    # Both want more than there is; by their shares each gets half of it in the end, whatever the liar says.
    for _ in range(60):
        domains = memory(control)[1]
        good, liar = (domains[name]["current_bytes"] for name in ("good", "liar"))
        if good > 150 * MIB and liar < 0.56 * (good + liar):
            break
        control.run("sleep 1")
    assert good > 150 * MIB and liar < 0.56 * (good + liar), (good, liar)
    assert "Out of memory" not in control.run("pal logs good")

    # The store is away: pal says so, the daemon tries again, and goes on when it is back.
    control.run("kill -9 $(cat /tmp/pid); mv /run/xenstored/socket /run/xenstored/away")
    for _ in range(3):
        control.error("pal balloon good 200M", 6, "PAL-STO-001")
    start_daemon(control)
    control.run("for i in $(seq 200); do grep -q 'trying again' /tmp/balloon.log && break; usleep 100000; done; "
                "grep -q 'trying again' /tmp/balloon.log; said=$?; mv /run/xenstored/away /run/xenstored/socket; [ $said = 0 ]")
    decided(control)

    # A guest that dies while it is waited for: not an answer about its successor either.
    control.run("kill $(cat /tmp/pid)")
    control.run("( (pal balloon dumb 40M --wait >/tmp/out 2>&1; echo $? >/tmp/status) </dev/null >/dev/null 2>&1 & ); "
                "id=$(pal list dumb -o ID | tail -n 1 | tr -d ' '); for i in $(seq 200); do "
                "[ $(xenstore-read /local/domain/$id/memory/target) = 40960 ] && break; usleep 100000; done; pal destroy dumb", limit=90)
    control.run("for i in $(seq 100); do [ -s /tmp/status ] && break; usleep 200000; done", limit=60)
    text = control.run("cat /tmp/out; echo status=$(cat /tmp/status)")
    assert "[PAL-MEM-008]" in text and "status=4" in text
    for name in ("liar", "good"):
        control.run(f"pal destroy {name}")
    m, domains = memory(control)
    assert set(domains) == {"Domain-0"} and m["promised_bytes"] == 0
    audit(control)

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every verb's words where there is no hypervisor: help, wrong words, the three lines, JSON, exit statuses."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[3]
PAL = os.environ.get("PAL", TOP / "build/tools/pal")
THREE_LINES = re.compile(r"pal: .+\n  why: .+\n  do:  .+  \[(PAL-[A-Z]+-\d{3})\]\n")
wrong = []
RUN_DIRECTORY = tempfile.TemporaryDirectory()


def expect(condition, message):
    if not condition:
        wrong.append(message)


def pal(*words):
    return subprocess.run([PAL, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
                          env={**os.environ, "PAL_RUN_DIR": RUN_DIRECTORY.name, "TERM": "linux"})


def fails(words, status, code):
    """Three lines of that code on standard error, nothing on standard output; with --json the same in an object."""
    done = pal(*words)
    lines = THREE_LINES.fullmatch(done.stderr)
    said = f"pal {' '.join(words)}: status {done.returncode}\n{done.stderr}{done.stdout}"
    expect(done.returncode == status, f"not {status}: {said}")
    expect(lines and lines.group(1) == code and not done.stdout, f"not {code}: {said}")
    done = pal(*words, "--json")
    expect(done.returncode == status and THREE_LINES.fullmatch(done.stderr), f"with --json: {said}")
    try:
        answer = json.loads(done.stdout)
        expect(answer["version"] == 1 and answer["verb"] == words[0], f"answer: {answer}")
        expect(answer["error"]["code"] == code, f"answer: {answer}")
        expect({"what", "why", "remedy", "exit"} <= set(answer["error"]), f"answer: {answer}")
    except ValueError:
        expect(False, f"no JSON: {said}")


verbs = json.loads(pal("help", "--json").stdout)["verbs"]
for verb in verbs:
    name, arguments = verb["name"], verb["arguments"]
    usage = 125 if name == "run" else 2
    for word in [name, *verb["aliases"].split()]:
        text = pal(word, "--help")
        expect(text.returncode == 0 and text.stdout.startswith(f"Usage: pal {name} "), f"help of {word}: {text}")
    for option in verb["options"]:
        expect(f"--{option['name']}" in pal(name, "--help").stdout, f"help of {name}: --{option['name']}")
    fails([name, "--no-such-option"], usage, "PAL-USE-001")
    if arguments and not arguments.startswith("["):
        fails([name], usage, "PAL-USE-001")
    if "..." not in arguments:
        fails([name, *"abc"], usage, "PAL-USE-001")

fails(["frobnicate"], 2, "PAL-USE-002")
fails(["help", "frobnicate"], 2, "PAL-USE-002")
fails(["completion", "tcsh"], 2, "PAL-USE-001")
for verb in "shutdown", "reboot":
    fails([verb], 2, "PAL-USE-001")
    fails([verb, "web", "--all"], 2, "PAL-USE-001")
fails(["set", "web"], 2, "PAL-USE-001")
fails(["set", "web", "--weight", "0"], 2, "PAL-USE-001")
fails(["set", "web", "--weight", "x"], 2, "PAL-USE-001")
fails(["set", "web", "--cap", "-5"], 2, "PAL-USE-001")
fails(["logs", "web", "-n", "many"], 2, "PAL-USE-001")
fails(["top", "-d", "0"], 2, "PAL-USE-001")
fails(["top", "-i"], 2, "PAL-USE-001")
fails(["create", "x.xml", "--progress=loud"], 2, "PAL-USE-001")
fails(["create", "/no/such/file.xml"], 1, "PAL-XML-004")
fails(["run", "/no/such/file.xml"], 127, "PAL-XML-004")
with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
    file.write("<domain type='xen'>\n<name>web</name>\n<memory unit='MiB'>192</memory>\n")
    file.flush()
    fails(["create", file.name], 1, "PAL-XML-001")
    fails(["run", file.name], 126, "PAL-XML-001")
    expect(f"{file.name}:" in pal("create", file.name).stderr, "the line of a bad file is not named")

# Without the hypervisor: everything that needs it says so, and nothing else does.
if not os.path.exists("/proc/xen/capabilities"):
    web = TOP / "tools/dom0-image/guest/web.xml"
    for words in (["list"], ["info"], ["console", "web"], ["logs", "web"], ["pause", "web"], ["unpause", "web"],
                  ["shutdown", "web"], ["reboot", "web"], ["destroy", "web"], ["rename", "a", "b"],
                  ["set", "web", "-w", "9"], ["top"], ["dmesg"], ["watch"], ["create", str(web)]):
        fails(words, 6, "PAL-HV-001")
    fails(["run", str(web)], 125, "PAL-HV-001")
    doctor = pal("doctor", "--json")
    answer = json.loads(doctor.stdout)
    expect(doctor.returncode == 1 and answer["fit"] is False, f"doctor: {answer}")
    for test in answer["tests"]:
        expect(test["good"] or test["remedy"], f"doctor: {test}")
expect(json.loads(pal("schema", "--json").stdout)["schema"] == pal("schema").stdout, "schema")
expect(json.loads(pal("completion", "bash", "--json").stdout)["script"] == pal("completion", "bash").stdout, "completion")
expect(not os.listdir(RUN_DIRECTORY.name) or os.listdir(RUN_DIRECTORY.name) == ["watch.lock"], "something is left")

with open("/dev/full", "w") as full:
    done = subprocess.run([PAL, "schema"], stdout=full, stderr=subprocess.PIPE, text=True)
expect(done.returncode == 1 and THREE_LINES.fullmatch(done.stderr), f"a full disk: {done}")

print("\n".join(wrong) or f"{len(verbs)} verbs are right")
sys.exit(bool(wrong))

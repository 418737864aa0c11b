#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The manual pages say what the tables say: verbs and options (pal help --json), error codes (error.c, error.h),
elements of domain files (schema.rng)."""

import json
import os
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[3]
TOOLS = TOP / "tools"
PAL = os.environ.get("PAL", TOP / "build/tools/pal")
wrong = []


def page(name):
    """The page without the marks of bold and underlined text."""
    return re.sub(r"[*_]", "", (TOOLS / "pal" / name).read_text().replace("\\_", "\0")).replace("\0", "_")


def section(text, heading):
    return re.search(rf"^# {heading}\n(.*?)(?=^# |\Z)", text, re.S | re.M).group(1)


def expect(condition, message):
    if not condition:
        wrong.append(message)


def check_verbs():
    verbs = json.loads(subprocess.run([PAL, "help", "--json"], check=True, capture_output=True).stdout)["verbs"]
    # An entry is a line that is not indented, and indented lines below it.
    entries = re.findall(r"^(\S.*)\n((?:\t.*\n)+)", section(page("pal.1.scd"), "VERBS"), re.M)
    expect([head.split()[0] for head, _ in entries] == [v["name"] for v in verbs], "pal.1: the verbs, or their order")
    for verb, (head, body) in zip(verbs, entries):
        name = verb["name"]
        for alias in verb["aliases"].split():
            expect(re.search(rf"\b{alias}\b", body), f"pal.1: {name}: alias {alias}")
        expect(head[len(name):].strip().startswith(verb["arguments"]), f"pal.1: {name}: {verb['arguments']}")
        described = set(re.findall(r"--([a-z-]+)", head))
        expect(described == {o["name"] for o in verb["options"]}, f"pal.1: {name}: options {sorted(described)}")
        for option in verb["options"]:
            if option["letter"]:
                expect(f"-{option['letter']}|--{option['name']}" in head, f"pal.1: {name}: -{option['letter']}")
            if option["value"] and option["name"] != "progress":
                expect(f"--{option['name']} {option['value']}" in head, f"pal.1: {name}: {option['value']}")


def check_codes():
    table = (TOOLS / "libpal/error.c").read_text()
    names = re.search(r"enum pal_code \{(.*?)\}", (TOOLS / "libpal/error.h").read_text(), re.S).group(1)
    names = [n for n in re.findall(r"\bPAL_\w+", names) if n not in ("PAL_OK", "PAL_CODES")]
    statuses = dict(re.findall(r"(PAL_EXIT_\w+) = (\d+)", (TOOLS / "libpal/error.h").read_text()))
    rows = {name: (code, statuses[status], remedy)
            for name, code, status, remedy in re.findall(r"\[(PAL_\w+)\] =\s*\{\"(PAL-[\w-]+)\",\s*(PAL_EXIT_\w+),\s*\"(.*?)\"\}", table, re.S)}
    expect(set(rows) - {"PAL_OK"} == set(names), "error.c: a code without a row, or a row without a code")
    codes = [rows[n][0] for n in names if n in rows]
    expect(len(set(codes)) == len(codes), "error.c: two codes of one name")
    described = dict(re.findall(r"^(PAL-\w+-\d+) \((\d+)\)\n\t\S", page("pal-errors.7.scd"), re.M))
    expect(described == {rows[n][0]: rows[n][1] for n in names if n in rows},
           f"pal-errors.7: {sorted(set(described.items()) ^ {(rows[n][0], rows[n][1]) for n in names if n in rows})}")
    sources = "".join(p.read_text() for part in (TOOLS, TOP / "save-restore") for p in part.rglob("*.c")
                      if p.name != "error.c")
    for name in names:
        expect(re.search(rf"\b{name}\b", sources), f"{name} is used nowhere")
        expect(rows.get(name, ("", "", ""))[2].strip(), f"{name} has no remedy")
    for code in set(re.findall(r"PAL-[A-Z]+-\d+", page("pal.1.scd") + page("pal.xml.5.scd") + sources)):
        expect(code in described, f"{code} is mentioned, but there is no such code")


def check_elements():
    schema = (TOOLS / "libpal/schema.rng").read_text()
    text = (TOOLS / "pal/pal.xml.5.scd").read_text().replace("\\_", "_")
    for name in sorted(set(re.findall(r"<element name=\"([\w]+)\"", schema))):
        expect(re.search(rf"<(pal:)?{name}\b", text), f"pal.xml.5: <{name}>")
    for name in sorted(set(re.findall(r"<attribute name=\"([\w]+)\"", schema))):
        expect(re.search(rf"\b{name}=", text), f"pal.xml.5: attribute {name}")
    for unit in re.findall(r"<value>(\w+)</value>", re.search(r"name=\"unit\">(.*?)</attribute>", schema, re.S).group(1)):
        expect(re.search(rf"\b{unit}\b", text), f"pal.xml.5: unit {unit}")


check_verbs()
check_codes()
check_elements()
print("\n".join(wrong) or "the manual pages are right")
sys.exit(bool(wrong))

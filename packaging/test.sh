#!/bin/sh
# SPDX-License-Identifier: MIT
# test.sh BUILD [WORDS FOR MAKE]: builds and runs every part of the tests, each to its end or its own deadline, and adds up. A
# part that does not run, or does not end in time, has failed, and so has each of its tests that was not reached. All of it
# together takes less than an hour on two processors, and is over within 80 minutes wherever it runs. The last line is "N passed, N failed"; the logs stay in BUILD/test-logs.
#   PAL_PARTS="form e2e"   only these parts       PAL_JOBS=N   machines at a time (default 2)
#   PAL_TIME_SCALE=F       a factor on the deadlines inside the parts guest and e2e (default 3: for a busy machine)
set -u
build=$1
shift
logs=$build/test-logs
: "${PAL_JOBS:=2}" "${PAL_TIME_SCALE:=3}"
export PAL_JOBS PAL_TIME_SCALE
PAL_BUILD=$(realpath -m "$build")
export PAL_BUILD
make="make --no-print-directory -j$PAL_JOBS $* BUILD=$build"
unset MAKEFLAGS MFLAGS MAKELEVEL
rm -rf "$logs"
mkdir -p "$logs"
all_passed=0
all_failed=0
began=$(date +%s)
budget=4800

# Each part runs in a process group of its own, which ends with the part's deadline or with us.
trap 'kill "$(cat "$logs/running")" 2>/dev/null; exit 130' INT TERM HUP

now() {
    echo $(($(date +%s) - began))
}

# run NAME LIMIT COMMAND...: shows and keeps the output; the status goes to $status.
run() {
    name=$1
    limit=$(($2 < budget - $(now) ? $2 : budget - $(now)))
    shift 2
    log=$logs/$name.log
    echo "--- $name"
    started=$(now)
    {
        # shellcheck disable=SC2016 # expanded by the inner shell
        sh -c 'echo $$ >"$0"; exec timeout -k 15 "$@"' "$logs/running" "$((limit > 0 ? limit : 1))" "$@" </dev/null 2>&1
        echo $? >"$logs/status"
    } | tee "$log"
    status=$(cat "$logs/status")
    ! timed_out || echo "--- $name: not done after $limit seconds"
}

timed_out() { # the part that ran last
    [ "$status" -eq 124 ] || [ "$status" -eq 137 ]
}

# What the log says of that: the last of the lines by which compilers, make, the hostile guests' runner, pytest, cmocka and
# the sanitizers name a failure.
failures() {
    { grep -aE ': FAIL |: error: |^(FAILED|ERROR) |\[  FAILED  \] [a-z]|\[   LINE   \]|Sanitizer|runtime error:|^make: \*\*\*' "$log" \
        || tail -n 3 "$log"; } | tail -n 12 | cut -c 1-240 | sed "s/^/$name: /"
    ! timed_out || echo "$name: not done in time"
}

# add PASSED FAILED: the part that ran last; one that ended badly without naming a failure, or ran nothing, counts as one.
add() {
    failed=$2
    [ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
    [ $(($1 + failed)) -gt 0 ] || failed=1
    all_passed=$((all_passed + $1))
    all_failed=$((all_failed + failed))
    printf '%-14s %4d passed, %d failed, %4d s\n' "$name" "$1" "$failed" $(($(now) - started)) >>"$logs/parts"
    tail -n 1 "$logs/parts" | sed 's/^/--- /'
    [ "$failed" -eq 0 ] || failures >>"$logs/failures"
}

lines() { # PATTERN FILE
    grep -c "$1" "$2" 2>/dev/null || true
}

# One that passes or fails as a whole.
single() {
    run "$@"
    add $((status == 0)) 0
}

# Parts of make, as many at a time as there are jobs; each ends with "N passed, N failed".
host() {
    run host 1500 $make -k -O "$@"
    # shellcheck disable=SC2046 # two numbers
    add $(awk '/^[0-9]+ passed, [0-9]+ failed$/ { p += $1; f += $3 } END { print p + 0, f + 0 }' "$log")
}

# Likewise, but each passes or fails as a whole.
fuzz() {
    run fuzz 900 $make -k -O "$@"
    bad=$(lines '^make: \*\*\* .*-fuzz-short\] Error' "$log")
    add $((status == 0 || bad > 0 ? $# - bad : 0)) "$bad"
}

part_form() {
    single format-check 60 $make format-check
    single header-check 120 $make header-check
    single clang 240 $make CC=clang BUILD="$build/clang" all guests tools header-check
    single debug 120 $make DEBUG=1 BUILD="$build/debug" all
    single reproducible 180 packaging/reproducible.sh "$build/reproducible"
}

part_host() {
    host host-test host-core-test host-x86-test host-boot-test host-tools-test host-balloon-test host-save-test host-ubc-test \
        host-shm-test
    fuzz host-fuzz-short host-x86-fuzz-short host-boot-fuzz-short host-tools-fuzz-short host-save-fuzz-short \
        host-shm-fuzz-short host-ubc-fuzz-short
}

# The hostile guests on a kind of CPU ("": what each asks for). One that hangs is ended after 240 s, scaled: there is time for that.
guests() {
    name=guest${1:+-$1}
    run "$name" 900 /usr/bin/python3 tests/guest/run.py --hv "$build/palimpsest" --build "$build" --logs "$build/$name-logs" \
        --jobs "$PAL_JOBS" --patience "$PAL_TIME_SCALE" --cpu "$1"
    ok=$(lines '^[^ ]*: ok (' "$log")
    add "$ok" $(($(/usr/bin/python3 tests/guest/run.py --list | wc -l) - ok))
}

part_guest() {
    guests ""
    guests max
    guests Haswell
}

part_e2e() {
    PAL_RESULTS=$PAL_BUILD/test-logs/e2e.results
    export PAL_RESULTS
    run e2e 4200 tests/e2e/run.sh
    ok=$(lines '^passed ' "$PAL_RESULTS")
    wanted=$(sed -n 's/^expected //p' "$PAL_RESULTS" 2>/dev/null | tail -n 1)
    add "$ok" $((${wanted:-1} - ok))
}

single build 600 $make all dom0 guests tools
for part in ${PAL_PARTS:-form host guest e2e}; do
    "part_$part"
done

echo "--- all parts, in $(now) s"
cat "$logs/parts"
$make size
cat "$logs/failures" 2>/dev/null
echo "$all_passed passed, $all_failed failed" | tee "$logs/tally"
[ "$all_failed" -eq 0 ]

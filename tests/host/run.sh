#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh LOGDIR PROGRAM...: runs each host test to its end, whatever the others did, with its output in
# LOGDIR/<name>.log, and ends with "N passed, N failed". A program counts by what cmocka reports; one without such a report
# counts as one test. A program that ends badly without naming a failed test is one failure.
set -u
logs=$1
shift
mkdir -p "$logs"
limit=${PAL_HOST_LIMIT:-300} # seconds for one program; the slowest needs about 20 on an idle machine
passed=0
failed=0

count() { # word, log: the sum over cmocka's "[  WORD  ] N test(s)" lines
    sed -n "s/^\[  $1  \] \([0-9]*\) test(s).*/\1/p" "$2" |
        awk '{ n += $1 } END { print n + 0 }'
}

for program in "$@"; do
    name=$(basename "$program")
    log=$logs/$name.log
    timeout -k 10 "$limit" "$program" >"$log" 2>&1 </dev/null
    status=$?
    p=$(count PASSED "$log")
    f=$(count FAILED "$log")
    [ "$status" -eq 0 ] || [ "$f" -gt 0 ] || f=1
    [ $((p + f)) -gt 0 ] || p=1
    passed=$((passed + p))
    failed=$((failed + f))
    echo "$name: $p passed, $f failed"
    [ "$f" -eq 0 ] || sed 's/^/    /' "$log" | tail -n 40
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

#!/bin/sh
# SPDX-License-Identifier: MIT
# test.sh BUILD: runs every suite, each to its end, and adds up. The last line is "N passed, N failed".
set -u
build=$1
logs=$build/test-logs
mkdir -p "$logs"
passed=0
failed=0

# add NAME STATUS PASSED FAILED: a suite that ended badly without naming a failure counts as one.
add() {
    bad=$4
    [ "$2" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    [ $(($3 + bad)) -gt 0 ] || bad=1
    passed=$((passed + $3))
    failed=$((failed + bad))
    echo "--- $1: $3 passed, $bad failed"
}

# sum PATTERN FILE...: adds up the number that \1 of the pattern catches on each matching line.
sum() {
    pattern=$1
    shift
    cat "$@" 2>/dev/null | sed -n "s/$pattern/\1/p" | awk '{ n += $1 } END { print n + 0 }'
}

# run NAME COMMAND...: shows and keeps the output; the status is left in $status.
run() {
    name=$1
    shift
    echo "--- $name"
    { "$@" 2>&1; echo $? >"$logs/$name.status"; } | tee "$logs/$name.log"
    status=$(cat "$logs/$name.status")
}

for check in header-check format-check; do
    run "$check" make --no-print-directory "$check"
    add "$check" "$status" $((status == 0)) 0
done

rm -f "$build"/host/*.log
run host make --no-print-directory -k host-test
add host "$status" "$(sum '.*\[  PASSED  \] \([0-9]*\) test.*' "$build"/host/*.log)" \
    "$(sum '.*\[  FAILED  \] \([0-9]*\) test.*' "$build"/host/*.log)"
run fuzz make --no-print-directory host-fuzz-short
add fuzz "$status" $((status == 0)) 0

run guest /usr/bin/python3 tests/guest/run.py --hv "$build/palimpsest" --build "$build"
add guest "$status" "$(sum '^\([0-9]*\) passed, [0-9]* failed$' "$logs/guest.log")" \
    "$(sum '^[0-9]* passed, \([0-9]*\) failed$' "$logs/guest.log")"

run e2e tests/e2e/run.sh
summary=$(tail -3 "$logs/e2e.log")
number() {
    echo "$summary" | sed -n "s/.*[^0-9]\([0-9][0-9]*\) $1.*/\1/p; s/^\([0-9][0-9]*\) $1.*/\1/p" | tail -1
}
p=$(number passed) f=$(number failed) e=$(number error)
add e2e "$status" "${p:-0}" $((${f:-0} + ${e:-0}))

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

#!/bin/sh
# SPDX-License-Identifier: MIT
# load.sh DATABASE BATCHES: four writers at once, each so many transactions of 200 rows; then every row is there.
database=$1 batches=$2
sqlite3 "$database" 'PRAGMA journal_mode=WAL; CREATE TABLE rows(writer INTEGER, text TEXT);' || exit 1

writer() {
    for batch in $(seq "$batches"); do
        {
            echo '.timeout 120000'
            echo 'BEGIN IMMEDIATE;'
            seq 200 | sed "s/.*/INSERT INTO rows VALUES($1, hex(randomblob(300)));/"
            echo 'COMMIT;'
        } | sqlite3 "$database" || return 1
    done
}

writers=
for number in 1 2 3 4; do
    writer $number &
    writers="$writers $!"
done
for process in $writers; do
    wait "$process" || exit 1
done

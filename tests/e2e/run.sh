#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh [pytest arguments, test files]: the end-to-end tests, two machines at a time.
#   PAL_HV=PATH|native   what to boot (default build/palimpsest)
#   PAL_JOBS=N           machines at a time (default 2)
#   PAL_MATRIX=full      the whole matrix       PAL_LONG=1   the long runs too
#   PAL_TIME_SCALE=F     stretch all deadlines on a busy machine
set -eu
here=$(cd "$(dirname "$0")" && pwd)
where=$here
for argument in "$@"; do
    [ ! -e "${argument%%::*}" ] || where=
done
exec env PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m pytest --rootdir "$here" -p no:cacheprovider -q \
    --tb=short -W ignore:setDaemon --reruns 3 --only-rerun EmulatorFault \
    -n "${PAL_JOBS:-2}" --dist load "$@" $where

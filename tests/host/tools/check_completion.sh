#!/bin/bash
# SPDX-License-Identifier: MIT
# What bash offers after some words, with a pal that knows two domains.
set -u
top=$(cd "$(dirname "$0")/../../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PAL:-$top/build/tools/pal}" completion bash >"$scratch/pal.bash" || exit 1
printf '#!/bin/sh\n[ "$*" = "list -o NAME" ] && printf "NAME\\nDomain-0\\nweb\\n"\n' >"$scratch/pal"
chmod +x "$scratch/pal"
PATH=$scratch:$PATH
touch "$scratch/domain.xml" "$scratch/domain.txt"
cd "$scratch" || exit 1
. ./pal.bash
compopt() { :; } # there is no line to complete
failed=0

offers() { # what is expected, then the words; the last one is being typed
    expected=$1
    shift
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    COMP_LINE="$*"
    COMP_POINT=${#COMP_LINE}
    _pal
    [ "${COMPREPLY[*]}" = "$expected" ] || {
        echo "$* offers '${COMPREPLY[*]}', not '$expected'"
        failed=1
    }
}

offers "create console cache completion" pal c
offers "shutdown" pal sh
offers "Domain-0 web" pal info ""
offers "web" pal stop w
offers "domain.xml" pal create d
offers "--progress= --paused" pal create --p
offers "auto bar json none" pal create --progress =
offers "bar" pal create --progress = b
offers "" pal set --weight = 3
offers "record" pal cache re
offers "domain.txt domain.xml" pal image verify d
offers "--wait" pal stop --w
offers "bash" pal completion ""
offers "shutdown" pal help sh
offers "" pal nonsense ""
[ $failed = 0 ] && echo "completion is right"
exit $failed

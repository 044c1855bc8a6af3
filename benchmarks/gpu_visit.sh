#!/usr/bin/env bash
# A visit to a machine with a GPU, without package registries, without the internet, and where no command may last long.
#
#   at home   benchmarks/gpu_visit.sh pack OUT     this checkout, wheels, CT and organ maps, in OUT/part-000, part-001, ...
#   there     cat part-* | tar -x; cd ssacl
#             benchmarks/gpu_visit.sh setup        an environment from the wheels that were brought
#             benchmarks/gpu_visit.sh step         bench, then rebuild, stage by stage: call it until it says "done"
#             benchmarks/gpu_visit.sh take OUT     tables, figures, notebooks and manifests, in OUT/PROFILE-00.tar, -01.tar, ...
#
# Each of them ends within ten minutes. A step that runs into its limit is interrupted (SIGINT, then SIGTERM, then SIGKILL) and
# exits with 75; the next one goes on from there: prepared films, training and results are kept, a benchmark and the drawing of
# a notebook begin anew. `step` exits with 0 when all is done, with 1 when a work failed: it says which, and how to leave it out.
#
# Variables (here with their values):
#   PROFILE=gpu           what is measured and rebuilt; PROFILE=smoke is a rehearsal of step and take without a GPU
#   LIMIT=540 GRACE=15    seconds of a step's works, and seconds between two signals
#   PART=16000000         most bytes of a file that pack or take makes
#   PYTHON=python3        in pack the interpreter with this library (.venv/bin/python), in setup the machine's own
#   VERSION=              pack: the machine's Python, as 3.12, where it is another one than that of PYTHON
#   TORCH=1               pack: 0 leaves torch out, for a machine that has one; setup sees the machine's own packages
#   SSACL=                step: another command than `PYTHON -m ssacl_lib` for the works, such as bench --only terms --profile gpu
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PROFILE=${PROFILE:-gpu} LIMIT=${LIMIT:-540} GRACE=${GRACE:-15} PART=${PART:-16000000} VERSION=${VERSION:-} TORCH=${TORCH:-1}
RESULTS=${SSACL_HOME:-$HERE}
STATE=$RESULTS/runs/visit/$PROFILE
WHEELS=runs/wheels
ROOM=$((PART / 10240 * 10240 - 1024)) # a tar ends with two empty blocks and is a multiple of 10240
unset SSACL_CACHE                      # all that a visit makes lies in the checkout
if [[ -z ${PYTHON:-} ]]; then
    PYTHON=python3
    if [[ ${1:-} != setup && -x $HERE/.venv/bin/python ]]; then PYTHON=$HERE/.venv/bin/python; fi
fi
COMMAND=("$PYTHON" -m ssacl_lib)
if [[ -n ${SSACL:-} ]]; then read -ra COMMAND <<<"$SSACL"; fi

fail() {
    echo "gpu_visit: $*" >&2
    exit 1
}

pack() {
    local out torch
    mkdir -p "$1" "$HERE/$WHEELS"
    out=$(cd "$1" && pwd)
    cd "$HERE"
    torch=$(grep -o 'torch>=[^"]*' pyproject.toml | head -n 1)
    local options=(--only-binary=:all: --dest "$WHEELS")
    if [[ -n $VERSION ]]; then options+=(--python-version "$VERSION"); fi
    "$PYTHON" -m pip download "${options[@]}" --no-deps -r constraints.txt
    if [[ $TORCH != 0 ]]; then "$PYTHON" -m pip download "${options[@]}" -c constraints.txt "$torch"; fi
    "$PYTHON" - "$PROFILE" <<'PYTHON_CODE'
import sys
from ssacl_lib.phantom.ct import get_ct
from ssacl_lib.phantom.organs import organ_maps
from ssacl_lib.settings import load_settings
get_ct()
organ_maps(load_settings(sys.argv[1]).data.image_size)
PYTHON_CODE
    rm -f "$out"/part-*
    { git ls-files && find -L "$WHEELS" data/ct data/organ_maps -type f; } | sort -u |
        tar --create --dereference --transform 's,^,ssacl/,' --files-from - | split -b "$PART" -d -a 3 - "$out/part-"
    echo "$(find "$out" -name 'part-*' | wc -l) parts in $out; there: cat part-* | tar -x"
}

setup() {
    cd "$HERE"
    [[ -d $WHEELS ]] || fail "no $WHEELS here: this is not what pack brought along"
    [[ -x .venv/bin/python ]] || "$PYTHON" -m venv --without-pip --system-site-packages .venv
    "$PYTHON" -m pip --python .venv/bin/python install --quiet --no-index --no-deps "$WHEELS"/*.whl
    .venv/bin/python -m ssacl_lib data get ct
    .venv/bin/python -c 'import torch; print("torch", torch.__version__, *([torch.cuda.get_device_name()] if torch.cuda.is_available() else ["sees no GPU"]))'
}

plan() { # the works of a visit, in their order
    cd "$HERE"
    "$PYTHON" - <<'PYTHON_CODE'
from ssacl_lib.command.stages import STAGES
from ssacl_lib.evaluation.benchmarks import PARTS
for part in PARTS:
    print("bench --only", part)
for stage in STAGES:
    print("rebuild --only", stage.name)
PYTHON_CODE
}

step() {
    local work words left code began total
    mkdir -p "$STATE"
    touch "$STATE/done"
    if [[ ! -s $STATE/plan ]]; then
        plan >"$STATE/plan.new"
        mv "$STATE/plan.new" "$STATE/plan"
    fi
    total=$(wc -l <"$STATE/plan")
    cd "$HERE"
    while read -r work <&3; do
        if grep -qxF -- "$work" "$STATE/done"; then continue; fi
        left=$((LIMIT - SECONDS))
        # a work that could only begin waits for a step of its own
        if ((4 * left < LIMIT)); then goes_on "$total" "$work"; fi
        read -ra words <<<"$work"
        words+=(--profile "$PROFILE")
        if [[ ${words[0]} == bench ]]; then
            if [[ $PROFILE == smoke ]]; then words+=(--quick); else words+=(--device cuda); fi
        fi
        echo "[$(($(wc -l <"$STATE/done") + 1))/$total] ${words[*]}: for at most $left s"
        began=$SECONDS code=0
        timeout --foreground --signal=TERM $((left + GRACE)) \
            timeout --foreground --signal=INT --kill-after=$((2 * GRACE)) "$left" "${COMMAND[@]}" "${words[@]}" 3<&- || code=$?
        echo "$(date -u +%FT%TZ) $work: $((SECONDS - began)) s, exit $code" >>"$STATE/log"
        case $code in
            0) echo "$work" >>"$STATE/done" ;;
            124 | 137) goes_on "$total" "$work" ;;
            *) fail "$work failed (exit $code); mend it and step again, or leave it out: echo '$work' >> $STATE/done" ;;
        esac
    done 3<"$STATE/plan"
    echo "done"
}

goes_on() {
    echo "time is up, $(wc -l <"$STATE/done") of $1 works are done: step again, it goes on with $2"
    exit 75
}

take() {
    local out file size list part filled=0 number=0
    mkdir -p "$1"
    out=$(cd "$1" && pwd)
    cd "$RESULTS"
    aside=$(mktemp -d)
    trap 'rm -rf "$aside"' EXIT
    list=$aside/list part=$aside/part
    rm -f "$out/$PROFILE"-[0-9]*.tar
    for file in "figures/$PROFILE" "runs/visit/$PROFILE"; do
        if [[ -d $file ]]; then find "$file" -type f; fi
    done >"$list"
    for file in "runs/start-$PROFILE" "runs/$PROFILE-seed0"; do
        if [[ -d $file ]]; then find "$file" -type f \( -name manifest.json -o -name history.csv \); fi
    done >>"$list"
    [[ -s $list ]] || fail "nothing of $PROFILE to take: step first"
    while read -r file; do
        size=$((($(stat --format %s "$file") + 511) / 512 * 512 + 1536)) # with its headers, those of a long name too
        ((size <= ROOM)) || fail "$file is larger than a file of $PART bytes: raise PART"
        if ((filled + size > ROOM)); then
            tar --create --file "$(printf '%s/%s-%02d.tar' "$out" "$PROFILE" "$number")" --files-from "$part"
            : >"$part"
            filled=0 number=$((number + 1))
        fi
        echo "$file" >>"$part"
        filled=$((filled + size))
    done <"$list"
    tar --create --file "$(printf '%s/%s-%02d.tar' "$out" "$PROFILE" "$number")" --files-from "$part"
    echo "$(wc -l <"$list") files in $((number + 1)) tars of $out"
}

case ${1:-} in
    pack | take)
        [[ $# == 2 ]] || fail "$1 needs a folder: gpu_visit.sh $1 OUT"
        "$1" "$2"
        ;;
    setup | step)
        [[ $# == 1 ]] || fail "$1 takes no argument"
        "$1"
        ;;
    *) fail "pack OUT, setup, step or take OUT? ($HERE/benchmarks/gpu_visit.sh says more at its top)" ;;
esac

# Sourced by the scripts that run several stages; `root` is the project's root.
#
# usage                 shows the comment at the top of the script that sources this
# whole_run FOLDER      begins a run of several stages, which log to FOLDER/log.jsonl
# whole_run_flags FOLDER ARGS...   the same, of [OUT] [--overwrite] [-v] [--quiet]: sets out (FOLDER), overwrite and talk
# step SCRIPT ARGS...   shows a stage's command in the form of docs/pipeline.md, then runs it
# summary               shows what the stages of the run took
#
# `talk` holds the flags that tell every stage how much to show: -v, --quiet, or none.
python=${PYTHON:-$([ -x "$root/.venv/bin/python" ] && echo "$root/.venv/bin/python" || echo python3)}
talk=()
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[-1]}"; }
whole_run() {
    outermost=${CASTSEARCH_RUN:+no}
    export CASTSEARCH_RUN=${CASTSEARCH_RUN:-$$-$(date +%s)} CASTSEARCH_LOG_FILE=${CASTSEARCH_LOG_FILE:-$1/log.jsonl}
}
whole_run_flags() {
    local word
    out=$1 overwrite=''
    shift
    for word in "$@"; do
        case $word in
            --overwrite) overwrite=$word ;;
            -v | --quiet) talk+=("$word") ;;
            -h | --help) usage; exit 0 ;;
            -*) echo "error: unknown option $word; --help lists them" >&2; exit 2 ;;
            *) out=$word ;;
        esac
    done
    out=$(realpath --relative-to=. "$out")
    whole_run "$out"
}
quiet() { [[ " ${talk[*]} " == *" --quiet "* ]]; }
step() {
    local script=$1 word line="\$ python3 $1"
    shift
    for word in "$@"; do
        [[ $word =~ ^[[:alnum:]_./=-]+$ ]] || word=${word@Q}
        line+=" $word"
    done
    quiet || printf '\n%s\n' "$line"
    "$python" "$root/$script" "$@" "${talk[@]}"
}
summary() {
    [ -z "$outermost" ] || return 0  # a part of a larger run, which will show it
    quiet || echo
    "$python" "$root/scripts/summary.py" "$CASTSEARCH_LOG_FILE" --run "$CASTSEARCH_RUN" "${talk[@]}"
}

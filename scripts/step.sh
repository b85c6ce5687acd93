# Sourced by the scripts that run several stages; `root` is the project's root.
#
# usage                 shows the comment at the top of the script that sources this
# step SCRIPT ARGS...   shows a stage's command in the form of docs/pipeline.md, then runs it
python=${PYTHON:-$([ -x "$root/.venv/bin/python" ] && echo "$root/.venv/bin/python" || echo python3)}
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[-1]}"; }
step() {
    local script=$1 word line="\$ python3 $1"
    shift
    for word in "$@"; do
        [[ $word =~ ^[[:alnum:]_./=-]+$ ]] || word=${word@Q}
        line+=" $word"
    done
    echo
    echo "$line"
    "$python" "$root/$script" "$@"
}

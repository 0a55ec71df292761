# strace on a process that is already there.

# trace PID [FLAG…]: attaches; the trace goes to $folder/trace. It is written on when untrace has ended it.
trace() {
    traced=$1
    start strace "strace${2:+ ${*:2}} -o $folder/trace -p $traced"
    strace=$started
    wait_until 20 is_traced
}

untrace() { stop "$strace"; }

# The kernel knows who traces whom: proc_pid_status(5).
is_traced() {
    is_alive "$strace" || cannot "strace ended: $(tail -n 1 "$folder/strace.err")" \
        "strace가 끝나 버렸다: $(tail -n 1 "$folder/strace.err")"
    [ "$(awk '/^TracerPid/ { print $2 }' "/proc/$traced/status")" = "$strace" ]
}

# traced_calls PATTERN: how many lines of the trace match.
traced_calls() { grep -cE -- "$1" "$folder/trace" || :; }

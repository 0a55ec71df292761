# Commands that are shown before they are run, servers and crowds, and the end of all of them.

# How many servers there have been: each has files of its own in $folder.
servers=0

run() {
    quietly "$1"
    show_output
}

quietly() {
    printf '\n$ %s\n' "$1" >&3
    status=0
    # Behind, and waited for: so a trap is taken at once. It does not inherit the fds of the lab.
    bash -c "$1" </dev/null >"$folder/run.out" 2>&1 3>&- 4>&- &
    wait $! || status=$?
    output=$(<"$folder/run.out")
}

# The first lines of what the last command said.
show_output() {
    local most=16 lines line
    [ -n "$output" ] || return 0
    lines=$(wc -l <<<"$output")
    head -n "$most" <<<"$output" | while IFS= read -r line; do
        [ ${#line} -le 150 ] || line=${line:0:149}…
        printf '  %s\n' "$line"
    done >&3
    [ "$lines" -le "$most" ] || printf '  %s\n' "$(word more_lines $((lines - most)))" >&3
}

start() {
    printf '\n$ %s &\n' "$2" >&3
    bash -c "exec $2" </dev/null >"$folder/$1.out" 2>"$folder/$1.err" 3>&- 4>&- &
    started=$!
}

serve() {
    local name=server$((servers += 1)) asked_port=0
    [ "$servers" != 1 ] || asked_port=$wanted_port
    start "$name" "$doorbell serve --listen 127.0.0.1:$asked_port${*:+ $*}"
    server=$started
    wait_until 20 listens_or_ended "$name"
    url=$(sed -n 's/^listening on //p' "$folder/$name.out")
    [ -n "$url" ] || cannot "the server did not start: $(tail -n 1 "$folder/$name.err")" \
        "서버가 시작되지 않았다: $(tail -n 1 "$folder/$name.err")"
    address=${url#http://}
    port=${address##*:}
    printf '  listening on %s\n' "$url" >&3
}

listens_or_ended() { [ -s "$folder/$1.out" ] || ! is_alive "$server"; }

# How many fds the server had before each crowd.
declare -A fds_before=()

crowd() {
    local technique=$1 count=$2 fds subscribers
    fds=$(fds_of "$server")
    subscribers=$(metric doorbell_subscribers)
    case " $*" in *' --ramp '*) ;; *) set -- "$@" --ramp 4000/s ;; esac
    start "crowd" "$doorbell swarm $url --via $technique --clients $count ${*:3} --for 10m"
    swarm=$started
    fds_before[$swarm]=$fds
    wait_until 60 crowd_is_there "$technique" $((fds + count)) $((subscribers + count))
}

# What only asks now and then subscribes to nothing: its connections must do.
crowd_is_there() {
    is_alive "$swarm" || cannot "the crowd ended: $(tail -n 1 "$folder/crowd.err")" \
        "클라이언트들이 끝나 버렸다: $(tail -n 1 "$folder/crowd.err")"
    [ "$(fds_of "$server")" -ge "$2" ] || return 1
    [ "$1" = short_poll ] || [ "$(metric doorbell_subscribers)" -ge "$3" ]
}

stop() {
    kill -TERM "$1" 2>/dev/null || :
    kill -CONT "$1" 2>/dev/null || :
    wait "$1" || :
    # A crowd is gone when the server, too, has closed: else the next one would be counted together with it.
    [ -z "${fds_before[$1]:-}" ] || wait_at_most 3 has_no_more_than "${fds_before[$1]}"
}

has_no_more_than() { ! is_alive "$server" || [ "$(fds_of "$server")" -le "$1" ]; }

wait_until() { comes_true "$@" || in_vain "$1" "${*:2}"; }
wait_at_most() { comes_true "$@" || :; }

comes_true() {
    local deadline
    type -t "$2" >/dev/null || cannot "there is no command or function '$2' to wait for" "기다릴 명령이나 함수가 없다: '$2'"
    deadline=$(($(now) + $1 * 1000))
    until "${@:2}"; do
        [ "$(now)" -lt "$deadline" ] || return 1
        sleep 0.05
    done
}

fds_of() {
    local found=("/proc/$1/fd/"*)
    [ -e "${found[0]}" ] || [ -L "${found[0]}" ] || found=()
    echo "${#found[@]}"
}

# utime and stime of proc_pid_stat(5).
cpu_of() { sed 's/.*) //' "/proc/$1/stat" | awk -v hz="$(getconf CLK_TCK)" '{ print ($12 + $13) * 1000 / hz }'; }

metric() { curl -s "$url/metrics" | awk -v name="$1" '$1 == name { print $2 }'; }

now() {
    local uptime rest
    read -r uptime rest </proc/uptime
    echo "$((10#${uptime%.*}${uptime#*.}0))"
}

calculate() { awk "BEGIN { printf \"%.6g\", $1 }"; }

# Whether a process is there, and not dead and only unburied.
is_alive() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    [[ ${stat##*) } != [ZX]* ]]
}

# Prints the pids of all that a process has started, and they in turn.
descendants() {
    local list child children
    for list in /proc/"$1"/task/*/children; do
        children=()
        { read -r -a children <"$list"; } 2>/dev/null || [ ${#children[@]} -gt 0 ] || continue
        for child in "${children[@]}"; do
            [ "$child" = "$BASHPID" ] || echo "$child"
            descendants "$child"
        done
    done
}

clean_up() {
    trap '' INT TERM HUP
    trap - ERR EXIT
    # Nothing that fails from here on may keep the rest from being cleaned up.
    set +e
    local pid pids tries
    mapfile -t pids < <(descendants $$)
    for pid in "${pids[@]}"; do kill -TERM "$pid" && kill -CONT "$pid"; done 2>/dev/null || :
    for ((tries = 0; tries < 40; tries++)); do
        any_alive "${pids[@]}" || break
        sleep 0.05
    done
    for pid in "${pids[@]}"; do ! is_alive "$pid" || kill -KILL "$pid"; done 2>/dev/null || :
    wait 2>/dev/null
    rm -rf "$folder"
}

any_alive() {
    local pid
    for pid in "$@"; do ! is_alive "$pid" || return 0; done
    return 1
}

# Ends by the signal itself, so that whoever started this knows.
interrupted() {
    clean_up
    trap - "$1"
    kill -s "$1" $$
}

# The frame of the labs: what a lab declares, what it may say, and in which order things happen.
#
# A lab is one file, scripts/labs/NAME. It declares
#
#     chapter=07                    the chapter of the book that it belongs to
#     needs=(strace trace)          programs and permissions; needs.bash knows them and how to get them
#     title_en= title_ko=           one line
#     question_en= question_ko=     what it asks; a few lines
#     figure_en[KEY]= figure_ko[KEY]=   what is measured: the rows of its table
#     asks=(KEY …)                  the figures that the student predicts
#     sabotage_en= sabotage_ko=     what `--sabotage` takes away, so that the lab must fail
#     why_en= why_ko=               a paragraph that explains what was seen
#
# and a function `measure`. Everything that a lab has to say is there in both languages, or the lab does not run.
# The words that `measure` is written in:
#
#     long_or_short 1000 100        prints the first, or with --short the second; also of use in the declarations
#     sabotaged                     true with --sabotage
#     unless_sabotaged 10m 1s       prints the first, or with --sabotage the second
#     serve [FLAG…]                 starts a server; sets $server (its pid), $url, $address and $port
#     stop PID                      ends a server or whatever else `start` started, and waits until it is gone
#     crowd TECHNIQUE N [FLAG…]     starts a crowd of N clients (`doorbell swarm`) and waits until the server has
#                                   them all; sets $swarm (its pid)
#     front 'LINES'                 starts an nginx whose locations are these lines; sets $nginx, its Unix socket
#     run 'COMMAND'                 shows a command, runs it, shows the first lines of what it says; sets $output
#                                   and $status. A command that fails does not end the lab
#     quietly 'COMMAND'             the same, but shows nothing of what it says
#     start NAME 'COMMAND'          shows a command and starts it in the background; sets $started (its pid).
#                                   Standard output and error go to $folder/NAME.out and $folder/NAME.err
#     wait_until SECONDS COMMAND…   tries a command (a function, say) again and again until it succeeds. When the
#                                   time is over, the lab says that it waited in vain, and fails
#     wait_at_most SECONDS COMMAND… the same, but when the time is over it goes on
#     trace PID [FLAG…]             attaches strace to a process, in the background; the trace is $folder/trace
#     untrace                       detaches it
#     traced_calls PATTERN          prints how many lines of the trace match an extended regular expression
#     note ENGLISH KOREAN           a remark between two commands
#     fds_of PID                    prints how many open fds a process has
#     cpu_of PID                    prints how much CPU time a process has had, in milliseconds
#     metric NAME                   prints one figure of the server's /metrics
#     now                           prints the time in milliseconds since the machine was started
#     calculate 'EXPRESSION'        prints a calculation with fractions, by awk
#
#     expect KEY VALUE = BOUND [FORMULA]       also <= >= < >; = compares words too
#     expect KEY VALUE within LOW HIGH [FORMULA]
#     observe KEY VALUE             a row that is told but not judged
#     skip ENGLISH KOREAN           it cannot be measured on this machine: the reason, and what to do
#     cannot ENGLISH KOREAN         something went wrong: the reason. The lab fails
#
# Whatever a lab started is ended when it ends, also by Ctrl-C; $folder, a temporary one, goes with it.

source "$labs/lib/words.bash"
source "$labs/lib/needs.bash"
source "$labs/lib/processes.bash"
source "$labs/lib/front.bash"
source "$labs/lib/tracing.bash"
source "$labs/lib/verdict.bash"

wrong_usage() {
    echo "scripts/lab: $1" >&2
    exit 2
}

long_or_short() { [ -z "$short" ] && echo "$1" || echo "$2"; }

sabotaged() { [ -n "$sabotage" ]; }

unless_sabotaged() { sabotaged && echo "$2" || echo "$1"; }

# The names of all labs, by chapter.
lab_names() {
    local file
    for file in "$labs"/*; do
        [ -f "$file" ] && echo "$(sed -n 's/^chapter=//p' "$file") ${file##*/}"
    done | sort | cut -d' ' -f2
}

# Reads the declarations of a lab, and sees that none is missing.
read_lab() {
    lab=$1
    chapter='' needs=() asks=()
    declare -gA figure_en=() figure_ko=()
    local thing key
    for thing in title question why sabotage; do
        declare -g "${thing}_en=" "${thing}_ko="
    done
    source "$labs/$lab"
    for thing in title_en title_ko question_en question_ko why_en why_ko sabotage_en sabotage_ko chapter; do
        [ -n "${!thing}" ] || lacks "$thing"
    done
    for key in "${!figure_en[@]}" "${!figure_ko[@]}" "${asks[@]}"; do
        [ -n "${figure_en[$key]:-}" ] || lacks "figure_en[$key]"
        [ -n "${figure_ko[$key]:-}" ] || lacks "figure_ko[$key]"
    done
    declare -F measure >/dev/null || lacks 'measure()'
}

lacks() {
    echo "scripts/lab: the lab $lab lacks $1: add it to $labs/$lab" >&2
    exit 1
}

# The file of the book that belongs to a chapter, if it is there.
chapter_file() {
    local file
    for file in docs/book/"$language"/"$1"-*.md; do
        [ -f "$file" ] && echo "$file" && return 0
    done
    return 0
}

list_labs() {
    local name last='' file
    [ -n "$json" ] || printf '%s\n' "$(word listing)"
    for name in $(lab_names); do
        (
            read_lab "$name"
            [ -z "$json" ] || { list_line_as_json && exit; }
            if [ "$chapter" != "$last" ]; then
                file=$(chapter_file "$chapter")
                printf '\n%s %s\n' "$chapter" "$([ -z "$file" ] || sed -n '1s/^# *\([0-9]*[.:]* *\)//p' "$file")"
            fi
            printf '  %-24s %s\n' "$lab" "$(in_language "$title_en" "$title_ko")"
        )
        last=$(sed -n 's/^chapter=//p' "$labs/$name")
    done
}

# The lab whose name is most like this one, by the number of letters that differ; nothing if none is near.
nearest_lab() {
    lab_names | awk -v wanted="${1,,}" '
        function least(a, b, c) { return a < b ? (a < c ? a : c) : (b < c ? b : c) }
        function distance(one, other,    i, j, row, before, kept) {
            for (j = 0; j <= length(other); j++) row[j] = j
            for (i = 1; i <= length(one); i++) {
                before = row[0]; row[0] = i
                for (j = 1; j <= length(other); j++) {
                    kept = row[j]
                    row[j] = least(row[j] + 1, row[j - 1] + 1,
                                   before + (substr(one, i, 1) != substr(other, j, 1)))
                    before = kept
                }
            }
            return row[length(other)]
        }
        { d = distance(wanted, $1) }
        NR == 1 || d < best { best = d; nearest = $1 }
        END { if (best <= length(nearest) / 2) print nearest }'
}

# From the first question to the verdict.
run_lab() {
    # A path would be read, too, whatever is there.
    [[ $1 != */* ]] && [ -f "$labs/$1" ] || no_such_lab "$1"
    read_lab "$1"
    open_stage
    check_needs
    find_doorbell
    introduce
    predict
    measure
    judge
}

no_such_lab() {
    local near
    near=$(nearest_lab "$1")
    wrong_usage "there is no lab '$1';${near:+ did you mean $near?} scripts/lab lists them"
}

# Where a person reads: standard output, or, where that is for JSON, nowhere unless somebody is to predict.
open_stage() {
    begun=$(now)
    close_inherited
    exec 4>&1
    if [ -z "$json" ]; then exec 3>&1; elif asked; then exec 3>&2; else exec 3>/dev/null; fi
    folder=$(mktemp -d "${TMPDIR:-/tmp}/doorbell-lab.XXXXXX")
    trap 'interrupted INT' INT
    trap 'interrupted TERM' TERM
    trap 'interrupted HUP' HUP
    verdict=''
    trap at_exit EXIT
    set -E
    trap 'broken "${BASH_SOURCE[0]}" "$LINENO" "$BASH_COMMAND"' ERR
}

# What whoever started the lab has left open would be inherited by the server, and be counted. 255 is bash's own.
close_inherited() {
    local fd
    for fd in /proc/$$/fd/*; do
        fd=${fd##*/}
        [ "$fd" -le 2 ] || [ "$fd" = 255 ] || eval "exec $fd>&-"
    done
}

introduce() {
    printf '%s: %s\n\n%s\n' "$lab" "$(in_language "$title_en" "$title_ko")" \
        "$(in_language "$question_en" "$question_ko")" >&3
    ! sabotaged || printf '\n%s %s\n' "$(word sabotaged)" "$(in_language "$sabotage_en" "$sabotage_ko")" >&3
}

# Whether there is somebody to ask.
asked() { [ -z "$yes" ] && [ -t 0 ]; }

predict() {
    local key
    declare -gA predicted=()
    asked || return 0
    [ ${#asks[@]} = 0 ] || printf '\n%s\n' "$(word predict)" >&3
    for key in "${asks[@]}"; do
        printf '  %s? ' "$(figure "$key")" >&3
        read -r "predicted[$key]" || echo >&3
    done
}

# What is measured, in the language of the reader.
figure() { in_language "${figure_en[$1]}" "${figure_ko[$1]}"; }

# Runs each lab in a process of its own, and sums up.
run_all() {
    local name status worst=0 child=''
    local -A verdicts=()
    trap '[ -z "$child" ] || kill -TERM "$child"; wait; exit 130' INT TERM HUP
    for name in $(lab_names); do
        # Its own default for SIGINT, which bash turns off in what it runs in the background.
        env --default-signal=INT,QUIT scripts/lab "$@" "$name" <&0 &
        child=$!
        status=0
        wait "$child" || status=$?
        child=''
        case $status in 0) verdicts[$name]=PASS ;; 3) verdicts[$name]=SKIP ;; *) verdicts[$name]=FAIL worst=1 ;; esac
        [ -n "$json" ] || echo
    done
    [ -n "$json" ] || sum_up
    exit "$worst"
}

sum_up() {
    local name
    for name in $(lab_names); do printf '%-4s  %s\n' "${verdicts[$name]}" "$name"; done
}

# So that no lab takes one of these words for something else without noticing.
readonly -f $(declare -F | cut -d' ' -f3)

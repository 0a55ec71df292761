# What was expected and what was measured, side by side, and the verdict.

# The rows, in the order in which they were measured.
declare -a row_keys=()
declare -A row_measured=() row_expected=() row_met=()

expect() {
    local key=$1 measured=$2 operator=$3 bound=$4 high='' formula
    shift 4
    [ "$operator" != within ] || { high=$1 && shift; }
    formula=${1:+$1 = }
    is_met "$measured" "$operator" "$bound" "$high" && row_met[$key]=yes || row_met[$key]=no
    case $operator in
        within) add_row "$key" "$measured" "$(grouped "$bound") … $(grouped "$high")${1:+  ($1)}" ;;
        *) add_row "$key" "$measured" "$operator $formula$(grouped "$bound")" ;;
    esac
}

observe() { add_row "$1" "$2" '' && row_met[$1]=unjudged; }

add_row() {
    [ -n "${figure_en[$1]:-}" ] || lacks "figure_en[$1]"
    row_keys+=("$1")
    row_measured[$1]=${2//$'\n'/ }
    row_expected[$1]=$3
}

is_number() { [[ $1 =~ ^-?[0-9]+(\.[0-9]+)?$ ]]; }

is_met() {
    [ "$2" = '=' ] && [ "$1" = "$3" ] && return
    is_number "$1" && is_number "$3" || return 1
    case $2 in
        '=' | '<' | '>' | '<=' | '>=') awk "BEGIN { exit !($1 ${2/#=/==} $3) }" ;;
        within) is_number "$4" && awk "BEGIN { exit !($1 >= $3 && $1 <= $4) }" ;;
        *) cannot "expect does not know '$2'" "expect에 '$2' 연산은 없다" ;;
    esac
}

# A number with commas between its thousands; anything else as it is.
grouped() {
    if is_number "$1"; then sed -E ':again; s/^(-?[0-9]+)([0-9]{3})/\1,\2/; t again' <<<"$1"; else echo "$1"; fi
}

# How many columns a text takes: letters of Korean take two.
width_of() {
    local wide=${1//[^ᄀ-ᇿ⺀-鿿가-힣豈-﫿︰-﹏！-｠]/}
    echo $((${#1} + ${#wide}))
}

padded() {
    local width
    width=$(width_of "$1")
    printf '%s%*s' "$1" $(($2 > width ? $2 - width : 0)) ''
}

# Each row as five cells, the headings first.
cells() {
    local key
    printf '%s\t%s\t%s\t%s\t\n' "$(word what)" "$(word predicted)" "$(word measured)" "$(word expected)"
    for key in "${row_keys[@]}"; do
        printf '%s\t%s\t%s\t%s\t%s\n' "$(figure "$key")" "${predicted[$key]:-–}" \
            "$(grouped "${row_measured[$key]:-–}")" "${row_expected[$key]:-–}" "$(word_of_row "$key")"
    done
}

word_of_row() { case ${row_met[$1]} in yes) word met ;; no) word unmet ;; *) word unjudged ;; esac; }

print_table() {
    local line cell column widths=(0 0 0 0 0) row
    local table
    mapfile -t table < <(cells)
    for line in "${table[@]}"; do
        IFS=$'\t' read -r -a row <<<"$line"
        for column in "${!row[@]}"; do
            cell=$(width_of "${row[$column]}")
            [ "$cell" -le "${widths[$column]}" ] || widths[column]=$cell
        done
    done
    for line in "${table[@]}"; do
        IFS=$'\t' read -r -a row <<<"$line"
        for column in "${!row[@]}"; do printf '  %s' "$(padded "${row[$column]}" "${widths[$column]}")"; done
        echo
    done | sed 's/ *$//'
}

# After the last measurement: the table, the verdict, the reason and the why.
judge() {
    local key unmet=() judged=0 reason
    for key in "${row_keys[@]}"; do
        [ "${row_met[$key]}" = unjudged ] || judged=$((judged + 1))
        [ "${row_met[$key]}" != no ] || unmet+=("$(came_out "$key")")
    done
    if [ "$judged" = 0 ]; then
        end_with FAIL "$(word nothing_measured)"
    elif [ ${#unmet[@]} -gt 0 ]; then
        reason=$(printf '%s; ' "${unmet[@]}")
        end_with FAIL "$(word not_met "${#unmet[@]}" "$judged" "${reason%; }")"
    else
        end_with PASS "$(word all_met "$judged")"
    fi
}

came_out() { word came_out "$(figure "$1")" "$(grouped "${row_measured[$1]:-$(word nothing)}")" "${row_expected[$1]}"; }

skip() { end_with SKIP "$(in_language "$1" "$2")"; }
cannot() { end_with FAIL "$(in_language "$1" "$2")"; }
in_vain() { end_with FAIL "$(word in_vain "$1" "$2")"; }

# What a lab did not see coming: a command of its own that failed.
broken() {
    [ -s "$folder/reason" ] || word broken "$2" "$1" "$3" >"$folder/reason"
    end_with FAIL "$(<"$folder/reason")"
}

# The end of the lab, however it comes about. Where there is no verdict yet, bash itself gave up (on a variable that is
# not set, for one), and has said why.
at_exit() {
    local status=$?
    trap - ERR
    set +e
    if [ -z "$verdict" ] && [ "$BASHPID" = $$ ]; then
        status=1
        announce FAIL "$(word gave_up "$labs/$lab")"
    fi
    clean_up
    exit "$status"
}

# end_with VERDICT REASON: says it, and ends.
end_with() {
    trap - ERR
    # A subshell cannot end the lab; it fails, and whoever waits for it finds the reason.
    [ "$BASHPID" = $$ ] || { printf '%s' "$2" >"$folder/reason" && exit 1; }
    verdict=$1
    announce "$1" "$2"
    case $1 in PASS) exit 0 ;; SKIP) exit 3 ;; *) exit 1 ;; esac
}

announce() {
    local file
    file=$(chapter_file "$chapter")
    {
        [ ${#row_keys[@]} = 0 ] || { echo && print_table && echo; }
        printf '%s %s: %s\n' "$1" "$lab" "$2"
        [ ${#row_keys[@]} = 0 ] || printf '\n%s\n%s\n%s\n' "$(word why)" "$(in_language "$why_en" "$why_ko")" \
            "$([ -n "$file" ] && word book "$file" || word chapter "$chapter")"
    } >&3
    [ -z "$json" ] || print_json "$1" "$2" >&4
}

# JSON, for a teacher's script.

json_text() {
    local text=$1
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\n'/\\n}
    text=${text//$'\t'/\\t}
    printf '"%s"' "$(tr -d '\000-\037' <<<"$text")"
}

# A number as a number, nothing as null, anything else as a string.
json_value() {
    if [ -z "$1" ]; then
        printf null
    elif [[ $1 =~ ^-?(0|[1-9][0-9]*)(\.[0-9]+)?$ ]]; then
        printf '%s' "$1"
    else
        json_text "$1"
    fi
}

json_met() { case ${row_met[$1]} in yes) echo true ;; no) echo false ;; *) echo null ;; esac; }

print_json() {
    local key separator=''
    printf '{"lab":"%s","chapter":"%s","title":%s,"verdict":"%s","reason":%s' "$lab" "$chapter" \
        "$(json_text "$(in_language "$title_en" "$title_ko")")" "$1" "$(json_text "$2")"
    printf ',"language":"%s","short":%s,"sabotaged":%s,"milliseconds":%s,"figures":[' "$language" \
        "$([ -n "$short" ] && echo true || echo false)" "$([ -n "$sabotage" ] && echo true || echo false)" \
        "$(($(now) - begun))"
    for key in "${row_keys[@]}"; do
        printf '%s{"name":"%s","what":%s,"predicted":%s,"measured":%s,"expected":%s,"met":%s}' "$separator" "$key" \
            "$(json_text "$(figure "$key")")" "$(json_value "${predicted[$key]:-}")" \
            "$(json_value "${row_measured[$key]}")" "$(json_value "${row_expected[$key]}")" "$(json_met "$key")"
        separator=,
    done
    printf ']}\n'
}

list_line_as_json() {
    printf '{"lab":"%s","chapter":"%s","title":%s}\n' "$lab" "$chapter" \
        "$(json_text "$(in_language "$title_en" "$title_ko")")"
}

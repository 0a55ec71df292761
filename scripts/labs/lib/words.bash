# What the frame itself says, in English and in Korean.

declare -A english=(
    [listing]='scripts/lab NAME runs a lab, scripts/lab all runs all of them; --help says more.'
    [predict]='What do you predict? (Enter: nothing)'
    [sabotaged]='Sabotaged:'
    [what]='what' [predicted]='predicted' [measured]='measured' [expected]='expected'
    [met]='as expected' [unmet]='NOT as expected' [unjudged]=''
    [all_met]='all of %s expectations were met'
    [not_met]='%s of %s expectations were not met: %s'
    [came_out]='%s is %s, expected was %s'
    [nothing]='nothing'
    [nothing_measured]='nothing was measured'
    [broken]='it could not be measured: line %s of %s failed: %s'
    [gave_up]='it could not be measured: bash gave up on %s; its message is above'
    [in_vain]='waited %s s in vain for: %s'
    [why]='Why'
    [book]='The book: %s'
    [chapter]='The book: chapter %s'
    [building]='building target/release/doorbell …'
    [more_lines]='… and %s lines more'
)

declare -A korean=(
    [listing]='scripts/lab 이름: 실습 하나를 실행한다. scripts/lab all: 전부 실행한다. 자세한 것은 --help에 있다.'
    [predict]='결과를 예측해 보자. (모르겠으면 Enter)'
    [sabotaged]='일부러 망가뜨린 조건:'
    [what]='항목' [predicted]='예측' [measured]='측정' [expected]='기대'
    [met]='기대한 대로' [unmet]='기대와 다름' [unjudged]=''
    [all_met]='기대한 %s가지가 모두 그대로 나왔다'
    [not_met]='기대한 %2$s가지 가운데 %1$s가지가 다르게 나왔다: %3$s'
    [came_out]='%s: 측정값 %s, 기댓값 %s'
    [nothing]='없음'
    [nothing_measured]='아무것도 측정하지 못했다'
    [broken]='측정하지 못했다. %2$s의 %1$s번째 줄에서 실패: %3$s'
    [gave_up]='측정하지 못했다. bash가 %s 실행을 포기했다. 위의 메시지를 보자'
    [in_vain]='%s초 동안 기다렸지만 일어나지 않았다: %s'
    [why]='왜 그런가'
    [book]='책: %s'
    [chapter]='책: %s장'
    [building]='target/release/doorbell을 빌드한다 …'
    [more_lines]='… 그 밖에 %s줄'
)

# word KEY [ARGUMENT…]: one of them, with what belongs into it.
word() {
    local text key=$1
    shift
    text=$(in_language "${english[$key]}" "${korean[$key]}")
    [ $# = 0 ] && printf '%s' "$text" && return
    # printf of bash knows no %2$s: arguments are put in by hand.
    local number=1 argument
    for argument in "$@"; do
        case $text in
            *"%$number\$s"*) text=${text//"%$number\$s"/"$argument"} ;;
            *) text=${text/"%s"/"$argument"} ;;
        esac
        number=$((number + 1))
    done
    printf '%s' "$text"
}

# in_language ENGLISH KOREAN: the one that the reader reads.
in_language() { if [ "$language" = ko ]; then printf '%s' "$2"; else printf '%s' "$1"; fi; }

note() { printf '\n%s\n' "$(in_language "$1" "$2")" >&3; }

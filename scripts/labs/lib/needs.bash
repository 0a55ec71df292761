# What a lab needs: whether it is there, and the line that brings it.
#
# A need is the name of a program, or `trace` (the permission to trace a process that one has started), or `fds:N`
# (so many open files for one process). What is missing makes the lab a SKIP.

check_needs() {
    local need
    for need in curl "${needs[@]}"; do
        case $need in
            trace) check_tracing ;;
            fds:*) check_fds "${need#fds:}" ;;
            node:*) check_node_module "${need#node:}" ;;
            *) check_program "$need" ;;
        esac
    done
}

# The Debian package that brings a program.
package_of() {
    case $1 in
        ss) echo iproute2 ;;
        node) echo nodejs ;;
        nginx) echo nginx-light ;;
        prlimit) echo util-linux ;;
        *) echo "$1" ;;
    esac
}

check_program() {
    # Debian keeps nginx where only root looks.
    [ -n "$(PATH=$PATH:/usr/sbin:/sbin command -v "$1")" ] && return
    local package
    package=$(package_of "$1")
    skip "$1 is missing; install it with: apt-get install $package" \
        "$1 명령이 없다. 이렇게 설치한다: apt-get install $package"
}

# strace must be allowed to attach to what it has not started itself (ptrace(2), PTRACE_ATTACH).
check_tracing() {
    check_program strace
    local sleeper status=0
    sleep 60 &
    sleeper=$!
    timeout 1 strace -qq -e trace=none -p "$sleeper" 2>"$folder/tracing" || status=$?
    kill "$sleeper"
    wait "$sleeper" || :
    # 124: it traced until the time was over.
    [ "$status" = 124 ] && return
    skip "strace may not attach to processes here; run it as root, or: sysctl kernel.yama.ptrace_scope=0" \
        "여기서는 strace를 프로세스에 붙일 수 없다. root로 실행하거나 다음을 먼저 실행한다: sysctl kernel.yama.ptrace_scope=0"
}

check_fds() {
    local hard
    hard=$(ulimit -Hn)
    [ "$hard" = unlimited ] || [ "$hard" -ge "$1" ] ||
        skip "it needs $1 open files and the limit is $hard; as root: ulimit -n $1 (or try --short)" \
            "파일을 $1개 열 수 있어야 하는데 한도가 $hard개다. root로 실행한다: ulimit -n $1 (또는 --short를 써 본다)"
    # What starts with the soft limit of a shell would end at 1024.
    ulimit -Sn "$hard" || :
}

# Where the modules for Node are; scripts/test installs them.
check_node_module() {
    check_program node
    node_modules=${DOORBELL_NODE_PATH:-$PWD/target/clients/node}
    [ -d "$node_modules/node_modules/$1" ] ||
        skip "$1 for Node is missing; install it with: npm install --prefix target/clients/node --no-save $1" \
            "Node용 $1 모듈이 없다. 이렇게 설치한다: npm install --prefix target/clients/node --no-save $1"
}

# The program that is measured: $doorbell, as one would type it here.
find_doorbell() {
    local built=${CARGO_TARGET_DIR:-target}/release/doorbell
    doorbell=${DOORBELL:-$built}
    if [ -z "${DOORBELL:-}" ] && [ ! -x "$built" ]; then
        command -v cargo >/dev/null ||
            cannot "there is no $built and no cargo to build it; install Rust, or name one: DOORBELL=PATH" \
                "$built 파일이 없고 빌드할 cargo도 없다. Rust를 설치하거나 DOORBELL=경로로 지정한다"
        word building >&2
        echo >&2
        cargo build --release --locked --quiet >&2 ||
            cannot "cargo build --release failed; see above" "cargo build --release가 실패했다. 위의 메시지를 보자"
    fi
    [ -x "$doorbell" ] ||
        cannot "DOORBELL=$doorbell is no program; give the path of a doorbell, or none" \
            "실행할 수 있는 파일이 아니다: DOORBELL=$doorbell. doorbell의 경로를 주거나 비워 둔다"
}

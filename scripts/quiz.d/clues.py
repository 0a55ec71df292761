"""Finds in the printed lines what gives an answer away.

Each clue reads nothing but what is printed, as whoever solves the riddle does. A riddle without a clue for each
part of its answer is never asked.
"""

import re

FD = re.compile(r"^(read|write|writev|close|shutdown)\((\d+)")
GET = re.compile(r'^read\((\d+), "GET /')
WHOLE_ANSWER = r'^writev?\(%s, .*"HTTP/1\.1 2xx\\r\\n…Content-Length'
TIMED_OUT = re.compile(r"^WAIT\(.*\) = 0( \(Timeout\))?$|^restart_syscall\(.*\) = 0$")


def is_wait(line):
    return line.text.startswith(("WAIT(", "restart_syscall("))


def first(lines, pattern, after=0):
    """The first line behind a number that this matches."""
    return next((line for line in lines if line.number > after and re.search(pattern, line.text)), None)


def between(lines, start, end):
    return [line for line in lines if start.number < line.number < end.number]


def answers(lines):
    """Each question that was read, with its answer of a known length."""
    for line in lines:
        question = GET.match(line.text)
        answer = question and first(lines, WHOLE_ANSWER % question[1], line.number)
        if answer:
            yield line, answer


def short_poll(lines):
    pairs = [(question, answer) for question, answer in answers(lines)]
    if not pairs or any(any(is_wait(line) for line in between(lines, *pair)) for pair in pairs):
        return None
    return [line for pair in pairs[:2] for line in pair]


def long_poll(lines):
    for question, answer in answers(lines):
        waits = [line for line in between(lines, question, answer) if is_wait(line)]
        if waits:
            return [question, waits[0], answer]
    return None


def stream(lines):
    return found(lines, r'^writev?\(\d+, .*"(.*\\r\\n)?[0-9a-f]+\\r\\n\{…\}\\n\\r\\n')


def sse(lines):
    return found(lines, r"^writev?\(\d+, .*\\ndata: …\\n\\n")


def websocket(lines):
    return found(lines, r'^write\(\d+, "HTTP/1\.1 1xx', r'^writev?\(\d+, .*"\\201')


def found(lines, *patterns):
    """The first line that matches each of these, one behind the other."""
    out = []
    for pattern in patterns:
        line = first(lines, pattern, out[-1].number if out else 0)
        if not line:
            return None
        out.append(line)
    return out


def select(lines):
    return found(lines, r"^WAIT\(\d+, \[\d[\d ]*\], \[")


def poll(lines):
    return found(lines, r"^WAIT\(\[\{fd ")


def epoll(lines):
    return found(lines, r"^TELL\(\d+, ADD", r"^WAIT\(\d+, \[\{")


def none(lines):
    others = [name for name in FAULTS if name != "none" and FAULTS[name](lines)]
    return None if others else []


def gone(lines, sign):
    for line in lines:
        read = re.match(sign, line.text)
        close = read and first(lines, rf"^close\({read[1]}\)", line.number)
        if close:
            return [line, close]
    return None


def client_reset(lines):
    return gone(lines, r"^read\((\d+), .*= -1 ECONNRESET")


def client_left(lines):
    return gone(lines, r'^read\((\d+), "", \d+\) = 0$')


def slow_reader(lines):
    for line in lines:
        asked = re.match(r"^WAIT\(\d+, \[[\d ]*\], \[(\d+)", line.text) or \
            re.match(r"^WAIT\(.*\{fd (\d+), (?:IN\|)?OUT", line.text) or \
            re.match(r"^TELL\(\d+, MOD, (\d+), \{(?:IN\|)?OUT", line.text)
        writes = asked and [other for other in lines[:line.number - 1] if re.match(rf"writev?\({asked[1]}, ", other.text)]
        if writes:
            return [writes[-1], line]
    return None


def no_fd_left(lines):
    return found(lines, r"^accept4\(.*= -1 EMFILE")


def expired(lines, after=0):
    """Each wait behind a number that ended because its time was over, with what the turn then did."""
    for line in lines[after:]:
        if TIMED_OUT.match(line.text):
            rest = lines[line.number:]
            end = next((at for at, other in enumerate(rest) if is_wait(other)), len(rest))
            yield line, rest[:end]


def hold_over(lines):
    for wait, turn in expired(lines):
        line = first(turn, WHOLE_ANSWER % r"\d+")
        if line:
            return [wait, line]
    return None


def interrupted(lines):
    return found(lines, r"^WAIT\(.*= (-1 EINTR|\? ERESTART\w+)$")


def slow_head(lines):
    for wait, turn in expired(lines):
        refusal = first(turn, r'^write\((\d+), "HTTP/1\.1 4xx')
        fd = refusal and FD.match(refusal.text)[2]
        half = fd and first(lines, rf'^read\({fd}, "(?![^"]*\\r\\n\\r\\n)')
        if half:
            return [half, wait, refusal]
    return None


def silent_client(lines):
    for wait, turn in expired(lines):
        for line in turn:
            closed = re.match(r"^close\((\d+)\)", line.text)
            came = closed and last(lines, rf"^accept4\(.*= {closed[1]}$", line)
            if came and not any(re.match(rf"(read|writev?)\({closed[1]},", other.text)
                                for other in between(lines, came, line)):
                return [came, wait, line]
    return None


def last(lines, pattern, before):
    return next((line for line in reversed(lines[:before.number]) if re.search(pattern, line.text)), None)


def draining(lines):
    return found(lines, r'^read\(\d+, "\\17…", 128\) = 128$', r"^close\(")


def turns(lines):
    """What was done after each wait and before the next."""
    starts = [at for at, line in enumerate(lines) if is_wait(line)]
    return [lines[start + 1:end] for start, end in zip(starts, [*starts[1:], len(lines)])]


def replaced(lines):
    for turn in turns(lines):
        questions = [line for line in turn if GET.match(line.text)]
        published = first(turn, r'^read\(\d+, "POST ')
        if len(questions) != 1 or published:
            continue
        asked = GET.match(questions[0].text)[1]
        answer = first(turn, rf'^write\((?!{asked},)\d+, "HTTP/1\.1 2xx')
        if answer:
            return [questions[0], answer]
    return None


def bad_frame(lines):
    for line in lines:
        frame = re.match(r'^read\((\d+), "\\201(\\[0-7]+|[ -~])', line.text)
        close = frame and first(lines, rf'^write\({frame[1]}, "\\210.*\\3\\352', line.number)
        if close:
            return [line, close]
    return None


def no_pong(lines):
    for ping in lines:
        sent = re.match(r'^write\((\d+), "\\211', ping.text)
        if not sent:
            continue
        for wait, turn in expired(lines, ping.number):
            close = first(turn, rf"^close\({sent[1]}\)")
            if close:
                return [ping, wait, close]
    return None


TECHNIQUES = {"short_poll": short_poll, "long_poll": long_poll, "stream": stream, "sse": sse, "websocket": websocket}
MECHANISMS = {"select": select, "poll": poll, "epoll": epoll}
FAULTS = {
    "none": none, "client_reset": client_reset, "client_left": client_left, "slow_reader": slow_reader,
    "no_fd_left": no_fd_left, "hold_over": hold_over, "interrupted": interrupted, "slow_head": slow_head,
    "silent_client": silent_client, "draining": draining, "replaced": replaced, "bad_frame": bad_frame, "no_pong": no_pong,
}
PARTS = {"technique": TECHNIQUES, "mechanism": MECHANISMS, "fault": FAULTS}

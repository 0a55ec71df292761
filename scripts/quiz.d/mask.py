"""Takes out of a trace what would give the answer away, and what differs from run to run.

What remains is what a reading is about: which call was made on which fd, in which order, with what result,
and what the bytes look like. The three waits are all called WAIT, and what registers an fd with the kernel is
called TELL; what they hand over is left as it is. Paths, names, ids, ports and pids are cut.
"""

import re

WAITS = ("epoll_wait", "epoll_pwait", "poll", "ppoll", "select", "pselect6")
# What the allocator asks for has nothing to do with the conversation.
MEMORY = ("brk", "mmap", "munmap", "mremap", "madvise", "mprotect")
LINE = re.compile(r"^(?:\d+ +)?(\d+\.\d+) (.*)$")
TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"(\.\.\.)?')
ENTRY = re.compile(r"\{events=([A-Z|0-9x]+), data=\{u32=\d+, u64=(\d+)\}\}")
REGISTERED = re.compile(r"epoll_ctl\(\d+, EPOLL_CTL_\w+, (\d+), \{events=[^,]*, data=\{u32=\d+, u64=(\d+)\}")


class Line:
    """One line as it is printed: its number, its moment since the first, and its text."""

    def __init__(self, number, moment, text):
        self.number, self.moment, self.text = number, moment, text


def masked(raw):
    """The lines to print, from when the server listens to the end of the record."""
    calls, watched, begun = [], {}, None
    for line in raw.splitlines():
        found = LINE.match(line)
        if not found:
            continue
        moment, call = float(found[1]), found[2]
        registered = REGISTERED.match(call)
        if registered:
            watched[registered[2]] = registered[1]
        if begun is not None and not is_left_out(call):
            begun = begun or moment
            calls.append((moment - begun, mask_call(call, watched)))
        elif call.startswith('write(1, "listening on'):
            begun = 0
    return numbered(shortened(calls))


def is_left_out(call):
    return call.startswith(("---", "+++")) or call.split("(", 1)[0] in MEMORY


def numbered(calls):
    return [Line(number, moment, text) for number, (moment, text) in enumerate(calls, 1)]


def shortened(calls):
    """A body is read in many pieces, with a wait before each: all but the first and the last are only counted."""
    out, at = [], 0
    while at < len(calls):
        end = at
        while is_piece(calls, end, calls[at + 1][1] if at + 1 < len(calls) else ""):
            end += 2
        count = (end - at) // 2
        if count > 2:
            more = (calls[at + 2][0], f"… (WAIT, read) × {count - 2}")
            out += [*calls[at:at + 2], more, *calls[end - 2:end]]
        else:
            out += calls[at:max(end, at + 1)]
        at = max(end, at + 1)
    return out


def is_piece(calls, at, like):
    """Whether a wait stands here, and behind it a read of bytes that tell nothing, on the same fd as another."""
    if at + 1 >= len(calls) or not calls[at][1].startswith("WAIT("):
        return False
    piece = re.match(r'read\((\d+), "…"', calls[at + 1][1])
    return bool(piece) and like.startswith(f"read({piece[1]}, ")


def mask_call(call, watched):
    """One call, with everything masked that must be."""
    name = call.split("(", 1)[0]
    finished = " = " in call
    if name == "accept4":
        call = re.sub(r"^accept4\((\d+), .*\) +=", r"accept4(\1, …) =", call)
    elif name in WAITS or name == "restart_syscall":
        call = mask_wait(call, name, watched)
    elif name == "epoll_ctl":
        call = re.sub(r"\{events=([A-Z|0-9x]+), data=[^}]*\}\}", r"{\1}", call)
        call = call.replace("epoll_ctl", "TELL", 1).replace("EPOLL_CTL_", "", 1)
    else:
        call = TEXT.sub(lambda text: f'"{mask_text(text[1], name)}"', call)
    call = re.sub(r"\bE?POLL(IN|OUT|PRI|ERR|HUP|RDHUP|NVAL)\b", r"\1", call)
    call = re.sub(r"\b0x[0-9a-f]{6,}\b", "…", call)
    # The name of an error is enough, without the sentence on it.
    call = re.sub(r"(= (?:-1|\?) [A-Z_]+) \(.*\)$", r"\1", call)
    call = re.sub(r"\) +=", ") =", call)
    return call if finished else call.rstrip(" ,") + " …"


def mask_wait(call, name, watched):
    call = ENTRY.sub(lambda entry: f"{{{entry[1]}, fd {watched.get(entry[2], '?')}}}", call)
    call = re.sub(r"\{fd=(\d+), r?events=([A-Z|0-9x]+)\}", r"{fd \1, \2}", call)
    call = re.sub(r", left \{[^}]*\}", "", call)
    call = re.sub(r"\{tv_sec=(\d+), tv_nsec=(\d+)\}", seconds, call)
    if name == "restart_syscall":
        return re.sub("|".join(sorted(WAITS, key=len, reverse=True)), "WAIT", call)
    return call.replace(name, "WAIT", 1)


def seconds(found):
    return f"{{{int(found[1]) + int(found[2]) / 1e9:.3f} s}}"


def mask_text(text, name):
    """What was read or written, as strace escapes it; cut down to its form."""
    data = text.encode("latin-1", "replace").decode("unicode_escape").encode("latin-1", "replace")
    if name == "read" and data[:1] and data[1:4] == b"\0\0\0":
        # A struct signalfd_siginfo begins with the number of the signal.
        return escaped(data[:1]) + "…"
    if data.startswith(b"HTTP/1."):
        return mask_answer(data)
    if re.match(rb"[A-Z]+ /", data):
        return mask_request(data)
    return mask_body(data)


def mask_request(data):
    method = data.split(b" ", 1)[0].decode()
    head, end, body = data.partition(b"\r\n\r\n")
    version = " HTTP/1.1\\r\\n…" if b" HTTP/1.1\r\n" in data else ""
    # A head that is whole ends with an empty line.
    return f"{method} /…{version}" + ("\\r\\n\\r\\n" if end else "") + ("…" if body else "")


def mask_answer(data):
    head, end, body = data.partition(b"\r\n\r\n")
    framing = re.search(rb"\r\n(Content-Length: \d+|Transfer-Encoding: chunked)", head)
    shown = framing[1].decode() if framing else ""
    return f"HTTP/1.1 {chr(data[9])}xx\\r\\n…{shown}" + ("\\r\\n\\r\\n" if end else "") + mask_body(body)


def mask_body(data):
    """A frame, a chunk, an object, or bytes that tell nothing."""
    if not data:
        return ""
    if data[0] in (0x81, 0x82, 0x88, 0x89, 0x8A):
        return mask_frame(data)
    chunk = re.match(rb"([0-9a-f]+)\r\n", data)
    if chunk:
        size = int(chunk[1], 16)
        after = data[chunk.end():]
        if len(after) < size:
            return escaped(chunk[0]) + mask_piece(after)
        return escaped(chunk[0]) + mask_piece(after[:size]) + escaped(after[size:size + 2]) + mask_body(after[size + 2:])
    return mask_piece(data)


def mask_piece(data):
    """What is said, without its words: fields of an event stream, objects, or anything else."""
    if re.match(rb"(retry|id|data|event):", data):
        return escaped(re.sub(rb"(?m)^(retry|id|data|event): .*$", rb"\1: @", data)).replace("@", "…")
    if data.startswith(b"{"):
        return "{…}" + ("\\n" if data.endswith(b"\n") else "")
    return escaped(data) if data in (b"\r\n", b"\n") else "…" if data else ""


def mask_frame(data):
    """The header of a WebSocket frame as it is (RFC 6455 §5.2), its payload cut."""
    head, length = 2, data[1] & 0x7F if len(data) > 1 else 0
    if length >= 126:
        head += 2 if length == 126 else 8
        length = int.from_bytes(data[2:head], "big")
    if len(data) > 1 and data[1] & 0x80:
        head += 4
        return escaped(data[:2]) + "…" + mask_body(data[head + length:])
    payload = data[head:head + length]
    if data[0] == 0x88:
        shown = escaped(payload[:2]) + ("…" if len(payload) > 2 else "")
        return escaped(data[:head], payload[:1]) + shown
    return escaped(data[:head]) + mask_piece(payload) + mask_body(data[head + length:])


def escaped(data, before=b""):
    """As strace writes it; octal in full where a digit follows."""
    out = ""
    for at, byte in enumerate(data):
        after = data[at + 1:at + 2] or before
        if byte in b"\r\n\t":
            out += {13: "\\r", 10: "\\n", 9: "\\t"}[byte]
        elif byte in b'"\\':
            out += "\\" + chr(byte)
        elif 32 <= byte < 127:
            out += chr(byte)
        else:
            out += f"\\{byte:03o}" if after.isdigit() else f"\\{byte:o}"
    return out

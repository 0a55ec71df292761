"""What the quiz says, in English and in Korean."""

# What each answer means, for --list; and why the lines that are named give it away.
ANSWERS = {
    "short_poll": {
        "en": ("the client asks again and again, and is answered at once",
               "Each question is answered before the loop waits again, news or none; and the client comes back with the next."),
        "ko": ("클라이언트가 되풀이해 묻고, 서버는 곧바로 답한다",
               "새 소식이 있든 없든, 루프가 다시 잠들기 전에 질문마다 답이 나간다. 클라이언트는 잠시 뒤 또 묻는다."),
    },
    "long_poll": {
        "en": ("the client asks, and the answer waits for news",
               "The question is read and nothing is written: the loop goes to sleep, the request is parked. Its answer, whole "
               "and with a length, leaves only when somebody else has published."),
        "ko": ("클라이언트가 묻고, 소식이 생길 때까지 응답이 보류된다",
               "질문을 읽고도 아무것도 쓰지 않은 채 루프가 잠든다. 요청이 대기 중인 것이다. 길이가 정해진 온전한 응답은 "
               "다른 누군가가 이벤트를 발행한 뒤에야 나간다."),
    },
    "stream": {
        "en": ("HTTP streaming: one answer without end, an object a line",
               "A chunk goes out on an answer that never ends, and what is in it is a JSON object and a newline."),
        "ko": ("HTTP 스트리밍: 끝나지 않는 응답 하나, 한 줄에 객체 하나",
               "끝나지 않는 응답에 청크가 실려 나가고, 청크 안에는 JSON 객체 하나와 줄바꿈이 있다."),
    },
    "sse": {
        "en": ("Server-Sent Events: one answer without end, of id: and data: lines",
               "A chunk goes out on an answer that never ends, with the fields of an event stream: id:, data:, an empty line."),
        "ko": ("Server-Sent Events: 끝나지 않는 응답 하나, id:와 data: 줄",
               "끝나지 않는 응답에 청크가 실려 나가고, 그 안에 이벤트 스트림의 필드(id:, data:, 빈 줄)가 있다."),
    },
    "websocket": {
        "en": ("one connection that stops speaking HTTP, and carries frames",
               "The answer is of the class 1xx: the same socket goes on with other words. What follows begins with \\201, "
               "0x81: a whole text message in one frame (RFC 6455 §5.2)."),
        "ko": ("HTTP를 그만두고 프레임을 나르는 연결",
               "응답이 1xx다. 같은 소켓에서 다른 프로토콜이 시작된다. 이어지는 바이트는 \\201, 곧 0x81이며 "
               "프레임 하나에 담긴 온전한 텍스트 메시지다(RFC 6455 §5.2)."),
    },
    "select": {
        "en": ("the whole set of fd numbers is handed over at each wait",
               "A wait hands over the highest fd plus one and three sets of numbers, which come back overwritten; and its "
               "timeout is a struct of its own."),
        "ko": ("기다릴 때마다 fd 번호 집합 전체를 넘긴다",
               "가장 큰 fd에 1을 더한 값과 번호 집합 셋을 넘기고, 커널이 덮어쓴 집합을 돌려받는다. 타임아웃은 별도의 구조체다."),
    },
    "poll": {
        "en": ("a list of fds, each with what is asked, is handed over at each wait",
               "Each wait hands over the whole list again, an entry for each fd with what is asked about it; its length is "
               "the second argument, and the answers come back in the same list."),
        "ko": ("기다릴 때마다 fd와 관심 이벤트의 목록 전체를 넘긴다",
               "기다릴 때마다 fd마다 한 칸씩인 목록 전체를 다시 넘긴다. 둘째 인자가 목록의 길이이고, 결과도 같은 목록에 실려 온다."),
    },
    "epoll": {
        "en": ("the list stays in the kernel, and only who is ready comes back",
               "An fd is told to the kernel once, by a call of its own; a wait names no list at all, only the one fd that "
               "stands for it, and gets back who is ready and nobody else."),
        "ko": ("목록은 커널에 남고, 준비된 것만 돌아온다",
               "fd는 별도의 호출로 커널에 한 번 등록된다. 기다릴 때는 목록 대신 그 목록을 대표하는 fd 하나만 넘기고, "
               "준비된 것만 돌려받는다."),
    },
    "none": {
        "en": ("nothing went wrong",
               "No call failed but with EAGAIN, no wait ran to its end, nobody left: there is nothing to explain."),
        "ko": ("아무 문제도 없었다",
               "EAGAIN 말고는 실패한 호출이 없고, 끝까지 간 타임아웃도, 떠난 클라이언트도 없다. 설명할 것이 없다."),
    },
    "client_reset": {
        "en": ("a client's connection was reset (RST)",
               "read(2) fails with ECONNRESET: the peer did not say goodbye, its kernel sent RST. The fd is closed."),
        "ko": ("클라이언트의 연결이 리셋되었다(RST)",
               "read(2)가 ECONNRESET으로 실패한다. 상대가 정상 종료를 알리지 않고 커널이 RST를 보낸 것이다. fd를 닫는다."),
    },
    "client_left": {
        "en": ("a client left in good order (FIN)",
               "read(2) gives 0 bytes: the peer has shut its side (FIN), and nothing more will come. The fd is closed."),
        "ko": ("클라이언트가 정상적으로 떠났다(FIN)",
               "read(2)가 0바이트를 돌려준다. 상대가 자기 쪽을 닫았고(FIN) 더 올 것이 없다. fd를 닫는다."),
    },
    "slow_reader": {
        "en": ("a client does not read what it is sent",
               "The kernel takes fewer bytes than it was given, for the buffers up to the client are full; from then on "
               "the loop also waits for that fd to become writable, and only that one."),
        "ko": ("클라이언트가 받은 것을 읽지 않는다",
               "클라이언트까지의 버퍼가 가득 차 커널이 건넨 것보다 적은 바이트만 받는다. 그때부터 루프는 그 fd 하나에 "
               "대해서만 쓰기 가능해지는 것도 함께 기다린다."),
    },
    "no_fd_left": {
        "en": ("the process may open no further fd (EMFILE)",
               "accept4(2) fails with EMFILE: a client waits in the backlog and there is no number to give it. The fd that was "
               "held back is given up for a moment so that the client can be told, and the listener rests."),
        "ko": ("프로세스가 fd를 더 열 수 없다(EMFILE)",
               "accept4(2)가 EMFILE로 실패한다. 백로그에 클라이언트가 있는데 내줄 fd 번호가 없다. 예비로 둔 fd를 잠깐 내주어 그 사실을 "
               "알리고, 리스너는 잠시 쉰다."),
    },
    "hold_over": {
        "en": ("the hold of a long poll was over (timeout)",
               "A wait ends with 0: nobody was ready, its time was over. Then a whole answer leaves on a connection from "
               "which nothing was read in this turn: the hold was its deadline."),
        "ko": ("롱 폴링의 보류 시간이 끝났다(타임아웃)",
               "대기가 0으로 끝난다. 준비된 것이 없이 시간이 다 된 것이다. 이번 바퀴에 아무것도 읽지 않은 연결로 온전한 "
               "응답이 나간다. 보류 시간의 마감이 그 원인이다."),
    },
    "interrupted": {
        "en": ("the wait was interrupted (EINTR): the process was stopped and went on",
               "The wait comes back though nobody is ready and its time is not over: the process was stopped and continued "
               "(SIGSTOP, SIGCONT). Nobody is closed for it. epoll_wait(2) is never restarted (EINTR), the others are."),
        "ko": ("대기가 중단되었다(EINTR): 프로세스가 멈췄다가 계속되었다",
               "준비된 것도 없고 시간도 남았는데 대기가 돌아온다. 프로세스가 멈췄다가 계속된 것이다(SIGSTOP, SIGCONT). "
               "그 때문에 닫히는 연결은 없다. epoll_wait(2)는 재시작되지 않고(EINTR) 나머지는 재시작된다."),
    },
    "slow_head": {
        "en": ("a request's head did not come in time (408)",
               "A head is read that has no empty line at its end; the wait runs out with 0; then a refusal of the class 4xx "
               "is written to that fd: 408."),
        "ko": ("요청 헤더가 제때 다 오지 않았다(408)",
               "빈 줄로 끝나지 않은 헤더를 읽는다. 대기가 0으로 끝나고, 같은 fd에 4xx 거절이 나간다. 408이다."),
    },
    "silent_client": {
        "en": ("a client connected and said nothing",
               "A connection is accepted, and nothing is ever read from it; the wait runs out with 0, and it is closed without a word."),
        "ko": ("클라이언트가 연결하고는 아무 말도 하지 않았다",
               "연결을 받았으나 거기서 읽은 것이 없다. 대기가 0으로 끝나고, 한마디 없이 닫힌다."),
    },
    "draining": {
        "en": ("the server was asked to end (SIGTERM) and drains",
               "128 bytes are read, a struct signalfd_siginfo, which begins with the number of the signal: \\17 is octal for 15, "
               "SIGTERM. The listener is closed, and then everybody is told goodbye."),
        "ko": ("서버가 종료 요청(SIGTERM)을 받고 드레인 중이다",
               "128바이트를 읽는다. struct signalfd_siginfo이며 시그널 번호로 시작한다. \\17은 8진수로 15, 곧 SIGTERM이다. "
               "리스너를 닫고, 이어서 모두에게 작별 인사를 보낸다."),
    },
    "replaced": {
        "en": ("a second long poll of the same browser took the place of the first",
               "A question is read from one fd, and the answer goes to another, from which nothing was read in this turn; and "
               "nobody has published. Who asked is parked now, in the place of the one who was answered (RFC 6202 §5.1)."),
        "ko": ("같은 브라우저의 두 번째 롱 폴링이 첫 번째의 자리를 차지했다",
               "한 fd에서 질문을 읽었는데 응답은 이번 바퀴에 아무것도 읽지 않은 다른 fd로 나간다. 발행한 사람도 없다. 방금 물은 "
               "쪽이 응답받은 쪽을 대신해 대기한다(RFC 6202 §5.1)."),
    },
    "bad_frame": {
        "en": ("a client broke the WebSocket protocol (1002)",
               "What is read is a text frame whose second byte lacks the bit 0x80: a client must mask (RFC 6455 §5.1). The "
               "answer begins with \\210, a close frame, and its code is \\3\\352: 1002."),
        "ko": ("클라이언트가 WebSocket 프로토콜을 어겼다(1002)",
               "읽은 텍스트 프레임의 둘째 바이트에 0x80 비트가 없다. 클라이언트는 마스킹해야 한다(RFC 6455 §5.1). 응답은 "
               "\\210, 곧 종료 프레임으로 시작하고 코드는 \\3\\352, 1002다."),
    },
    "no_pong": {
        "en": ("a client did not answer a ping",
               "After a silence \\211 is written, a ping. Another wait runs out with 0, no pong was read, and the fd is closed."),
        "ko": ("클라이언트가 ping에 답하지 않았다",
               "조용한 시간이 지난 뒤 \\211, 곧 ping을 보낸다. 다음 대기도 0으로 끝나고 pong을 읽지 못한 채 fd를 닫는다."),
    },
}

SAY = {
    "en": {
        "title": "Strace forensics, level {level}, seed {seed}",
        "masked": "What a server did, call by call; in the second column the seconds since the first. The wait is called WAIT\n"
                  "whichever it is, registering an fd TELL. Paths, names, ids, ports and pids are cut. … at the end of a line:\n"
                  "the call has not returned.",
        "technique": "technique", "mechanism": "mechanism", "fault": "fault",
        "ask_technique": "By which technique do the clients hear of news?",
        "ask_mechanism": "By which mechanism does the server wait?",
        "ask_fault": "What went wrong, if anything?",
        "help": " (? explains them)",
        "again": "{word} is none of them",
        "right": "right", "wrong": "no, it was {truth}",
        "lines": "lines {numbers}", "line": "line {numbers}",
        "score": "{right} of {all} right",
        "how": "Answer with: scripts/quiz{options} --answer '{example}'",
        "only": "only with {technique}",
        "end": "no answer was given; {how}",
    },
    "ko": {
        "title": "strace 포렌식, 레벨 {level}, 시드 {seed}",
        "masked": "서버가 한 일을 호출 순서대로 적었다. 둘째 열은 첫 호출부터 지난 초다. 어떤 호출로 기다리든 WAIT, fd 등록은\n"
                  "TELL이라 적는다. 경로, 이름, id, 포트, pid는 가렸다. 줄 끝의 …는 호출이 아직 돌아오지 않았다는 뜻이다.",
        "technique": "기법", "mechanism": "메커니즘", "fault": "이상",
        "ask_technique": "클라이언트는 어떤 기법으로 소식을 듣는가?",
        "ask_mechanism": "서버는 어떤 메커니즘으로 기다리는가?",
        "ask_fault": "무슨 일이 잘못되었는가? 아무 일도 없었을 수 있다.",
        "help": " (?를 입력하면 설명한다)",
        "again": "보기에 없는 답이다: {word}",
        "right": "맞다", "wrong": "아니다. 답은 {truth}",
        "lines": "{numbers}번 줄", "line": "{numbers}번 줄",
        "score": "{all}개 중 {right}개 정답",
        "how": "답하려면: scripts/quiz{options} --answer '{example}'",
        "only": "{technique}에서만",
        "end": "답이 없다. {how}",
    },
}

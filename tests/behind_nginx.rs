//! Behind a real nginx, by the configuration in docs/nginx.conf; and what breaks without each of its
//! lines, as docs/PROXIES.md says.

mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};
use support::{Answer, Client, Server, eventually};

/// What is documented, and so what is tested.
const DOCUMENTED: &str = include_str!("../docs/nginx.conf");

/// What lies around it. One process, so that its end is the end of all of it.
const AROUND: &str = "daemon off;
master_process off;
pid nginx.pid;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include doorbell.conf;
}
";

const BUFFERING: &str = "proxy_buffering off;";
const READ_TIMEOUT: &str = "proxy_read_timeout 150s;";
const HOST: &str = "proxy_set_header Host $http_host;";
const VERSION: &str = "proxy_http_version 1.1;";
const CONNECTION: &str = "proxy_set_header Connection $doorbell_connection;";
const UPGRADE: &str = "proxy_set_header Upgrade $http_upgrade;";

/// An nginx with a folder of its own. Both are gone when it is dropped.
struct Nginx {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Nginx {
    /// As documented, before this address.
    fn before(upstream: SocketAddr) -> Nginx {
        Nginx::with(upstream, &[])
    }

    /// As documented, but for these words, each of which must be there once.
    fn with(upstream: SocketAddr, changes: &[(&str, &str)]) -> Nginx {
        static COUNT: AtomicU8 = AtomicU8::new(1);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let [.., high, low] = std::process::id().to_be_bytes();
        // An address that nobody else uses: a port that is free there stays free.
        let host = Ipv4Addr::new(127, high.max(1), low, count);
        let address = TcpListener::bind((host, 0)).and_then(|free| free.local_addr()).unwrap();
        let folder = std::env::temp_dir().join(format!("doorbell-nginx-{}-{count}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();

        let (listen, server) = (format!("listen {address};"), format!("server {upstream};"));
        let places = [("listen 80;", &*listen), ("server 127.0.0.1:8080;", &*server)];
        let mut around = AROUND.to_owned();
        let mut documented = DOCUMENTED.to_owned();
        for (from, to) in places.iter().chain(changes) {
            let text = if around.contains(from) { &mut around } else { &mut documented };
            assert_eq!(text.matches(from).count(), 1, "{from:?} in docs/nginx.conf");
            *text = text.replace(from, to);
        }
        fs::write(folder.join("nginx.conf"), around).unwrap();
        fs::write(folder.join("doorbell.conf"), documented).unwrap();
        let mut nginx = Nginx { child: start(&folder), address, folder };
        eventually("nginx to listen", || {
            if let Some(status) = nginx.child.try_wait().unwrap() {
                panic!("nginx ended with {status}: {}", nginx.log());
            }
            TcpStream::connect(address).ok()
        });
        nginx
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("error.log")).unwrap_or_default()
    }

    fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).unwrap())
    }

    fn get(&self, target: &str) -> Answer {
        self.connect().get(target)
    }

    /// A client that has asked for an answer without end, and has its head.
    fn follow(&self, target: &str) -> Client {
        let mut client = self.connect();
        client.ask(target);
        let head = client.read_until("\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        client
    }

    /// POSTs to the lobby, as a page of `origin` that was found under `host`.
    fn post(&self, host: &str, origin: &str, body: &str) -> Answer {
        let mut client = self.connect();
        let length = body.len();
        client.send(&format!(
            "POST /event HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ));
        client.answer()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn start(folder: &Path) -> Child {
    // It is not on everybody's PATH.
    let installed = Path::new("/usr/sbin/nginx");
    let program = if installed.exists() { installed } else { Path::new("nginx") };
    let mut command = Command::new(program);
    command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")).arg("-e").arg("error.log");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| panic!("nginx: {error}; run ./scripts/test, which installs it"))
}

/// Everything that comes within a second.
fn heard_in_a_second(client: &mut Client) -> String {
    let until = Instant::now() + Duration::from_secs(1);
    let mut heard = std::mem::take(&mut client.kept);
    let mut buffer = [0; 4096];
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        client.stream.set_read_timeout(Some(left)).unwrap();
        match client.stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => heard.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => panic!("{error}"),
        }
    }
    client.stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    String::from_utf8(heard).unwrap()
}

/// An answer that nginx gives by itself: doorbell would give a problem in JSON.
fn expect_of_nginx(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{} {}", answer.head, answer.body);
    assert_eq!(answer.field("Content-Type"), Some("text/html"), "{}", answer.head);
}

/// An answer that doorbell gave.
fn expect_of_doorbell(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{} {}", answer.head, answer.body);
    assert_ne!(answer.field("Content-Type"), Some("text/html"), "{}", answer.head);
}

fn handshake(host: &str, fields: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {host}\r\n{fields}Upgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

#[test]
fn polls_and_publications_come_through() {
    let server = Server::start(&[]);
    let nginx = Nginx::before(server.address);
    assert!(nginx.get("/news").body.contains("\"empty\""));
    assert!(nginx.get("/poll?timeout=100ms").body.contains("\"timeout\""));

    let mut parked = nginx.connect();
    parked.ask("/poll");
    server.wait_for_subscribers(1);
    let published = nginx.post("bell.example", "http://bell.example", "안녕하세요");
    expect_of_doorbell(&published, 201);
    assert!(published.body.contains("\"long_poll\":1"), "{}", published.body);
    assert!(parked.answer().body.contains("\"data\":\"안녕하세요\""));
    assert!(nginx.get("/news").body.contains("\"data\":\"안녕하세요\""));
    assert!(nginx.get("/").body.contains("<title>doorbell</title>"));
}

#[test]
fn each_event_of_a_stream_comes_through_while_it_is_open() {
    let server = Server::start(&[]);
    let nginx = Nginx::before(server.address);
    for (target, first, end) in [("/connect", "id: ", "\n\n"), ("/stream", "welcome", "}\n")] {
        let mut stream = nginx.follow(target);
        stream.read_until(first);
        for text in ["one", "two"] {
            server.publish("lobby", text);
            stream.read_until(text);
            stream.read_until(end);
        }
    }
}

#[test]
fn websockets_come_through() {
    let server = Server::start(&["--ping-interval", "2s"]);
    let nginx = Nginx::before(server.address);
    for target in ["/ws", "/"] {
        let mut socket = nginx.connect();
        socket.upgrade(target);
        assert!(socket.message().contains("\"welcome\""));
        socket.send_frame(1, b"ring");
        assert!(socket.message().contains("\"data\":\"ring\""));
    }
    let mut echo = nginx.connect();
    echo.upgrade("/echo");
    echo.send_frame(2, &[7; 100_000]);
    assert_eq!(echo.frame(), (0x82, vec![7; 100_000]));
    // So do a ping, its pong and a close.
    for _ in 0..2 {
        assert_eq!(echo.frame(), (0x89, Vec::new()));
        echo.send_frame(10, b"");
    }
    server.signal("TERM");
    assert_eq!(echo.close_code(), 1001);
}

#[test]
fn without_the_upgrade_fields_a_websocket_is_426() {
    let server = Server::start(&[]);
    for (changes, status) in [
        (&[(UPGRADE, ""), (CONNECTION, "")][..], 426),
        (&[(UPGRADE, "")], 426),
        (&[(VERSION, "proxy_http_version 1.0;")], 426),
        // Half of it is a handshake, but a bad one.
        (&[(CONNECTION, "")], 400),
    ] {
        let nginx = Nginx::with(server.address, changes);
        let mut client = nginx.connect();
        client.send(&handshake("a", ""));
        expect_of_doorbell(&client.answer(), status);
    }
}

/// nginx does not hear what an answer says of buffering.
const DEAF: &str = "proxy_ignore_headers X-Accel-Buffering;";

#[test]
fn events_are_held_back_by_buffering_unless_the_answer_or_the_configuration_says_no() {
    let server = Server::start(&[]);
    // HTTP/1.0 is what nginx spoke to those behind it by default before 1.29.7.
    let old = (VERSION, "proxy_http_version 1.0;");
    let deaf_but_off = format!("{BUFFERING} {DEAF}");
    for buffering in [(BUFFERING, ""), (BUFFERING, &*deaf_but_off)] {
        let nginx = Nginx::with(server.address, &[old, buffering]);
        let mut streams = ["/connect", "/stream"].map(|target| nginx.follow(target));
        server.wait_for_subscribers(2);
        server.publish("lobby", "at once");
        for stream in &mut streams {
            stream.read_until("at once");
        }
        drop(streams);
        server.wait_for_subscribers(0);
    }

    let nginx = Nginx::with(server.address, &[old, (BUFFERING, DEAF)]);
    let mut streams = ["/connect", "/stream"].map(|target| {
        let mut client = nginx.connect();
        client.ask(target);
        client
    });
    server.wait_for_subscribers(2);
    server.publish("lobby", "held back");
    for stream in &mut streams {
        let heard = heard_in_a_second(stream);
        assert!(!heard.contains("held back"), "{heard}");
    }
    // It was there all the time: it comes with the end.
    server.signal("TERM");
    for stream in &mut streams {
        stream.read_until("held back");
    }
}

#[test]
fn a_reader_too_slow_is_let_go_unless_nginx_buffers_for_it() {
    let let_go = |buffering: &str| {
        let server = Server::start(&["--outbox-limit", "64KiB"]);
        let nginx = Nginx::with(server.address, &[(BUFFERING, buffering)]);
        let _asleep = nginx.follow("/stream");
        server.wait_for_subscribers(1);
        // More than two pairs of sockets hold.
        let megabyte = "x".repeat(1024 * 1024);
        (0..40).any(|_| server.publish("lobby", &megabyte).contains("\"stream\":0"))
    };
    assert!(let_go(BUFFERING));
    assert!(let_go(""));
    assert!(!let_go(DEAF), "nginx reads all of it, and keeps it in a file");
}

#[test]
fn the_word_on_buffering_reaches_the_next_proxy_only_if_it_is_passed_on() {
    let server = Server::start(&[]);
    for (changes, word) in
        [(&[][..], Some("no")), (&[("proxy_pass_header X-Accel-Buffering;", "")][..], None)]
    {
        let nginx = Nginx::with(server.address, changes);
        let mut client = nginx.connect();
        client.ask("/connect");
        let head = client.read_until("\r\n\r\n");
        let answer = Answer { status: 200, head, body: String::new() };
        assert_eq!(answer.field("X-Accel-Buffering"), word, "{}", answer.head);
        assert_eq!(answer.field("Cache-Control"), Some("no-cache"));
    }
}

#[test]
fn a_read_timeout_below_the_hold_is_504() {
    let server = Server::start(&["--hold", "30s"]);
    let nginx = Nginx::with(server.address, &[(READ_TIMEOUT, "proxy_read_timeout 1s;")]);
    expect_of_nginx(&nginx.get("/poll"), 504);
    let answer = nginx.get("/poll?timeout=500ms");
    assert!(answer.status == 200 && answer.body.contains("\"timeout\""), "{}", answer.body);
}

#[test]
fn a_read_timeout_below_the_ping_interval_cuts_streams_and_websockets() {
    let silent = Server::start(&["--ping-interval", "20s"]);
    let chatty = Server::start(&["--ping-interval", "500ms"]);
    let impatient = |server: &Server| {
        let nginx = Nginx::with(server.address, &[(READ_TIMEOUT, "proxy_read_timeout 2s;")]);
        let streams = ["/connect", "/stream"].map(|target| nginx.follow(target));
        let mut socket = nginx.connect();
        socket.upgrade("/ws");
        socket.message();
        (nginx, streams, socket)
    };
    let (_nginx, [mut sse, mut stream], mut socket) = impatient(&silent);
    for client in [&mut sse, &mut stream, &mut socket] {
        client.read_to_end();
    }
    let (_nginx, [mut sse, mut stream], mut socket) = impatient(&chatty);
    let through_six = |beat: &mut (dyn FnMut() + Send)| (0..6).for_each(|_| beat());
    // Side by side, for who does not answer a ping in time is let go.
    std::thread::scope(|scope| {
        scope.spawn(|| through_six(&mut || drop(sse.read_until("\n:\n\n"))));
        scope.spawn(|| through_six(&mut || drop(stream.read_until("\r\n\n\r\n"))));
        scope.spawn(|| {
            through_six(&mut || {
                assert_eq!(socket.frame(), (0x89, Vec::new()));
                socket.send_frame(10, b"");
            });
        });
    });
}

#[test]
fn the_documented_times_go_with_the_defaults() {
    let settings = doorbell::settings::Settings::default();
    let seconds = |word: &str| {
        let rest = DOCUMENTED.split(&format!(" {word} ")).nth(1).unwrap();
        Duration::from_secs(rest.split("s;").next().unwrap().parse().unwrap())
    };
    assert!(seconds("proxy_read_timeout") > settings.max_hold.max(settings.ping_interval));
    assert!(seconds("keepalive_timeout") < settings.idle_timeout);
}

#[test]
fn a_page_may_publish_only_if_the_host_arrives_as_the_browser_sent_it() {
    let server = Server::start(&[]);
    let as_documented = Nginx::before(server.address);
    // What nginx sends by itself is $proxy_host; $host has lost the port.
    let by_default = Nginx::with(server.address, &[(HOST, "")]);
    let without_port = Nginx::with(server.address, &[(HOST, "proxy_set_header Host $host;")]);
    for (nginx, host, status) in [
        (&as_documented, "bell.example", 201),
        (&as_documented, "bell.example:8443", 201),
        (&by_default, "bell.example", 403),
        (&without_port, "bell.example", 201),
        (&without_port, "bell.example:8443", 403),
    ] {
        let origin = format!("https://{host}");
        expect_of_doorbell(&nginx.post(host, &origin, "ring"), status);
        let mut socket = nginx.connect();
        socket.send(&handshake(host, &format!("Origin: {origin}\r\n")));
        assert_eq!(socket.answer().status, if status == 201 { 101 } else { 403 });
    }
    expect_of_doorbell(&as_documented.post("bell.example", "https://evil.example", "ring"), 403);
}

#[test]
fn what_is_for_the_machine_itself_is_not_reachable_from_outside() {
    let server = Server::start(&[]);
    let nginx = Nginx::before(server.address);
    for path in ["/kernel", "/metrics"] {
        let behind = ["", "?limit=1", "#part", "/", "/multiplexer"].map(|more| format!("{path}{more}"));
        let before = ["/", "/.", "/x/..", "http://a"].map(|more| format!("{more}{path}"));
        let within = [path.replace('e', "%65"), format!("{path}/..{path}")];
        for target in behind.iter().chain(&before).chain(&within) {
            expect_of_nginx(&nginx.get(target), 404);
        }
    }
    let mut client = nginx.connect();
    let body = r#"{"multiplexer":"poll"}"#;
    client.send(&format!(
        "POST /kernel/multiplexer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    expect_of_nginx(&client.answer(), 404);
    let open = Nginx::with(server.address, &[("location ~ ^/(kernel|metrics)(/|$)", "location /nothing")]);
    expect_of_doorbell(&open.get("/metrics"), 200);
    // Other paths that only begin like these are doorbell's to answer.
    expect_of_doorbell(&nginx.get("/metricsx"), 404);
    assert_eq!(nginx.get("/healthz").status, 200);
}

#[test]
fn doorbell_is_told_who_asks_and_what_for() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = upstream.local_addr().unwrap();
    let nginx = Nginx::before(address);
    let asked_with = |nginx: &Nginx, fields: &str| {
        let mut client = nginx.connect();
        client.send(&format!("GET /news?since=start HTTP/1.1\r\nHost: bell.example:81\r\n{fields}\r\n"));
        let mut arrived = Client::new(upstream.accept().unwrap().0);
        let head = arrived.read_until("\r\n\r\n");
        arrived.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert_eq!(client.answer().status, 204);
        assert!(head.starts_with("GET /news?since=start HTTP/1.1\r\n"), "{head}");
        Answer { status: 0, head, body: String::new() }
    };
    let made_up = "X-Forwarded-For: 192.0.2.1\r\n";
    let plain = asked_with(&nginx, &format!("{made_up}Connection: keep-alive\r\nLast-Event-ID: a-1\r\n"));
    assert_eq!(plain.field("Host"), Some("bell.example:81"));
    assert_eq!(plain.field("X-Forwarded-For"), Some("127.0.0.1"), "not what the client made up");
    assert_eq!(plain.head.matches("X-Forwarded-For").count(), 1);
    assert_eq!(plain.field("Last-Event-ID"), Some("a-1"));
    assert_eq!((plain.field("Connection"), plain.field("Upgrade")), (None, None));
    let upgrade = asked_with(&nginx, "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n");
    assert_eq!((upgrade.field("Connection"), upgrade.field("Upgrade")), (Some("upgrade"), Some("websocket")));
    let without = Nginx::with(address, &[("proxy_set_header X-Forwarded-For $remote_addr;", "")]);
    assert_eq!(asked_with(&without, made_up).field("X-Forwarded-For"), Some("192.0.2.1"));
}

#[test]
fn connections_to_doorbell_are_used_again() {
    let connections_for_ten = |changes: &[(&str, &str)]| {
        let server = Server::start(&[]);
        let nginx = Nginx::with(server.address, changes);
        let before = server.metric("doorbell_accepted_total");
        for _ in 0..10 {
            assert_eq!(nginx.get("/news").status, 200);
        }
        // One of them asks how many there are.
        server.metric("doorbell_accepted_total") - before - 1.0
    };
    assert_eq!(connections_for_ten(&[]), 1.0);
    assert_eq!(connections_for_ten(&[("\"\"      \"\";", "\"\"      close;")]), 10.0);
}

/// The status that each of three gets who come from different addresses and stay.
fn three_who_stay(nginx: &Nginx, from: [u8; 3]) -> [u16; 3] {
    let mut staying = Vec::new();
    from.map(|last| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, last], 0)).into()).unwrap();
        socket.connect(&nginx.address.into()).unwrap();
        let mut client = Client::new(socket.into());
        client.ask("/connect");
        let status = client.read_until("\r\n").split(' ').nth(1).unwrap().parse().unwrap();
        staying.push(client);
        status
    })
}

#[test]
fn limits_by_address_are_for_nginx_to_keep() {
    let server = Server::start(&[]);
    let nginx = Nginx::with(server.address, &[("limit_conn doorbell 100;", "limit_conn doorbell 1;")]);
    assert_eq!(three_who_stay(&nginx, [2, 2, 3]), [200, 429, 200]);

    // For doorbell they all come from one.
    let server = Server::start(&["--max-connections-per-ip", "2"]);
    let nginx = Nginx::before(server.address);
    assert_eq!(three_who_stay(&nginx, [2, 3, 4]), [200, 200, 429]);

    let server = Server::start(&["--publish-rate", "1/s"]);
    let nginx = Nginx::before(server.address);
    let statuses = [(); 3].map(|()| nginx.post("a", "http://a", "ring").status);
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[test]
fn a_larger_body_has_to_be_allowed_by_both() {
    let server = Server::start(&["--max-body", "2MiB"]);
    let body = "x".repeat(3 * 1024 * 1024 / 2);
    let post = |nginx: &Nginx| {
        let mut client = nginx.connect();
        let length = body.len();
        client.send(&format!(
            "POST /event HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        ));
        if client.read_until("\r\n").contains(" 100 ") {
            client.read_until("\r\n");
            client.send(&body);
            return client.answer().status;
        }
        413
    };
    assert_eq!(post(&Nginx::before(server.address)), 413);
    let changes = [("client_max_body_size 1m;", "client_max_body_size 2m;")];
    assert_eq!(post(&Nginx::with(server.address, &changes)), 201);
}

#[test]
fn each_client_takes_two_of_the_worker_connections() {
    let server = Server::start(&[]);
    let open = |worker_connections: &str| {
        let changes = [("worker_connections 512;", worker_connections)];
        let nginx = Nginx::with(server.address, &changes);
        let mut clients: Vec<Client> = (0..10).map(|_| nginx.connect()).collect();
        let mut served = 0;
        for client in &mut clients {
            // Who finds no place is told 500, or let go without a word.
            let _ = client.stream.write_all(b"GET /connect HTTP/1.1\r\nHost: a\r\n\r\n");
            let mut first = [0; 12];
            served += usize::from(client.stream.read_exact(&mut first).is_ok() && first == *b"HTTP/1.1 200");
        }
        served
    };
    assert_eq!(open("worker_connections 64;"), 10);
    assert!(open("worker_connections 16;") < 10);
}

#[test]
fn who_leaves_nginx_leaves_doorbell() {
    let server = Server::start(&[]);
    let nginx = Nginx::before(server.address);
    let mut parked = nginx.connect();
    parked.ask("/poll");
    let mut socket = nginx.connect();
    socket.upgrade("/ws");
    let clients = (parked, socket, nginx.follow("/connect"), nginx.follow("/stream"));
    server.wait_for_subscribers(4);
    drop(clients);
    server.wait_for_subscribers(0);
}

#[test]
fn a_drained_long_poll_is_an_answer_and_not_an_error() {
    let server = Server::start(&[]);
    let nginx = Nginx::before(server.address);
    let mut parked = nginx.connect();
    parked.ask("/poll");
    let mut stream = nginx.follow("/stream");
    server.wait_for_subscribers(2);
    server.signal("TERM");
    let answer = parked.answer();
    expect_of_doorbell(&answer, 200);
    assert!(answer.body.contains("\"draining\""), "{}", answer.body);
    // The stream ends as a stream should: with the last chunk.
    stream.read_until("\r\n0\r\n\r\n");
    // What was closed is nginx's connection to doorbell, not the client's to nginx. From now on
    // nobody is there.
    drop(server);
    expect_of_nginx(&parked.get("/poll"), 502);
}

//! Sockets: from socket(2) to shutdown(2).

use super::process::{file_status, open_file};
use super::{Call, Fd, heard, told};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrLike, SockaddrStorage};
use nix::sys::socket::{UnixAddr, setsockopt, sockopt};
use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where to listen, and once listening, where it came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An address and a port; port 0 lets the kernel choose a free one.
    Tcp(SocketAddr),
    /// A socket in the file system (unix(7)).
    Unix(PathBuf),
}

/// A socket that accepts connections, and its true address.
#[derive(Debug)]
pub struct Listening {
    /// The listening socket, non-blocking.
    pub fd: Fd,
    /// Its address, with the port that the kernel chose.
    pub endpoint: Endpoint,
}

/// Opens, binds and listens. The options are set here once, because what accept4(2) hands out
/// inherits them from the listener (tcp(7)):
///
/// - TCP_NODELAY: an answer is one write, so Nagle's algorithm could only delay it.
/// - TCP_USER_TIMEOUT: a peer that acknowledges nothing for `unacknowledged` is given up.
/// - SO_KEEPALIVE, so that a silent peer is asked now and then whether it is still there.
///
/// The backlog is what the system allows (`/proc/sys/net/core/somaxconn`); asking for more is cut
/// to that (listen(2)).
pub fn listen_on(endpoint: &Endpoint, unacknowledged: Duration) -> io::Result<Listening> {
    match endpoint {
        Endpoint::Tcp(address) => listen_tcp(*address, unacknowledged),
        Endpoint::Unix(path) => listen_unix(path),
    }
}

fn listen_tcp(address: SocketAddr, unacknowledged: Duration) -> io::Result<Listening> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = open(family)?;
    let millis = unacknowledged.as_millis().min(i32::MAX as u128) as u32;
    let on = setsockopt(&borrow(&fd), sockopt::ReuseAddr, &true);
    option(&fd, "SOL_SOCKET, SO_REUSEADDR", 1, on)?;
    let on = setsockopt(&borrow(&fd), sockopt::TcpNoDelay, &true);
    option(&fd, "SOL_TCP, TCP_NODELAY", 1, on)?;
    let set = setsockopt(&borrow(&fd), sockopt::TcpUserTimeout, &millis);
    option(&fd, "SOL_TCP, TCP_USER_TIMEOUT", millis, set)?;
    let on = setsockopt(&borrow(&fd), sockopt::KeepAlive, &true);
    option(&fd, "SOL_SOCKET, SO_KEEPALIVE", 1, on)?;
    if address.is_ipv6() {
        // [::]:8080 and 0.0.0.0:8080 can then be listened on side by side.
        let on = setsockopt(&borrow(&fd), sockopt::Ipv6V6Only, &true);
        option(&fd, "SOL_IPV6, IPV6_V6ONLY", 1, on)?;
    }
    bind_and_listen(&fd, &SockaddrStorage::from(address), &words(address))?;
    let bound = bound_to(&fd)?;
    let port = match (bound.as_sockaddr_in(), bound.as_sockaddr_in6()) {
        (Some(v4), _) => v4.port(),
        (_, Some(v6)) => v6.port(),
        _ => address.port(),
    };
    Ok(Listening { fd, endpoint: Endpoint::Tcp(SocketAddr::new(address.ip(), port)) })
}

fn listen_unix(path: &Path) -> io::Result<Listening> {
    let address = UnixAddr::new(path)?;
    let fd = open(AddressFamily::Unix)?;
    if is_abandoned(path, &address)? {
        unlink(path)?;
    }
    bind_and_listen(&fd, &address, &unix_words(path))?;
    Ok(Listening { fd, endpoint: Endpoint::Unix(path.to_owned()) })
}

/// Whether a socket file is there that nobody listens on any more, left by a killed server.
fn is_abandoned(path: &Path, address: &UnixAddr) -> io::Result<bool> {
    // connect(2) to a file that is no socket is refused too: such a file is somebody's, and stays.
    let name = CString::new(path.as_os_str().as_bytes())?;
    let is_socket = file_status(&name, false).is_ok_and(|file| file.st_mode & libc::S_IFMT == libc::S_IFSOCK);
    if !is_socket {
        return Ok(false);
    }
    let probe = open(AddressFamily::Unix)?;
    let answer = socket::connect(probe.number(), address);
    let answer = heard(Call::Connect, answer, 0, |telling, _| {
        telling.with(probe.number()).with(unix_words(path)).with(address.len());
    });
    Ok(answer.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
}

fn open(family: AddressFamily) -> io::Result<Fd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let opened = socket::socket(family, SockType::Stream, flags, None);
    let name = match family {
        AddressFamily::Inet => "AF_INET",
        AddressFamily::Inet6 => "AF_INET6",
        _ => "AF_UNIX",
    };
    let protocol = if family == AddressFamily::Unix { "0" } else { "IPPROTO_IP" };
    let number = opened.as_ref().map_or(0, |fd| fd.as_raw_fd() as usize);
    let opened = heard(Call::Socket, opened, number, |telling, _| {
        telling.with(name).with("SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK").with(protocol);
    });
    opened.map(|fd| Fd::new(fd.into_raw_fd() as usize))
}

fn bind_and_listen(fd: &Fd, address: &dyn SockaddrLike, words: &str) -> io::Result<()> {
    let number = fd.number();
    let bound = socket::bind(number, address);
    heard(Call::Bind, bound, 0, |telling, _| {
        telling.with(number).with(words).with(address.len());
    })?;
    let listens = socket::listen(&borrow(fd), Backlog::MAXALLOWABLE);
    heard(Call::Listen, listens, 0, |telling, _| {
        telling.with(number).with(libc::c_int::from(Backlog::MAXALLOWABLE));
    })
}

/// getsockname(2): the address with the port that the kernel chose.
fn bound_to(fd: &Fd) -> io::Result<SockaddrStorage> {
    let bound: nix::Result<SockaddrStorage> = socket::getsockname(fd.number());
    heard(Call::Getsockname, bound, 0, |telling, _| {
        let address = bound.ok().as_ref().and_then(to_internet);
        let length = address.map_or(0, length);
        telling
            .with(fd.number())
            .with(address.map_or("{}".into(), words))
            .with(format!("[{ROOM} => {length}]"));
    })
}

fn to_internet(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}

/// How much room an address of any kind needs.
const ROOM: usize = size_of::<libc::sockaddr_storage>();

/// How long an address of its kind is.
fn length(address: SocketAddr) -> usize {
    if address.is_ipv4() { size_of::<libc::sockaddr_in>() } else { size_of::<libc::sockaddr_in6>() }
}

/// An address as strace(1) writes it.
fn words(address: SocketAddr) -> String {
    let port = address.port();
    match address {
        SocketAddr::V4(v4) => {
            let ip = v4.ip();
            format!("{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr(\"{ip}\")}}")
        }
        SocketAddr::V6(v6) => {
            let (ip, flow, scope) = (v6.ip(), v6.flowinfo(), v6.scope_id());
            format!(
                "{{sa_family=AF_INET6, sin6_port=htons({port}), sin6_flowinfo=htonl({flow}), inet_pton(AF_INET6, \"{ip}\", &sin6_addr), sin6_scope_id={scope}}}"
            )
        }
    }
}

fn unix_words(path: &Path) -> String {
    format!("{{sa_family=AF_UNIX, sun_path=\"{}\"}}", path.display())
}

/// accept4(2) with SOCK_NONBLOCK and SOCK_CLOEXEC: the next connection from the backlog, and who it
/// is (`None` for a Unix socket, whose clients have no address).
pub fn accept4(listener: &Fd) -> io::Result<(Fd, Option<SocketAddr>)> {
    let mut address = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut length = ROOM as libc::socklen_t;
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the kernel writes at most `length` bytes, all of them `address`'s.
    let result = unsafe { libc::accept4(listener.number(), address.as_mut_ptr().cast(), &mut length, flags) };
    // SAFETY: all-zero bytes are a valid sockaddr_storage, and so is what the kernel wrote.
    let peer = internet_address(unsafe { address.assume_init_ref() });
    let fd = told!(Call::Accept4, result as isize, |telling, _| {
        let about = if result >= 0 { result } else { listener.number() };
        telling.about(about).with(listener.number());
        match (result >= 0, peer) {
            (false, _) => telling.with(format!("{:p}", address.as_ptr())).with(format!("[{ROOM}]")),
            (true, Some(peer)) => telling.with(words(peer)).with(format!("[{ROOM} => {length}]")),
            (true, None) => telling.with("{sa_family=AF_UNIX}").with(format!("[{ROOM} => {length}]")),
        };
        telling.with("SOCK_CLOEXEC|SOCK_NONBLOCK");
    })?;
    Ok((Fd::new(fd), peer))
}

fn internet_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let pointer = std::ptr::from_ref(storage);
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: ss_family says that it is a sockaddr_in; sockaddr_storage is large enough
            // and aligned for every kind.
            let v4 = unsafe { &*pointer.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::from((ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for sockaddr_in6.
            let v6 = unsafe { &*pointer.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddr::from((ip, u16::from_be(v6.sin6_port))))
        }
        _ => None,
    }
}

/// shutdown(2) with SHUT_WR: sends our FIN behind what was written, and can still read.
pub fn shutdown_write(fd: &Fd) -> io::Result<()> {
    // SAFETY: no pointers are involved.
    let result = unsafe { libc::shutdown(fd.number(), libc::SHUT_WR) };
    told!(Call::Shutdown, result as isize, |telling, _| {
        telling.on(fd.number()).with("SHUT_WR");
    })
    .map(drop)
}

/// unlink(2) of the socket that a listener leaves in the file system.
pub fn remove_socket_file(path: &Path) {
    let _ = unlink(path);
}

fn unlink(path: &Path) -> io::Result<()> {
    let removed = std::fs::remove_file(path);
    heard(Call::Unlink, removed, 0, |telling, _| {
        telling.path(&path.to_string_lossy());
    })
}

/// An fd for nothing, on /dev/null: held back, so that there is one to give up when there are no
/// others.
pub fn open_spare() -> io::Result<Fd> {
    open_file("/dev/null")
}

fn borrow(fd: &Fd) -> BorrowedFd<'_> {
    // SAFETY: the number is open for as long as the `Fd` it is borrowed from.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd.number()) };
    debug_assert_eq!(borrowed.as_raw_fd(), fd.number());
    borrowed
}

fn option(fd: &Fd, name: &str, value: u32, result: nix::Result<()>) -> io::Result<()> {
    let size = size_of::<libc::c_int>();
    heard(Call::Setsockopt, result, 0, |telling, _| {
        telling.with(fd.number()).with(name).with(format!("[{value}]")).with(size);
    })
}

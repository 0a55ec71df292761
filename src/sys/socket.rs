//! Sockets: from socket(2) to shutdown(2).

use super::{Call, Fd, told};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrLike, SockaddrStorage};
use nix::sys::socket::{UnixAddr, setsockopt, sockopt};
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
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
    option(setsockopt(&borrow(&fd), sockopt::ReuseAddr, &true))?;
    option(setsockopt(&borrow(&fd), sockopt::TcpNoDelay, &true))?;
    option(setsockopt(&borrow(&fd), sockopt::TcpUserTimeout, &millis))?;
    option(setsockopt(&borrow(&fd), sockopt::KeepAlive, &true))?;
    if address.is_ipv6() {
        // [::]:8080 and 0.0.0.0:8080 can then be listened on side by side.
        option(setsockopt(&borrow(&fd), sockopt::Ipv6V6Only, &true))?;
    }
    bind_and_listen(&fd, &SockaddrStorage::from(address))?;
    let bound: SockaddrStorage = heard(Call::Getsockname, socket::getsockname(fd.number()))?;
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
        heard(Call::Unlink, std::fs::remove_file(path))?;
    }
    bind_and_listen(&fd, &address)?;
    Ok(Listening { fd, endpoint: Endpoint::Unix(path.to_owned()) })
}

/// Whether a socket file is there that nobody listens on any more, left by a killed server.
fn is_abandoned(path: &Path, address: &UnixAddr) -> io::Result<bool> {
    // connect(2) to a file that is no socket is refused too: such a file is somebody's, and stays.
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if !is_socket {
        return Ok(false);
    }
    let probe = open(AddressFamily::Unix)?;
    let answer = heard(Call::Connect, socket::connect(probe.number(), address));
    Ok(answer.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
}

fn open(family: AddressFamily) -> io::Result<Fd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    heard(Call::Socket, socket::socket(family, SockType::Stream, flags, None)).map(adopt)
}

fn bind_and_listen(fd: &Fd, address: &dyn SockaddrLike) -> io::Result<()> {
    heard(Call::Bind, socket::bind(fd.number(), address))?;
    heard(Call::Listen, socket::listen(&borrow(fd), Backlog::MAXALLOWABLE))
}

/// accept4(2) with SOCK_NONBLOCK and SOCK_CLOEXEC: the next connection from the backlog, and who it
/// is (`None` for a Unix socket, whose clients have no address).
pub fn accept4(listener: &Fd) -> io::Result<(Fd, Option<SocketAddr>)> {
    let mut address = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the kernel writes at most `length` bytes, all of them `address`'s.
    let result = unsafe { libc::accept4(listener.number(), address.as_mut_ptr().cast(), &mut length, flags) };
    let fd = told(Call::Accept4, result as isize).map(Fd::new)?;
    // SAFETY: all-zero bytes are a valid sockaddr_storage, and so is what the kernel wrote.
    Ok((fd, internet_address(unsafe { address.assume_init_ref() })))
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
    told(Call::Shutdown, result as isize).map(drop)
}

/// unlink(2) of the socket that a listener leaves in the file system.
pub fn remove_socket_file(path: &Path) {
    let _ = heard(Call::Unlink, std::fs::remove_file(path));
}

/// An fd for nothing, on /dev/null: held back, so that there is one to give up when there are no
/// others.
pub fn open_spare() -> io::Result<Fd> {
    let file = heard(Call::Openat, std::fs::File::open("/dev/null"))?;
    Ok(adopt(file.into()))
}

fn adopt(fd: OwnedFd) -> Fd {
    Fd::new(fd.into_raw_fd() as usize)
}

fn borrow(fd: &Fd) -> BorrowedFd<'_> {
    // SAFETY: the number is open for as long as the `Fd` it is borrowed from.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd.number()) };
    debug_assert_eq!(borrowed.as_raw_fd(), fd.number());
    borrowed
}

/// Counts a call that a library made for us.
fn heard<T, E: Into<io::Error>>(call: Call, result: Result<T, E>) -> io::Result<T> {
    let _ = told(call, 0);
    result.map_err(Into::into)
}

fn option(result: nix::Result<()>) -> io::Result<()> {
    heard(Call::Setsockopt, result)
}

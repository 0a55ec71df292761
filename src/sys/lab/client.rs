//! The client's side of a connection: connect(2) that does not wait.

use super::{Call, Fd, set_option, told};
use nix::sys::socket::{SockaddrLike, SockaddrStorage};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Begins a connection and does not wait for it: socket(2) with SOCK_NONBLOCK, TCP_NODELAY, connect(2).
/// The fd becomes writable when it is decided; [`connect_result`] then says how.
///
/// With `from` it leaves from that address. IP_BIND_ADDRESS_NO_PORT lets bind(2) leave the port open until
/// connect(2) knows the other end, so that each of our addresses has all its ports towards each server (ip(7)).
/// EADDRNOTAVAIL says that they are all in use.
pub fn connect(to: SocketAddr, from: Option<IpAddr>) -> io::Result<Fd> {
    let family = if to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers are involved.
    let result = unsafe { libc::socket(family, kind, 0) };
    let fd = told(Call::Socket, result as isize).map(Fd::new)?;
    set_option(&fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &1)?;
    if let Some(from) = from {
        set_option(&fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &1)?;
        let address = SockaddrStorage::from(SocketAddr::new(from, 0));
        // SAFETY: the kernel reads `len` bytes from the pointer on, all of them `address`'s.
        let result = unsafe { libc::bind(fd.number(), address.as_ptr(), address.len()) };
        told(Call::Bind, result as isize)?;
    }
    let address = SockaddrStorage::from(to);
    // SAFETY: the kernel reads `len` bytes from the pointer on, all of them `address`'s.
    let result = unsafe { libc::connect(fd.number(), address.as_ptr(), address.len()) };
    match told(Call::Connect, result as isize) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(fd),
    }
}

/// How connect(2) ended, once the fd is writable: getsockopt(2) with SO_ERROR, which takes the error away.
pub fn connect_result(fd: &Fd) -> io::Result<()> {
    let mut error: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, all of them `error`'s.
    let result = unsafe {
        libc::getsockopt(
            fd.number(),
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut error).cast(),
            &raw mut length,
        )
    };
    told(Call::Getsockopt, result as isize)?;
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// Has the kernel keep as little as it may of what is not read: SO_RCVBUF of a page (socket(7)).
pub fn shrink_receive_buffer(fd: &Fd) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &4096)
}

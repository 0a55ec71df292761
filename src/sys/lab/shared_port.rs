//! Socket options that the server does without: SO_REUSEPORT, and TCP_NODELAY taken back.

use super::{Call, Fd, set_option, told};
use std::io;
use std::mem::MaybeUninit;

/// `count` listeners of their own on one free port of 127.0.0.1, among which the kernel deals the connections
/// out (SO_REUSEPORT, socket(7)). Returns the port too.
pub fn listen_together(count: usize) -> io::Result<(Vec<Fd>, u16)> {
    let mut listeners = Vec::new();
    let mut port = 0;
    for _ in 0..count {
        let (listener, bound) = listen_on(port)?;
        listeners.push(listener);
        port = bound;
    }
    Ok((listeners, port))
}

fn listen_on(port: u16) -> io::Result<(Fd, u16)> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers are involved.
    let result = unsafe { libc::socket(libc::AF_INET, kind, 0) };
    let fd = told(Call::Socket, result as isize).map(Fd::new)?;
    set_option(&fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, &1)?;
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: libc::INADDR_LOOPBACK.to_be() },
        sin_zero: [0; 8],
    };
    // SAFETY: the kernel reads one sockaddr_in, which outlives the call.
    let result = unsafe { libc::bind(fd.number(), (&raw const address).cast(), LENGTH) };
    told(Call::Bind, result as isize)?;
    // SAFETY: no pointers are involved.
    let result = unsafe { libc::listen(fd.number(), libc::SOMAXCONN) };
    told(Call::Listen, result as isize)?;
    let port = port_of(&fd)?;
    Ok((fd, port))
}

const LENGTH: libc::socklen_t = size_of::<libc::sockaddr_in>() as libc::socklen_t;

fn port_of(fd: &Fd) -> io::Result<u16> {
    let mut address = MaybeUninit::<libc::sockaddr_in>::zeroed();
    let mut length = LENGTH;
    // SAFETY: the kernel writes at most `length` bytes, all of them `address`'s.
    let result = unsafe { libc::getsockname(fd.number(), address.as_mut_ptr().cast(), &mut length) };
    told(Call::Getsockname, result as isize)?;
    // SAFETY: all-zero bytes are a valid sockaddr_in, and so is what the kernel wrote.
    Ok(u16::from_be(unsafe { address.assume_init() }.sin_port))
}

/// TCP_NODELAY: `false` lets Nagle's algorithm hold small segments back (tcp(7)).
pub fn set_nodelay(socket: &Fd, on: bool) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, &libc::c_int::from(on))
}

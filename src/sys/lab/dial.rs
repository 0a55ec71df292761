//! Connections from our side: connect(2), for what tries the server out.

use super::{Call, Fd, set_option, told};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::IntoRawFd;
use std::time::Duration;

/// Connects, blocking. Nothing on this socket then takes longer than `patience`: a connect(2), read(2) or
/// write(2) that would fails (EAGAIN or ETIMEDOUT).
pub fn dial(address: SocketAddr, patience: Duration) -> io::Result<Fd> {
    let connected = TcpStream::connect_timeout(&address, patience);
    let _ = told(Call::Socket, 0);
    let _ = told(Call::Connect, 0);
    let stream = connected?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    Ok(Fd::new(stream.into_raw_fd() as usize))
}

/// ioctl(2) with FIONBIO: from now on nothing on this socket waits.
pub fn set_nonblocking(socket: &Fd) -> io::Result<()> {
    let mut on: libc::c_int = 1;
    // SAFETY: FIONBIO reads one int, which is `on`.
    let result = unsafe { libc::ioctl(socket.number(), libc::FIONBIO, &raw mut on) };
    told(Call::Ioctl, result as isize).map(drop)
}

/// From now on close(2) resets this connection at once (SO_LINGER of 0 seconds, socket(7)): nothing stays
/// behind in TIME_WAIT to hold a port.
pub fn reset_on_close(socket: &Fd) -> io::Result<()> {
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    set_option(socket, libc::SOL_SOCKET, libc::SO_LINGER, &at_once)
}

//! From which address to connect.
//!
//! A connection is known by both ends, so towards one server each address of ours has about 28,000 ports
//! (`/proc/sys/net/ipv4/ip_local_port_range`), less those that rest in TIME_WAIT. When the kernel finds none any
//! more, the crowd goes on from the next address: all of 127.0.0.0/8 is this machine.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

/// Another sixty times 28,000 connections are more than a process can have.
const MOST: u8 = 60;

/// The address from which to connect now.
#[derive(Debug, Default)]
pub struct Sources {
    /// 0: whichever the kernel chooses, which is 127.0.0.1 for a loopback server.
    current: u8,
}

impl Sources {
    /// The address, if it is to be one in particular.
    pub fn current(&self) -> Option<IpAddr> {
        // 127.0.0.1 is what the kernel chooses.
        (self.current > 0).then(|| IpAddr::from(Ipv4Addr::new(127, 0, 0, self.current + 1)))
    }

    /// How many were used so far.
    pub fn used(&self) -> u8 {
        self.current + 1
    }

    /// Whether it is worth trying again after this error, from the next address.
    pub fn go_on(&mut self, error: &io::Error, to: IpAddr) -> bool {
        let has_run_out = error.kind() == io::ErrorKind::AddrNotAvailable;
        let has_others = to.is_ipv4() && self.current < MOST;
        if has_run_out && has_others {
            self.current += 1;
        }
        has_run_out && has_others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_address_is_taken_when_ports_have_run_out_and_only_then() {
        let (v4, v6) = (IpAddr::from([127, 0, 0, 1]), "::1".parse().unwrap());
        let (out, other) = (io::ErrorKind::AddrNotAvailable.into(), io::ErrorKind::ConnectionRefused.into());
        let mut sources = Sources::default();
        assert!(!sources.go_on(&other, v4) && !sources.go_on(&out, v6));
        assert_eq!(sources.current(), None);
        assert!(sources.go_on(&out, v4));
        assert_eq!(sources.current(), Some([127, 0, 0, 2].into()));
        while sources.go_on(&out, v4) {}
        assert_eq!((sources.current(), sources.used()), (Some([127, 0, 0, 61].into()), 61));
    }
}

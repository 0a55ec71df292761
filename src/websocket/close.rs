//! Why a WebSocket ends: the codes of the closing handshake (RFC 6455 §7.4).

/// A close code and what it means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u16);

#[allow(missing_docs)]
impl Code {
    pub const NORMAL: Code = Code(1000);
    pub const GOING_AWAY: Code = Code(1001);
    pub const PROTOCOL_ERROR: Code = Code(1002);
    pub const UNSUPPORTED_DATA: Code = Code(1003);
    pub const INVALID_PAYLOAD: Code = Code(1007);
    pub const POLICY_VIOLATION: Code = Code(1008);
    pub const TOO_BIG: Code = Code(1009);
    pub const TRY_AGAIN_LATER: Code = Code(1013);

    /// Whether a peer may send it: 1004 to 1006 and 1015 are for the inside of programs, below 1000
    /// is nothing, 1016 to 2999 is not given out yet (RFC 6455 §7.4.2 and the IANA registry).
    pub fn may_be_received(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

/// A peer that broke the protocol, or a limit: the code to close with and one sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The code.
    pub code: Code,
    /// What was wrong. At most 123 bytes, so that it fits a control frame (RFC 6455 §5.5).
    pub reason: &'static str,
}

impl Violation {
    /// 1002.
    pub const fn protocol(reason: &'static str) -> Violation {
        Violation { code: Code::PROTOCOL_ERROR, reason }
    }

    /// 1009.
    pub const fn too_big() -> Violation {
        Violation {
            code: Code::TOO_BIG,
            reason: "The message is too big; send less, or raise --max-message.",
        }
    }
}

/// Reads the payload of a Close frame: the code to answer with, or what is wrong with it.
pub fn parse(payload: &[u8]) -> Result<Option<Code>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() {
            Ok(None)
        } else {
            Err(Violation::protocol("A close frame holds a code of two bytes, or nothing."))
        };
    };
    let code = Code(u16::from_be_bytes(*code));
    if !code.may_be_received() {
        return Err(Violation::protocol("This close code may not be sent (RFC 6455 §7.4)."));
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(Violation {
            code: Code::INVALID_PAYLOAD,
            reason: "The reason of a close frame is UTF-8.",
        });
    }
    Ok(Some(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_into_those_that_may_be_sent_and_the_rest() {
        for code in [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 4999] {
            assert_eq!(parse(&u16::to_be_bytes(code)), Ok(Some(Code(code))));
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
            assert_eq!(parse(&u16::to_be_bytes(code)).unwrap_err().code, Code::PROTOCOL_ERROR);
        }
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(b"\x03").unwrap_err().code, Code::PROTOCOL_ERROR);
        assert_eq!(parse(b"\x03\xe8\xff").unwrap_err().code, Code::INVALID_PAYLOAD);
    }
}

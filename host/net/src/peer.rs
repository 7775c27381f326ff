//! The identity of a peer and the address that it listens on.
//!
//! A [`PeerId`] is an ed25519 public key: a peer that answers under it has proved to hold the secret.
//! A [`PeerAddr`] adds the UDP address of the peer. A wrong address leads to no peer or to another
//! peer, never to an impostor. Text form: 64 hex digits, and `hex@127.0.0.1:4000`.
//!
//! Any 32 bytes make a `PeerId`; bytes that are no point of the curve are found when dialling.

use std::{
    fmt,
    net::{AddrParseError, SocketAddr},
    str::FromStr,
};

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Serialize};
use snafu::{OptionExt, ResultExt, Snafu};

/// An ed25519 public key, the identity of a node or a client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId([u8; 32]);

/// A peer and the UDP address it listens on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerAddr {
    /// The identity of the peer.
    pub id: PeerId,
    /// Its UDP address.
    pub addr: SocketAddr,
}

/// A text that is no `PeerId` or `PeerAddr`.
#[derive(Debug, Snafu, Clone, PartialEq, Eq)]
pub enum PeerParseError {
    /// The identity is not 64 hex digits.
    #[snafu(display("a peer id is 64 hex digits, this has {chars} characters or others than hex"))]
    Id {
        /// Characters given.
        chars: usize,
    },
    /// No `@` stands between identity and address.
    #[snafu(display("a peer address is written id@ip:port, there is no @"))]
    Separator,
    /// The part behind `@` is no `ip:port`.
    #[snafu(display("behind the @ is no ip:port"))]
    Addr { source: AddrParseError },
}

impl PeerId {
    /// Takes the 32 bytes of a public key.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes of the public key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER_PERMISSIVE.encode(&self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PeerId {
    type Err = PeerParseError;

    fn from_str(text: &str) -> Result<Self, PeerParseError> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Self).context(IdSnafu { chars: text.chars().count() })
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.addr)
    }
}

impl fmt::Debug for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PeerAddr {
    type Err = PeerParseError;

    fn from_str(text: &str) -> Result<Self, PeerParseError> {
        let (id, addr) = text.split_once('@').context(SeparatorSnafu)?;
        Ok(Self { id: id.parse()?, addr: addr.parse().context(AddrSnafu)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0707070707070707070707070707070707070707070707070707070707070707";

    #[test]
    fn text_forms_read_back() {
        for addr in ["127.0.0.1:4000", "[::1]:65535"] {
            let text = format!("{HEX}@{addr}");
            let peer: PeerAddr = text.parse().unwrap();
            assert_eq!(peer.id, PeerId::from_bytes([7; 32]));
            assert_eq!(peer.to_string(), text);
        }
        assert_eq!(HEX.to_uppercase().parse::<PeerId>().unwrap().to_string(), HEX);
    }

    #[test]
    fn other_texts_are_refused() {
        let check = |text: &str, expect: &str| {
            assert_eq!(text.parse::<PeerAddr>().unwrap_err().to_string(), expect, "{text:?}");
        };
        check(HEX, "a peer address is written id@ip:port, there is no @");
        check(&format!("{HEX}@localhost"), "behind the @ is no ip:port");
        check("@1.2.3.4:5", "a peer id is 64 hex digits, this has 0 characters or others than hex");
        check(
            "07ü@1.2.3.4:5",
            "a peer id is 64 hex digits, this has 3 characters or others than hex",
        );
        let long = "a peer id is 64 hex digits, this has 66 characters or others than hex";
        check(&format!("{HEX}07@1.2.3.4:5"), long);
    }

    #[test]
    fn bytes_on_the_wire_stay_what_they_are() {
        let peer: PeerAddr = format!("{HEX}@127.0.0.1:4000").parse().unwrap();
        let mut expect = vec![7; 32];
        expect.extend([0, 127, 0, 0, 1, 0xa0, 0x1f]); // V4, the octets, 4000 as a varint
        assert_eq!(postcard::to_stdvec(&peer).unwrap(), expect);
        assert_eq!(postcard::from_bytes::<PeerAddr>(&expect).unwrap(), peer);
    }
}

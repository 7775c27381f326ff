//! A ticket: one line of text with the way to a cluster, and perhaps the right to enter it.
//!
//! ```text
//! aspen1 + base32( version u8 | postcard(cluster, nodes, secret) | checksum u32 )
//! ```
//!
//! base32 is RFC 4648's without padding, written in lower case and read in any. The checksum is
//! the low half of seahash over version and body, big endian; its place holds for every text that
//! begins with `aspen1`, so that a damaged ticket is never taken for one of a newer version.
//!
//! Promises that a ticket is read as it was written. Leaves out proof of its author. A ticket with
//! a secret *is* the right to enter: `Debug` hides the secret, the text shows it.

use std::{fmt, str::FromStr};

use data_encoding::{BASE32_NOPAD_NOCASE, DecodeError};
use serde::{Deserialize, Serialize};
use snafu::{OptionExt, ResultExt, Snafu, ensure};

use crate::limits::{TICKET_BYTES_MAX, TICKET_NODES_MAX};
use crate::peer::PeerAddr;
use crate::secret::Secret;

const PREFIX: &str = "aspen1";
const VERSION: u8 = 1;

/// The way to a cluster.
///
/// Invariant: 1 to [`TICKET_NODES_MAX`] nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    cluster: u128,
    nodes: Vec<PeerAddr>,
    secret: Option<Secret>,
}

/// A text that is no ticket, or content that fits in none.
#[derive(Debug, Snafu, Clone, PartialEq, Eq)]
pub enum TicketError {
    /// The text does not begin with `aspen1`.
    #[snafu(display("a ticket begins with {PREFIX}"))]
    Prefix,
    /// The text is too long to be a ticket.
    #[snafu(display("ticket is {bytes} bytes, limit is {limit}"))]
    TooLong {
        /// Bytes of the text.
        bytes: usize,
        /// [`TICKET_BYTES_MAX`].
        limit: usize,
    },
    /// The text contains something else than base32, or was cut within a character group.
    #[snafu(display("ticket is damaged or cut: no base32"))]
    Encoding {
        /// The place and the reason.
        source: DecodeError,
    },
    /// Bytes are missing or changed.
    #[snafu(display("ticket is damaged or cut: wrong checksum"))]
    Checksum,
    /// The ticket was written by a version of Aspen that this one does not know.
    #[snafu(display("ticket has version {version}, this program reads {VERSION}"))]
    Version { version: u8 },
    /// The checksum is right and the content is not: the program that wrote it has a defect.
    #[snafu(display("ticket has no valid content"))]
    Content { source: postcard::Error },
    /// The ticket names no node or too many.
    #[snafu(display("ticket names {count} nodes, allowed are 1 to {TICKET_NODES_MAX}"))]
    Nodes {
        /// Nodes named.
        count: usize,
    },
}

#[derive(Serialize, Deserialize)]
struct Content {
    cluster: u128,
    nodes: Vec<PeerAddr>,
    secret: Option<[u8; 32]>,
}

impl Ticket {
    /// Makes a ticket for a cluster that is reached through `nodes`.
    pub fn new(
        cluster: u128,
        nodes: Vec<PeerAddr>,
        secret: Option<Secret>,
    ) -> Result<Self, TicketError> {
        let count = nodes.len();
        ensure!((1..=TICKET_NODES_MAX).contains(&count), NodesSnafu { count });
        Ok(Self { cluster, nodes, secret })
    }

    /// Returns the identity of the cluster.
    pub fn cluster(&self) -> u128 {
        self.cluster
    }

    /// Returns the nodes to begin with.
    pub fn nodes(&self) -> &[PeerAddr] {
        &self.nodes
    }

    /// Returns the secret to enter with, if the ticket grants one.
    pub fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }
}

/// The text form, secret included.
impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = Content {
            cluster: self.cluster,
            nodes: self.nodes.clone(),
            secret: self.secret.as_ref().map(Secret::to_bytes),
        };
        let content = postcard::to_stdvec(&content).map_err(|_| fmt::Error)?;
        f.write_str(&text_of(VERSION, &content))
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        let bytes = text.len();
        ensure!(bytes <= TICKET_BYTES_MAX, TooLongSnafu { bytes, limit: TICKET_BYTES_MAX });
        let (prefix, rest) = text.split_at_checked(PREFIX.len()).context(PrefixSnafu)?;
        ensure!(prefix.eq_ignore_ascii_case(PREFIX), PrefixSnafu);
        let bytes = BASE32_NOPAD_NOCASE.decode(rest.as_bytes()).context(EncodingSnafu)?;

        let (signed, checksum) = bytes.split_last_chunk::<4>().context(ChecksumSnafu)?;
        ensure!(checksum_of(signed) == *checksum, ChecksumSnafu);
        let (&version, content) = signed.split_first().context(ChecksumSnafu)?;
        ensure!(version == VERSION, VersionSnafu { version });

        let (content, rest) =
            postcard::take_from_bytes::<Content>(content).context(ContentSnafu)?;
        if !rest.is_empty() {
            return Err(postcard::Error::DeserializeBadEncoding).context(ContentSnafu);
        }
        Self::new(content.cluster, content.nodes, content.secret.map(Secret::from_bytes))
    }
}

fn text_of(version: u8, content: &[u8]) -> String {
    let mut bytes = vec![version];
    bytes.extend_from_slice(content);
    bytes.extend_from_slice(&checksum_of(&bytes));
    let mut text = PREFIX.to_owned();
    text.push_str(&BASE32_NOPAD_NOCASE.encode(&bytes).to_ascii_lowercase());
    text
}

fn checksum_of(bytes: &[u8]) -> [u8; 4] {
    // The low half: the cast cuts on purpose.
    (seahash::hash(bytes) as u32).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::peer::PeerId;

    const GOLDEN: &str = "aspen1ahxzxl6n7cwndeibaedqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqoad7\
        aaaadia7aeeqscijbeeqscijbeeqscijbeeqscijbeeqscijbeeqscijbeeqt3qylsfa";

    fn golden() -> Ticket {
        let addr = "127.0.0.1:4000".parse().unwrap();
        let nodes = vec![PeerAddr { id: PeerId::from_bytes([7; 32]), addr }];
        Ticket::new(0x0123_4567_89ab_cdef, nodes, Some(Secret::from_bytes([9; 32]))).unwrap()
    }

    #[test]
    fn text_stays_what_it_is() {
        assert_eq!(golden().to_string(), GOLDEN);
        assert_eq!(GOLDEN.parse(), Ok(golden()));
        assert_eq!(GOLDEN.to_uppercase().parse(), Ok(golden()));
    }

    #[test]
    fn debug_hides_the_secret() {
        let text = format!("{:?}", golden());
        assert!(text.contains("Secret(..)"));
        assert!(!text.contains("9, 9"));
    }

    #[test]
    fn other_texts_are_refused() {
        let check = |text: &str, expect: TicketError| {
            assert_eq!(text.parse::<Ticket>(), Err(expect), "{text}");
        };
        check("", TicketError::Prefix);
        check("aspe", TicketError::Prefix);
        check("aspen2mfrgg", TicketError::Prefix);
        check("aspenü", TicketError::Prefix);
        check("aspen1", TicketError::Checksum);
        check("aspen1mfrgg", TicketError::Checksum);
        let long = TicketError::TooLong { bytes: TICKET_BYTES_MAX + 1, limit: TICKET_BYTES_MAX };
        check(&"a".repeat(TICKET_BYTES_MAX + 1), long);
        check(&text_of(2, b"later"), TicketError::Version { version: 2 });
        assert!(matches!("aspen1m!rgg".parse::<Ticket>(), Err(TicketError::Encoding { .. })));
        let bad = text_of(VERSION, b"\x80").parse::<Ticket>();
        assert!(matches!(bad, Err(TicketError::Content { .. })));
    }

    #[test]
    fn content_is_checked_behind_a_right_checksum() {
        let none = Content { cluster: 1, nodes: vec![], secret: None };
        let none = postcard::to_stdvec(&none).unwrap();
        assert_eq!(text_of(1, &none).parse::<Ticket>(), Err(TicketError::Nodes { count: 0 }));
        let many = vec![golden().nodes()[0]; TICKET_NODES_MAX + 1];
        assert_eq!(Ticket::new(1, many, None), Err(TicketError::Nodes { count: 17 }));
        let mut longer =
            postcard::to_stdvec(&Content { cluster: 1, nodes: golden().nodes, secret: None });
        longer.as_mut().unwrap().push(0);
        let longer = text_of(1, &longer.unwrap()).parse::<Ticket>();
        assert!(matches!(longer, Err(TicketError::Content { .. })));
    }

    #[test]
    fn the_largest_ticket_fits() {
        let addr = SocketAddr::from(([u16::MAX; 8], u16::MAX));
        let nodes = vec![PeerAddr { id: PeerId::from_bytes([255; 32]), addr }; TICKET_NODES_MAX];
        let largest = Ticket::new(u128::MAX, nodes, Some(Secret::generate())).unwrap();
        assert_eq!(largest.to_string().parse(), Ok(largest));
    }

    fn any_ticket() -> impl Strategy<Value = Ticket> {
        let node = (any::<[u8; 32]>(), any::<SocketAddr>()).prop_map(|(id, mut addr)| {
            // Scope and flow have no place in a ticket.
            if let SocketAddr::V6(v6) = &mut addr {
                v6.set_scope_id(0);
                v6.set_flowinfo(0);
            }
            PeerAddr { id: PeerId::from_bytes(id), addr }
        });
        let nodes = prop::collection::vec(node, 1..=TICKET_NODES_MAX);
        (any::<u128>(), nodes, any::<Option<[u8; 32]>>()).prop_map(|(cluster, nodes, secret)| {
            Ticket::new(cluster, nodes, secret.map(Secret::from_bytes)).unwrap()
        })
    }

    proptest! {
        #[test]
        fn every_ticket_reads_back(ticket in any_ticket()) {
            prop_assert_eq!(ticket.to_string().parse(), Ok(ticket));
        }

        #[test]
        fn a_changed_character_is_found(at in 0..GOLDEN.len(), to in "[a-z2-7]") {
            let mut text = GOLDEN.to_owned();
            text.replace_range(at..=at, &to);
            prop_assert_eq!(text == GOLDEN, text.parse::<Ticket>().is_ok());
        }

        #[test]
        fn a_cut_ticket_is_found(at in 0..GOLDEN.len()) {
            prop_assert!(GOLDEN[..at].parse::<Ticket>().is_err());
        }
    }
}

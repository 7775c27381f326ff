//! Texts that users pass on, tickets and scan tokens, damaged by hand or on purpose.
//!
//! A damaged text is a typed error. What is read is written again as the same thing, also when the
//! checksum is right and its maker meant harm.

use aspen_core::codec::encode;
use aspen_core::key::KeyRange;
use aspen_core::protocol::{ScanToken, ScanTokenError};
use aspen_net::{PeerAddr, PeerId, Secret, Ticket};
use aspen_tests::fuzz::{allocated, mutated};
use proptest::prelude::*;

/// The memory that reading a text may ask for: copies of the text, and the texts of errors.
const ASKED_BYTES_MAX: usize = 64 << 10;

fn ticket() -> Ticket {
    let node = |number: u8| PeerAddr {
        id: PeerId::from_bytes([number; 32]),
        addr: ([127, 0, 0, 1], 4000 + u16::from(number)).into(),
    };
    let nodes = vec![node(1), node(2), node(3)];
    Ticket::new(7, nodes, Some(Secret::from_bytes([9; 32]))).unwrap()
}

fn token() -> ScanToken {
    let range = KeyRange { start: "some/key".into(), end: Some("some/other".into()) };
    ScanToken::new(7, range, true)
}

/// Mutated text: bytes that are no UTF-8 become characters that no text has.
fn texts(valid: String) -> impl Strategy<Value = String> {
    mutated(vec![valid.into_bytes()]).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The text of a ticket with this content, with a right checksum.
fn sealed_ticket(content: &[u8]) -> String {
    let checksum = (seahash(content) as u32).to_be_bytes();
    let bits: String = content.iter().chain(&checksum).map(|byte| format!("{byte:08b}")).collect();
    let letter = |five: &[u8]| {
        let five = format!("{:0<5}", std::str::from_utf8(five).unwrap());
        let digit = u8::from_str_radix(&five, 2).unwrap();
        char::from(b"abcdefghijklmnopqrstuvwxyz234567"[usize::from(digit)])
    };
    let text: String = bits.as_bytes().chunks(5).map(letter).collect();
    format!("aspen1{text}")
}

/// The text of a token with this content, with a right checksum.
fn sealed_token(content: &[u8]) -> String {
    let checksum = seahash(content).to_be_bytes();
    let hex: String = checksum.iter().chain(content).map(|byte| format!("{byte:02x}")).collect();
    format!("scan1-{hex}")
}

/// Version and content of a ticket, as its text has them before the checksum.
fn ticket_content() -> Vec<u8> {
    let text = ticket().to_string();
    let digit = |letter: u8| match letter {
        b'a'..=b'z' => letter - b'a',
        _ => letter - b'2' + 26,
    };
    let bits: String =
        text["aspen1".len()..].bytes().map(|letter| format!("{:05b}", digit(letter))).collect();
    let byte = |eight: &[u8]| u8::from_str_radix(std::str::from_utf8(eight).unwrap(), 2).unwrap();
    let mut bytes: Vec<u8> = bits.as_bytes().chunks_exact(8).map(byte).collect();
    bytes.truncate(bytes.len() - 4);
    bytes
}

fn seahash(bytes: &[u8]) -> u64 {
    seahash::hash(bytes)
}

fn read_ticket(text: &str) -> Result<Option<Ticket>, TestCaseError> {
    let (asked, read) = allocated(|| text.parse::<Ticket>());
    prop_assert!(asked <= ASKED_BYTES_MAX, "{asked} bytes asked for");
    let Ok(read) = read else { return Ok(None) };
    prop_assert_eq!(read.to_string().parse::<Ticket>(), Ok(read.clone()));
    Ok(Some(read))
}

fn read_token(text: &str) -> Result<Option<ScanToken>, TestCaseError> {
    let (asked, read) = allocated(|| text.parse::<ScanToken>());
    prop_assert!(asked <= ASKED_BYTES_MAX, "{asked} bytes asked for");
    let Ok(read) = read else { return Ok(None) };
    prop_assert_eq!(read.to_string().parse::<ScanToken>(), Ok(read.clone()));
    let opened = read.open(7);
    let is_other = matches!(opened, Err(ScanTokenError::OtherCluster { .. }));
    prop_assert!(opened.is_ok() || is_other);
    Ok(Some(read))
}

#[test]
fn fuzz_texts_are_sealed_as_the_program_seals_them() {
    assert_eq!(sealed_ticket(&ticket_content()), ticket().to_string());
    assert_eq!(sealed_token(&encode(&token())), token().to_string());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40_000))]

    #[test]
    fn fuzz_texts_random(text in "(aspen1|scan1-|)[a-z2-7A-Z0189 =\\PC]{0,80}") {
        prop_assert_eq!(read_ticket(&text)?, None);
        prop_assert_eq!(read_token(&text)?, None);
    }

    #[test]
    fn fuzz_texts_damaged_tickets_are_refused(text in texts(ticket().to_string())) {
        if let Some(read) = read_ticket(&text)? {
            prop_assert_eq!(read, ticket());
        }
    }

    #[test]
    fn fuzz_texts_damaged_tokens_are_refused(text in texts(token().to_string())) {
        if let Some(read) = read_token(&text)? {
            prop_assert_eq!(read, token());
        }
    }

    #[test]
    fn fuzz_texts_forged_tickets(content in mutated(vec![ticket_content()])) {
        read_ticket(&sealed_ticket(&content))?;
    }

    #[test]
    fn fuzz_texts_forged_tokens(content in mutated(vec![encode(&token()).to_vec()])) {
        read_token(&sealed_token(&content))?;
    }
}

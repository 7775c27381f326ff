//! The secret half of an identity.
//!
//! A [`Secret`] is an ed25519 secret key. `Debug` never shows it and it has no `Display`: it leaves
//! the process only through [`Secret::to_bytes`] or inside a [`Ticket`](crate::Ticket).

use std::fmt;

use ed25519_dalek::SigningKey;

use crate::peer::PeerId;

/// An ed25519 secret key.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Makes a new one from the operating system's randomness.
    pub fn generate() -> Self {
        Self(rand::random())
    }

    /// Takes 32 bytes that were secret until now.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes, to be kept where only their owner reads.
    pub const fn to_bytes(&self) -> [u8; 32] {
        self.0
    }

    /// Returns the identity that this secret proves.
    pub fn public(&self) -> PeerId {
        PeerId::from_bytes(SigningKey::from_bytes(&self.0).verifying_key().to_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 1.
    #[test]
    fn public_key_is_that_of_ed25519() {
        let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let secret = Secret::from_bytes(*secret.parse::<PeerId>().unwrap().as_bytes());
        assert_eq!(secret.public().to_string(), public);
    }

    #[test]
    fn debug_shows_nothing_of_it() {
        assert_eq!(format!("{:?}", Secret::generate()), "Secret(..)");
        assert_ne!(Secret::generate(), Secret::generate());
    }
}

//! The name of a block: 48 bits of time and 80 random ones, as 26 characters that sort by time.
//!
//! Format: <https://github.com/ulid/spec>. Time and randomness come from the caller.

use std::fmt;
use std::str::FromStr;

/// A ULID. Its order is that of its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ulid(u128);

/// Why a text is not a ULID.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is not a ULID: 26 digits and capitals without I, L, O and U, the first at most 7")]
pub struct UlidError {
    pub text: String,
}

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const RANDOM_BITS: u32 = 80;
const DIGITS: usize = 26;

impl Ulid {
    /// Of the lower 48 bits of the time, and the lower 80 bits of `random`.
    #[must_use]
    pub const fn new(timestamp_ms: u64, random: u128) -> Self {
        Self((timestamp_ms as u128) << RANDOM_BITS | random & ((1 << RANDOM_BITS) - 1))
    }

    /// When it was made.
    #[must_use]
    pub const fn timestamp_ms(self) -> u64 {
        (self.0 >> RANDOM_BITS) as u64
    }

    /// The 16 bytes, most significant first: what Mimir hashes to choose the owner of a block.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; DIGITS];
        for (place, digit) in text.iter_mut().rev().enumerate() {
            *digit = ALPHABET[(self.0 >> (5 * place)) as usize & 31];
        }
        f.pad(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Ulid {
    type Err = UlidError;

    fn from_str(text: &str) -> Result<Self, UlidError> {
        let refused = || UlidError { text: text.chars().take(2 * DIGITS).collect() };
        if text.len() != DIGITS || text.as_bytes()[0] > b'7' {
            return Err(refused());
        }
        let mut value = 0u128;
        for digit in text.bytes() {
            let place = ALPHABET.iter().position(|known| *known == digit).ok_or_else(refused)?;
            value = value << 5 | place as u128;
        }
        Ok(Self(value))
    }
}

impl serde::Serialize for Ulid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Ulid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, timestamp_ms: u64) {
        let ulid: Ulid = text.parse().unwrap();
        assert_eq!((ulid.to_string(), ulid.timestamp_ms()), (text.to_owned(), timestamp_ms));
    }

    #[test]
    fn ulids_are_texts_and_times() {
        // The example of the specification, and both ends.
        check("01ARZ3NDEKTSV4RRFFQ69G5FAV", 1_469_922_850_259);
        check("00000000000000000000000000", 0);
        check("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", (1 << 48) - 1);
        assert_eq!(Ulid::new(1_469_922_850_259, 0).to_string(), "01ARZ3NDEK0000000000000000");
        assert_eq!(Ulid::new(1, 1).to_bytes()[5], 1);
    }

    #[test]
    fn other_texts_are_refused() {
        let long = "0".repeat(27);
        for text in [
            "",
            "0",
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "01arz3ndektsv4rrffq69g5fav",
            "01ARZ3NDEKTSV4RRFFQ69G5FAU",
            &long,
            "ÄÄÄÄÄÄÄÄÄÄÄÄÄ",
        ] {
            assert!(text.parse::<Ulid>().is_err(), "{text}");
        }
    }
}

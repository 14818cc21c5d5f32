//! SHA-256 digests.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use subtle::ConstantTimeEq;

use super::scalar::{Scalar, scalar};

/// The SHA-256 of something that is not kept itself, written as 64 hex digits.
///
/// Two of them are compared in a time that does not depend on where they differ. As the key of a
/// map, its first bytes are its hash: nobody can choose what a digest begins with.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The same in four words: comparing them takes a quarter of the time.
    fn words(&self) -> [u64; 4] {
        let (words, _) = self.0.as_chunks();
        std::array::from_fn(|word| u64::from_ne_bytes(words[word]))
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for Digest {
    type Err = String;

    /// Never shows what was found, which may be the secret itself.
    fn from_str(hex: &str) -> Result<Self, String> {
        let mut bytes = [0; 32];
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("expected {}", Self::EXPECTED));
        }
        for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).expect("ASCII");
            *byte = u8::from_str_radix(digits, 16).expect("hex digits");
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.words().ct_eq(&other.words()).into()
    }
}

impl Eq for Digest {}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let (start, _) = self.0.split_first_chunk().expect("longer than that");
        hasher.write_u64(u64::from_ne_bytes(*start));
    }
}

scalar!(Digest, expected: "a SHA-256 of 64 hex digits", numbers: false, schema: {
    "type": "string",
    "pattern": "^[0-9a-fA-F]{64}$",
    "description": "A SHA-256, in hex."
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let digest = Digest([0xa7; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.to_string().to_uppercase().parse(), Ok(digest));
        for at in 0..32 {
            let mut other = digest.0;
            other[at] ^= 1;
            assert_ne!(digest, Digest(other), "{at}");
        }
    }

    #[test]
    fn does_not_show_what_it_refuses() {
        for text in ["", "hunter2", &"g".repeat(64), &"0".repeat(65)] {
            let why = text.parse::<Digest>().unwrap_err();
            assert_eq!(why, "expected a SHA-256 of 64 hex digits", "{text}");
        }
    }
}

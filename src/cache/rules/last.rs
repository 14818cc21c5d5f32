//! What was read last, of texts that come over and over: the moment that an origin tells is the same for all of a second, and so is what
//! it allows for all of its pages. Nothing of a gateway is in here: a text says the same whoever reads it.

use std::cell::RefCell;

/// The text that a thread has read last, and what it says. It says the same at any time.
pub(super) struct Last<T>(RefCell<Read<T>>);

struct Read<T> {
    text: [u8; MOST],
    length: usize,
    /// None where nothing was read yet.
    says: Option<T>,
}

/// Longer texts are read each time.
const MOST: usize = 64;

impl<T: Copy> Last<T> {
    pub(super) const fn new() -> Self {
        Self(RefCell::new(Read {
            text: [0; MOST],
            length: 0,
            says: None,
        }))
    }

    /// What a text says, which is read where it is not the last one.
    pub(super) fn get(&self, text: &[u8], read: impl FnOnce(&[u8]) -> T) -> T {
        if text.len() > MOST {
            return read(text);
        }
        let mut last = self.0.borrow_mut();
        if let Some(says) = last.says
            && last.text[..last.length] == *text
        {
            return says;
        }
        let says = read(text);
        last.text[..text.len()].copy_from_slice(text);
        (last.length, last.says) = (text.len(), Some(says));
        says
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_text_is_read_once_until_another_comes() {
        let (last, reads) = (Last::new(), Cell::new(0));
        let length = |text: &str| {
            last.get(text.as_bytes(), |text| {
                reads.set(reads.get() + 1);
                text.len()
            })
        };
        let (long, longer) = ("x".repeat(MOST), "x".repeat(MOST + 1));
        for (text, read) in [
            ("", 1),
            ("", 1),
            ("a", 2),
            ("ab", 3),
            ("ab", 3),
            ("a", 4),
            (&long, 5),
            (&long, 5),
            (&longer, 6),
            (&longer, 7),
            (&long, 7),
        ] {
            assert_eq!((length(text), reads.get()), (text.len(), read), "{text}");
        }
    }
}

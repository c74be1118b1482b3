//! Maps from kernel objects' names, which a plan looks up by the hundred thousand.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map with a hash that is fast and not secret: its keys are names that the manifest's own author chose.
pub(super) type Index<K, V> = HashMap<K, V, BuildHasherDefault<NameHasher>>;

/// Folds eight bytes at a time, as the multiplicative hashes of compilers do (Knuth, TAOCP volume 3, section 6.4).
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct NameHasher(u64);

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl NameHasher {
    fn fold(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(ODD);
    }
}

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        // Tables take the low bits; the product's good ones are high.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.fold(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.fold(byte.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.fold(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.fold(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.fold(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.fold(word as u64);
    }
}

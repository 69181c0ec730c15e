//! The Merkle tree of RFC 6962 over the leaves, kept as its frontier (a compact range).
//!
//! A tree of `n` leaves is a row of perfect subtrees, one for each bit set in `n`, the largest first; their roots are
//! all that is needed to append and to know the root. So the head row holds at most 64 hashes, an append costs one
//! SHA-256 amortised, and a root at most 63.

use sha2::{Digest, Sha256};

/// The roots of the perfect subtrees of a log, which is all of the tree that an append needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// One hash for each bit set in `size`, the highest bit first.
    hashes: Vec<[u8; 32]>,
}

/// Why bytes are not a frontier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrontierError {
    /// Too short for the size.
    #[error("a frontier has at least 8 bytes, not {0}")]
    Short(usize),
    /// Not as many hashes as the size has bits set.
    #[error("the frontier of {size} leaves has {expected} bytes, not {found}")]
    Length {
        /// The number of leaves that it states.
        size: u64,
        /// The bytes that a tree of this size has.
        expected: usize,
        /// The bytes that were given.
        found: usize,
    },
}

impl Frontier {
    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends one leaf hash.
    pub fn push(&mut self, leaf: [u8; 32]) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left =
                self.hashes.pop().expect("a frontier has a hash for each bit set in its size");
            hash = node(&left, &hash);
        }
        self.hashes.push(hash);
        self.size += 1;
    }

    /// The root of the tree; that of an empty one is the SHA-256 of nothing.
    pub fn root(&self) -> [u8; 32] {
        self.hashes
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node(&left, &right))
            .unwrap_or_else(|| Sha256::digest([]).into())
    }

    /// The size (u64, big-endian) and then the hashes, the largest subtree first.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_be_bytes().to_vec();
        bytes.extend(self.hashes.iter().flatten());
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FrontierError> {
        let (size, rest) =
            bytes.split_first_chunk::<8>().ok_or(FrontierError::Short(bytes.len()))?;
        let size = u64::from_be_bytes(*size);
        let (hashes, odd) = rest.as_chunks::<32>();
        if !odd.is_empty() || hashes.len() as u64 != u64::from(size.count_ones()) {
            let expected = 8 + 32 * size.count_ones() as usize;
            return Err(FrontierError::Length { size, expected, found: bytes.len() });
        }
        Ok(Self { size, hashes: hashes.to_vec() })
    }
}

/// `SHA-256(0x01 || left || right)`: an inner node.
pub fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use proptest::prelude::*;

    /// Inputs of the well-known test tree of the Certificate Transparency implementations.
    const INPUTS: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    /// Its roots for 0 to 8 leaves, as published and as a recursive Python program finds them.
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn leaf_hash(data: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update([0]).chain_update(data).finalize().into()
    }

    #[test]
    fn roots_are_those_of_the_known_tree() {
        let mut tree = Frontier::default();
        for (size, root) in ROOTS.iter().enumerate() {
            let hex: String = tree.root().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(&hex, root, "{size} leaves");
            if let Some(input) = INPUTS.get(size) {
                tree.push(leaf_hash(input));
            }
        }
    }

    proptest! {
        #[test]
        fn roots_are_those_of_another_implementation(data in prop::collection::vec(any::<[u8; 4]>(), 0..200)) {
            let mut tree = Frontier::default();
            let mut other = MemoryBackedTree::<sha2_next::Sha256, Vec<u8>>::new();
            for item in data {
                tree.push(leaf_hash(&item));
                other.push(item.to_vec());
                let expected = other.root();
                prop_assert_eq!(&tree.root()[..], expected.as_bytes().as_slice());
                prop_assert_eq!(tree.size(), expected.num_leaves());
            }
        }

        #[test]
        fn a_stored_frontier_goes_on_as_if_never_stored(leaves in prop::collection::vec(any::<[u8; 32]>(), 0..70)) {
            let mut tree = Frontier::default();
            let mut stored = Frontier::default();
            for leaf in leaves {
                tree.push(leaf);
                stored.push(leaf);
                stored = Frontier::from_bytes(&stored.to_bytes()).expect("just written");
                prop_assert_eq!(&stored, &tree);
            }
        }
    }

    #[test]
    fn bytes_of_the_wrong_length_are_no_frontier() {
        assert_eq!(Frontier::from_bytes(&[0; 7]), Err(FrontierError::Short(7)));
        let mut tree = Frontier::default();
        tree.push([7; 32]);
        let mut bytes = tree.to_bytes();
        bytes.push(0);
        assert!(matches!(
            Frontier::from_bytes(&bytes),
            Err(FrontierError::Length { expected: 40, found: 41, .. })
        ));
        bytes.truncate(8);
        assert!(matches!(Frontier::from_bytes(&bytes), Err(FrontierError::Length { .. })));
    }
}

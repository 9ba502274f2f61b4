//! SHA-256 (FIPS 180-4) over one or several parts, and hexadecimal digests.

use aws_lc_rs::digest::{Context, Digest, SHA256, digest};

/// Returns the SHA-256 of the concatenated `parts`.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(short_digest(parts).unwrap_or_else(|| long_digest(parts)).as_ref());
    out
}

/// Returns the first `N` hexadecimal digits of a digest, in lower case. `N` is at most twice the digest's length.
pub(crate) fn hex<const N: usize>(digest: &[u8]) -> [u8; N] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|i| DIGITS[usize::from(digest[i / 2] >> (4 * (1 - i % 2)) & 15)])
}

/// Hashes up to 256 bytes in one call: creating a context costs more than hashing a short token.
fn short_digest(parts: &[&[u8]]) -> Option<Digest> {
    if let [whole] = parts {
        return Some(digest(&SHA256, whole));
    }
    let mut whole = [0; 256];
    let mut length = 0;
    for part in parts {
        whole.get_mut(length..length + part.len())?.copy_from_slice(part);
        length += part.len();
    }
    Some(digest(&SHA256, &whole[..length]))
}

fn long_digest(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_parts_equals_the_digest_of_their_concatenation() {
        for length in [0, 1, 223, 224, 225, 5000] {
            let (identity, token) = ([7; 32], vec![9; length]);
            let whole = digest(&SHA256, &[&identity[..], &token].concat());
            assert_eq!(sha256(&[&identity, &token]), whole.as_ref());
            assert_eq!(sha256(&[&token]), digest(&SHA256, &token).as_ref());
        }
    }
}

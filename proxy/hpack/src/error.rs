//! Why a header block cannot be read.

use thiserror::Error;

/// A header block breaks RFC 7541. The tables of both sides may differ from here on, so the
/// connection must end with COMPRESSION_ERROR (RFC 9113 §4.3).
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// §6.1, §2.3.3: index 0, or one beyond both tables.
    #[error("a field refers to index {index}, but the tables end at {last}")]
    Index {
        /// What was asked for.
        index: usize,
        /// The highest index there is.
        last: usize,
    },
    /// §5.1: an integer larger than any that can be meant.
    #[error("an integer takes more than four continuation bytes")]
    IntegerOverflow,
    /// §5.2: a code with no meaning, the end-of-string symbol, or padding that is too long or not all ones.
    #[error("a string is not valid Huffman code")]
    Huffman,
    /// §4.2: a table size update after the first field.
    #[error("the table size is changed after a field; it may only be changed where a block begins")]
    LateSizeUpdate,
    /// §4.2, RFC 9113 §4.3.1: the peer acknowledged a smaller table, and does not say that it uses it.
    #[error("the table must shrink to {max} before the next field, as was acknowledged")]
    MissingSizeUpdate {
        /// What was acknowledged.
        max: usize,
    },
    /// §6.3: a table size update beyond what was advertised.
    #[error("the table shall hold {size} bytes, but at most {max} were offered")]
    SizeUpdate {
        /// What the peer wants.
        size: usize,
        /// What it may have.
        max: usize,
    },
    /// The block ends within a field.
    #[error("the block ends within a field")]
    Truncated,
}

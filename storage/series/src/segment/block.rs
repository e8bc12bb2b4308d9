//! Stub until the codec branch is merged.
use crate::codec::{self, CodecError};
use crate::points::Points;
#[derive(Clone, Copy)]
pub enum Effort {
    Flush,
    Merge,
}
pub fn encode(points: &Points, _effort: Effort, out: &mut Vec<u8>) {
    codec::encode(points, out);
}
pub fn decode(bytes: &[u8]) -> Result<Points, CodecError> {
    codec::decode(bytes)
}

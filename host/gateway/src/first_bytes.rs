//! The beginning of a stream, for a part of a component that ends before the component does.

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use kinetic_registry::RegistryError;

/// The first so many bytes of a stream.
pub(crate) fn first_bytes<S>(bytes: S, count: u64) -> impl Stream<Item = Result<Bytes, RegistryError>> + Send
where
    S: Stream<Item = Result<Bytes, RegistryError>> + Send + Unpin,
{
    stream::unfold((bytes, count), |(mut bytes, left)| async move {
        if left == 0 {
            return None;
        }
        let next = bytes.next().await?;
        let next = next.map(|mut chunk| {
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            chunk
        });
        let taken = next.as_ref().map_or(left, |chunk| chunk.len() as u64);
        Some((next, (bytes, left - taken)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_ends_after_so_many_bytes_wherever_its_pieces_end() {
        for count in 0..=6_u64 {
            let pieces = ["ab", "", "cd", "ef"].map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
            let taken: Vec<_> = first_bytes(stream::iter(pieces), count).collect().await;
            let taken: Vec<u8> = taken.into_iter().flat_map(|chunk| chunk.unwrap().to_vec()).collect();
            assert_eq!(taken, b"abcdef"[..usize::try_from(count).unwrap()]);
        }
    }
}

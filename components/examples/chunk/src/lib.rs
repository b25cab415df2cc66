//! Cuts Markdown or plain text into overlapping chunks that respect headings, paragraphs, sentences and words.

mod cut;
mod section;
mod split;

pub use section::Format;
pub use split::{Chunk, Options, OptionsError, split};

/// The component's side: the generated names and ours.
// wit-bindgen's output calls the canonical ABI through raw pointers, and its names carry no docs of their own.
#[allow(unsafe_code, missing_docs, clippy::all, clippy::pedantic)]
mod bindings {
    wit_bindgen::generate!({ path: "wit" });

    struct Capability;

    impl Guest for Capability {
        fn split(text: String, options: Options) -> Result<Vec<Chunk>, OptionsError> {
            let default = crate::Options::default();
            let options = crate::Options {
                max_chars: options.max_chars.unwrap_or(default.max_chars),
                overlap_chars: options.overlap_chars,
                format: match options.format {
                    Some(Format::Plain) => crate::Format::Plain,
                    Some(Format::Markdown) | None => crate::Format::Markdown,
                },
            };
            match crate::split(&text, &options) {
                Ok(chunks) => Ok(chunks.into_iter().map(Chunk::from).collect()),
                Err(crate::OptionsError::BadMaxChars(chars)) => Err(OptionsError::BadMaxChars(chars)),
                Err(crate::OptionsError::BadOverlapChars(chars)) => Err(OptionsError::BadOverlapChars(chars)),
            }
        }
    }

    impl From<crate::Chunk<'_>> for Chunk {
        fn from(chunk: crate::Chunk<'_>) -> Self {
            Self {
                index: chunk.index,
                text: chunk.text.to_string(),
                start: chunk.start as u32,
                end: chunk.end as u32,
                headings: chunk.headings.iter().map(|heading| heading.to_string()).collect(),
            }
        }
    }

    export!(Capability);
}

//! A sentence of words, attributes, values and things with names.

use askama::Template;
use askama::filters::HtmlSafe;

use super::VariationMark;

/// A sentence as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Template)]
#[template(path = "parts/sentence.html")]
pub(in crate::dashboard) struct Sentence {
    pieces: Vec<Piece>,
}

impl HtmlSafe for Sentence {}

/// A piece of a sentence.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::dashboard) enum Piece {
    /// Plain words.
    Words(String),
    /// Something with a name: an attribute, a segment.
    Name(String),
    /// A value that is compared.
    Value(String),
    /// A variation.
    Variation(VariationMark),
    /// Something with a page of its own.
    Link {
        /// Its name.
        text: String,
        /// Its page.
        url: String,
    },
}

impl Sentence {
    /// Adds plain words.
    #[must_use]
    pub(in crate::dashboard) fn words(mut self, words: impl Into<String>) -> Self {
        self.pieces.push(Piece::Words(words.into()));
        self
    }

    /// Adds a piece.
    #[must_use]
    pub(in crate::dashboard) fn with(mut self, piece: Piece) -> Self {
        self.pieces.push(piece);
        self
    }

    /// Adds pieces.
    #[must_use]
    pub(in crate::dashboard) fn and(mut self, pieces: impl IntoIterator<Item = Piece>) -> Self {
        self.pieces.extend(pieces);
        self
    }

    /// Adds another sentence.
    #[must_use]
    pub(in crate::dashboard) fn then(self, other: Sentence) -> Self {
        self.and(other.pieces)
    }

    /// As plain text.
    pub(in crate::dashboard) fn text(&self) -> String {
        let text = |piece: &Piece| match piece {
            Piece::Words(text) | Piece::Name(text) | Piece::Value(text) | Piece::Link { text, .. } => {
                text.clone()
            }
            Piece::Variation(mark) => mark.text(),
        };
        self.pieces.iter().map(text).collect()
    }
}

//! What is to be sent, piece by piece.

use std::collections::VecDeque;
use std::fs::File;
use std::rc::Rc;

use super::gzip::encoder::Stream;

/// A piece of an answer.
pub(super) enum Piece {
    Bytes(Vec<u8>),
    File {
        file: Rc<File>,
        offset: u64,
        left: u64,
    },
    /// What is compressed as it is sent.
    Gzip(Box<Stream>),
}

impl Piece {
    pub(super) fn length(&self) -> u64 {
        match self {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::File { left, .. } => *left,
            // It is not known before it is sent, but something it is.
            Piece::Gzip(_) => 1,
        }
    }
}

/// Pieces in their order. Most messages are a single one, which needs no memory besides.
#[derive(Default)]
pub(super) struct Pieces {
    first: Option<Piece>,
    /// Empty without a first one.
    rest: VecDeque<Piece>,
}

impl Pieces {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(super) fn first(&mut self) -> Option<&mut Piece> {
        self.first.as_mut()
    }

    pub(super) fn second(&self) -> Option<&Piece> {
        self.rest.front()
    }

    /// The first and the second, where there are two.
    pub(super) fn both(&mut self) -> Option<(&mut Piece, &mut Piece)> {
        self.first.as_mut().zip(self.rest.front_mut())
    }

    pub(super) fn last(&mut self) -> Option<&mut Piece> {
        self.rest.back_mut().or(self.first.as_mut())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Piece> {
        self.first.iter().chain(&self.rest)
    }

    pub(super) fn push(&mut self, piece: Piece) {
        match self.first {
            None => self.first = Some(piece),
            Some(_) => self.rest.push_back(piece),
        }
    }

    pub(super) fn push_front(&mut self, piece: Piece) {
        if let Some(before) = self.first.replace(piece) {
            self.rest.push_front(before);
        }
    }

    pub(super) fn pop_front(&mut self) {
        self.first = self.rest.pop_front();
    }

    pub(super) fn clear(&mut self) {
        *self = Pieces::default();
    }
}

//! Who waits for what: each kind has places of its own, so that those who wait for what strangers
//! can name take none from the others.

/// A kind of waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queue {
    /// For another's token call.
    Token,
    /// For keys, metadata or a feed: as many of them as the configuration names.
    Keys,
    /// For what is looked up by an id or a token that anyone can make up.
    Asked,
}

impl Queue {
    /// All of them.
    pub const ALL: [Queue; 3] = [Queue::Token, Queue::Keys, Queue::Asked];

    /// Its place among them.
    pub const fn place(self) -> usize {
        self as usize
    }
}

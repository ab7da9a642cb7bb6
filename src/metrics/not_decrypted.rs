//! Why a token was refused for its encryption.

/// Why a token was refused for its encryption: for whoever runs the gateway. Its client is told one
/// thing in all cases.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum NotDecrypted {
    /// Its header or its segments can't be read, or ask for what there isn't.
    Form,
    /// No key here is meant.
    NoKey,
    /// No key that fits opens it.
    NotOpened,
    /// What is inside is no signed token, and its secret vouches for nothing here.
    Content,
    /// It is of an issuer whose tokens that key doesn't open.
    Issuer,
    /// It isn't encrypted, and its issuer's tokens have to be.
    Plain,
}

impl NotDecrypted {
    /// Each of them.
    pub const ALL: [NotDecrypted; 6] = [
        NotDecrypted::Form,
        NotDecrypted::NoKey,
        NotDecrypted::NotOpened,
        NotDecrypted::Content,
        NotDecrypted::Issuer,
        NotDecrypted::Plain,
    ];

    /// The last part of its metric's name.
    pub const fn name(self) -> &'static str {
        match self {
            NotDecrypted::Form => "form",
            NotDecrypted::NoKey => "no_key",
            NotDecrypted::NotOpened => "not_opened",
            NotDecrypted::Content => "content",
            NotDecrypted::Issuer => "issuer",
            NotDecrypted::Plain => "plain",
        }
    }
}

//! How the document is described: one set of tables from which the loader reads and the JSON
//! Schemas are made.

/// An object of the document.
pub struct Shape {
    /// Its own fields.
    pub own: &'static [Field],
    /// Fields that it shares with other objects.
    pub shared: &'static [Field],
}

impl Shape {
    /// All fields, its own first.
    pub fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.own.iter().chain(self.shared)
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields().find(|field| field.name == name)
    }
}

/// A field of an object.
pub struct Field {
    /// The member's name in the document.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it must be there, and what holds if it isn't.
    pub need: Need,
    /// One sentence for the schema; left out of the filter itself.
    pub doc: &'static str,
}

/// Describes a field.
pub const fn field(name: &'static str, kind: Kind, need: Need, doc: &'static str) -> Field {
    let doc = if cfg!(target_os = "wasi") { "" } else { doc };
    Field { name, kind, need, doc }
}

/// Whether a field must be there, and what holds if it isn't.
pub enum Need {
    /// A document without it is refused.
    Required,
    /// It may be absent, and that means something of its own.
    Optional,
    /// Absent means this number.
    Whole(u64),
    /// Absent means this fraction.
    Fraction(f64),
    /// Absent means this.
    Bool(bool),
    /// Absent means this text.
    Text(&'static str),
    /// Absent means these texts.
    Texts(&'static [&'static str]),
}

/// What a field holds.
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds, both included.
    Whole(u64, u64),
    /// A finite number within bounds, both included.
    Fraction(f64, f64),
    /// A text.
    Text(&'static Syntax),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// An absolute URL; whether http will do is decided beside `allow_http`.
    Url,
    /// A text or `{ "env": "NAME" }`, never shown.
    Secret,
    /// As a secret, but public by its nature: it may stand in the document.
    Pem,
    /// A private key, never shown: a PEM or JWK text as a secret has it, a JWK, or one of these in
    /// the member `pem` or `jwk`.
    PrivateKey,
    /// A private JWK: an object, its text, or `{ "env": "NAME" }`; read as a secret.
    Jwk,
    /// An object that this description doesn't look into (a JWK), never shown.
    Opaque,
    /// A dotted path, or its segments as a list.
    ClaimPath,
    /// A string, number or boolean.
    Scalar,
    /// So many of these.
    List(&'static Kind, usize, usize),
    /// An object of this shape.
    Object(&'static Shape),
    /// An object whose names have this syntax and whose values are these, so many at most.
    Map(&'static Syntax, &'static Kind, usize),
    /// One of two that differ in their JSON type.
    Either(&'static Kind, &'static Kind),
    /// A field of a later version.
    Later,
}

/// What a text must look like.
pub struct Syntax {
    /// In words, after "expected".
    pub expected: &'static str,
    /// Bytes at most.
    pub max: usize,
    /// Whether a text that is not empty and not too long fits.
    pub fits: fn(&str) -> bool,
}

impl Kind {
    /// In words, after "expected".
    pub fn expected(&self) -> String {
        match self {
            Kind::Bool => "true or false".to_owned(),
            Kind::Whole(min, max) => format!("a whole number from {min} to {max}"),
            Kind::Fraction(min, max) => format!("a number from {min} to {max}"),
            Kind::Text(syntax) => syntax.expected.to_owned(),
            Kind::OneOf([only]) => format!("{only:?}"),
            Kind::OneOf(names) => {
                let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
                format!("one of {}", names.join(", "))
            }
            Kind::Url => "an absolute URL".to_owned(),
            Kind::Secret => "a secret: a string or { \"env\": \"NAME\" }".to_owned(),
            Kind::PrivateKey => {
                "a private key: PEM or a JWK, as a string or { \"env\": \"NAME\" }".to_owned()
            }
            Kind::Pem => "PEM: a string or { \"env\": \"NAME\" }".to_owned(),
            Kind::Jwk => "a JWK: an object, its text, or { \"env\": \"NAME\" }".to_owned(),
            Kind::Opaque => "an object".to_owned(),
            Kind::ClaimPath => "a claim: a dotted path, a URL, or a list of names".to_owned(),
            Kind::Scalar => "a string, a number, true or false".to_owned(),
            Kind::List(_, 0, max) => format!("a list of at most {max}"),
            Kind::List(_, min, max) => format!("a list of {min} to {max}"),
            Kind::Object(_) => "an object".to_owned(),
            Kind::Map(_, _, max) => format!("an object of at most {max} members"),
            Kind::Either(one, other) => format!("{} or {}", one.expected(), other.expected()),
            Kind::Later => "nothing".to_owned(),
        }
    }

    /// Whether a secret may be anywhere in it. What stands in such a place is never shown, even
    /// where it has the wrong type.
    pub fn holds_secrets(&self) -> bool {
        match self {
            Kind::Secret
            | Kind::PrivateKey
            | Kind::Pem
            | Kind::Jwk
            | Kind::Opaque
            | Kind::Later => true,
            Kind::List(of, _, _) | Kind::Map(_, of, _) => of.holds_secrets(),
            Kind::Object(shape) => shape.fields().any(|field| field.kind.holds_secrets()),
            Kind::Either(one, other) => one.holds_secrets() || other.holds_secrets(),
            Kind::Bool
            | Kind::Whole(..)
            | Kind::Fraction(..)
            | Kind::Text(_)
            | Kind::OneOf(_)
            | Kind::Url
            | Kind::ClaimPath
            | Kind::Scalar => false,
        }
    }
}

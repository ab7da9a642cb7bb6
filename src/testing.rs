//! What benches, fuzz targets, tests of the built crate and `tools/check` use, under the names that
//! it has inside. No promise: it changes with the code.
#![allow(missing_docs)]

pub mod callout {
    pub use crate::callout::{Callout, Uri};
}

pub mod digest {
    pub use crate::digest::{Digest, HostKey};
}

pub mod exchange {
    pub use crate::exchange::{Abilities, Effect, Exchange, Finish, Input};
}

pub mod facts {
    pub use crate::facts::{Facts, Host, Runtime};

    pub mod call {
        pub use crate::facts::call::CallAnswer;
    }

    pub mod sizes {
        pub use crate::facts::sizes::{TableSize, table_sizes};
    }
}

pub mod jwt {
    pub use crate::jwt::{Claims, Form, Jwt, Rounding, TOKEN_BYTES_MAX, date_s, form, parse};

    pub mod check {
        pub use crate::jwt::check::{
            Requirements, audience, claims_required, end_s, rule_allows, sunset, times, typ,
        };
    }

    pub mod demands {
        pub use crate::jwt::demands::Demands;
    }

    pub mod introspection {
        pub use crate::jwt::introspection::{
            IntrospectionKind, OpaqueTokens, Response, Told, claims, is_access_token, read, signed,
        };
    }

    pub mod issuer {
        pub use crate::jwt::issuer::{Encrypted, ExpPolicy, Index, Issuer, IssuerMatch};
    }

    pub mod json {
        pub use crate::jwt::json::{DEPTH_MAX, object};
    }
}

pub mod jwe {
    pub use crate::jwe::{Encryption, Fault, Key, KeyAlgorithm, Opened, open};
}

pub mod metrics {
    pub use crate::metrics::{Meter, Metric};
}

pub mod proof {
    pub use crate::proof::{Binding, Origin, ProofKey, Proven, mtls};

    pub mod dpop {
        pub use crate::proof::dpop::{Asked, Dpop, check};
    }
}

pub mod rate_limit {
    pub use crate::rate_limit::{KeyPart, Sync};
}

pub mod reply {
    pub use crate::reply::{ErrorStyle, FailureMode, Reason};
}

pub mod request {
    pub use crate::request::{HeaderBlock, Surroundings};

    pub mod bearer {
        pub use crate::request::bearer::{
            BearerSource, authorizations, find, locate, without_cookie, without_query,
        };
    }

    pub mod path {
        pub use crate::request::path::{
            PathMatch, PathPolicy, Request, RuleMatch, Segment, Target, matches,
        };
    }
}

pub mod revocation {
    pub mod feed {
        pub use crate::revocation::feed::{Feed, Kind, Signer};
    }

    pub mod list {
        pub use crate::revocation::list::List;
    }

    pub mod set {
        pub use crate::revocation::set::{Poll, SETS_MAX, floors, is_of_stream};
    }

    pub mod status {
        pub use crate::revocation::status::list::{Expected, List, inflated, place, read, status};
        pub use crate::revocation::status::{CLAIM, StatusLists, reference};
    }
}

pub mod shared {
    pub use crate::shared::{Expect, Refused, Slot, Store, TableId, Version};

    pub mod record {
        pub use crate::shared::record::{OVERHEAD, Shape};
    }
}

pub mod signature {
    pub use crate::signature::{Algorithm, AlgorithmSet, HostVerify, NoHost, VerifyKey};

    pub mod jwk_set {
        pub use crate::signature::jwk_set::parse;
    }

    pub mod source {
        pub use crate::signature::source::{JwksAt, KeySource};
    }
}

pub mod time {
    pub use crate::time::Time;
}

pub mod token_endpoint {
    pub use crate::token_endpoint::{Reuse, TokenEndpoint};

    pub mod admission {
        pub use crate::token_endpoint::admission::{
            Admission, Decision, Limits, Outcome, Party, Permit,
        };
    }

    pub mod answer {
        pub use crate::token_endpoint::answer::{Answer, analyse};
    }

    pub mod jitter {
        pub use crate::token_endpoint::jitter::{Draw, Fit, Shortened, aged, shorten};
    }

    pub mod request {
        pub use crate::token_endpoint::request::{Head, parse};
    }

    pub mod reuse {
        pub use crate::token_endpoint::reuse::{Granted, Kind, Life, Serve, Stored};
    }

    pub mod revocation {
        pub use crate::token_endpoint::revocation::{TOKENS_MAX, named};
    }
}

//! What each host asks of a configuration: one table a host.

/// Which host will run the filter: some fields are required on one alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostKind {
    /// Envoy.
    Envoy,
    /// Kong.
    Kong,
    /// One that keeps nothing for the filter: `"profile": "stateless"`.
    Stateless,
    /// Not known, as in a check without a host: what one host would refuse is a warning.
    Unknown,
}

/// What a host asks of a configuration.
pub(super) struct Needs {
    /// Whether each call needs the name of a cluster.
    pub cluster: Cluster,
    /// Why `shared.secret` has to be there.
    pub secret: Option<&'static str>,
    /// What keeps the tokens of unknown issuers from the API (`on_unknown_issuer: pass`).
    pub next: Next,
    /// Whether it tells the filter of the client's certificate; unsaid where it isn't known.
    pub sees_certificates: Option<bool>,
    /// Whether followers wait at `kong.wait_uri` alone.
    pub waits_at_uri: bool,
    /// Followers at most in one worker, where the document doesn't say.
    pub waiters_max: u64,
    /// Whether an empty list may come as an empty object.
    pub has_one_empty_table: bool,
    /// What is said besides of an environment variable that isn't set.
    pub environment_hint: &'static str,
}

/// Whether a call needs the name of a cluster.
pub(super) enum Cluster {
    Needed,
    MayBeNeeded,
    Unused,
}

/// Who checks the tokens that the filter passes on.
pub(super) enum Next {
    /// The filter that `then` names.
    Filter,
    /// A plugin that has run before, as `kong.auth_plugin` promises.
    Plugin,
    /// One of the two.
    Either,
}

impl HostKind {
    /// The name by which a command takes it.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "envoy" => Some(HostKind::Envoy),
            "kong" => Some(HostKind::Kong),
            _ => None,
        }
    }

    /// The name that people read.
    pub fn name(self) -> &'static str {
        match self {
            HostKind::Envoy => "Envoy",
            HostKind::Kong => "Kong",
            HostKind::Stateless => "a host that keeps nothing",
            HostKind::Unknown => "either host",
        }
    }

    pub(super) fn needs(self) -> &'static Needs {
        const OF_ENVOY: &str =
            " (Envoy hands on only the variables that vm_config.environment_variables names)";
        match self {
            HostKind::Envoy => &Needs {
                cluster: Cluster::Needed,
                secret: None,
                next: Next::Filter,
                sees_certificates: Some(true),
                waits_at_uri: false,
                waiters_max: 5_000,
                has_one_empty_table: false,
                environment_hint: OF_ENVOY,
            },
            HostKind::Kong => &Needs {
                cluster: Cluster::Unused,
                secret: Some(
                    "Kong's random numbers are predictable, so the keys of shared memory need a secret",
                ),
                next: Next::Plugin,
                sees_certificates: Some(false),
                waits_at_uri: true,
                // A Kong worker can hold fewer.
                waiters_max: 500,
                // Lua's.
                has_one_empty_table: true,
                environment_hint: "",
            },
            HostKind::Stateless => &Needs {
                cluster: Cluster::Unused,
                secret: None,
                next: Next::Filter,
                sees_certificates: Some(false),
                waits_at_uri: false,
                waiters_max: 1,
                has_one_empty_table: false,
                environment_hint: "",
            },
            HostKind::Unknown => &Needs {
                cluster: Cluster::MayBeNeeded,
                secret: None,
                next: Next::Either,
                sees_certificates: None,
                waits_at_uri: false,
                waiters_max: 5_000,
                has_one_empty_table: false,
                environment_hint: OF_ENVOY,
            },
        }
    }
}

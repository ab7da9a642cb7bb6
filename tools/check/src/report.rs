//! What is said of one configuration of a file: mistakes or warnings, what it is about, and what it
//! does with a request and a token. The command prints it, the playground draws it.

use std::cell::RefCell;
use std::collections::BTreeSet;

use herdgate::config::{Config, ConfigError, HostKind, Rule};
use herdgate::testing::time::Time;

use crate::envoy;
use crate::explain::{self, Asked};
use crate::find::Found;
use crate::stand_in;
use crate::token::{self, Judged};

/// Variables of the environment, as whoever asks has them.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What is asked about a configuration.
pub struct Question<'a> {
    /// The host, where the file doesn't say it or isn't believed.
    pub host: Option<HostKind>,
    /// Whether a variable that isn't set is a mistake.
    pub strict: bool,
    /// The environment.
    pub variables: Variables<'a>,
}

/// What is said of it.
pub struct Report {
    /// The host that it is read for.
    pub host: HostKind,
    /// The checked configuration, or all its mistakes.
    pub config: Result<Config, Vec<ConfigError>>,
    /// What deserves a second look.
    pub warnings: Vec<String>,
}

impl Report {
    /// Reads the configuration `found` in a file of this text.
    pub fn of(text: &str, found: &Found, question: &Question<'_>) -> Report {
        let host = question.host.unwrap_or(found.host);
        let mut notes = BTreeSet::new();
        let config = load(found, question, &mut notes);
        let mut warnings: Vec<String> = notes.into_iter().collect();
        if let Ok(config) = &config {
            warnings.extend(config.warnings.iter().cloned());
            warnings.extend(match host {
                HostKind::Envoy => envoy::warnings(text, &found.place, config),
                HostKind::Kong | HostKind::Stateless | HostKind::Unknown => Vec::new(),
            });
        }
        Report { host, config, warnings }
    }
}

/// The configuration once more, as it was read for the report.
///
/// # Errors
/// All mistakes.
pub fn load(
    found: &Found,
    question: &Question<'_>,
    notes: &mut BTreeSet<String>,
) -> Result<Config, Vec<ConfigError>> {
    let seen = RefCell::new(notes);
    let value = |variable: &str| value_of(variable, found, question, &mut seen.borrow_mut());
    let host = question.host.unwrap_or(found.host);
    Config::load(&found.document, &value, host).map_err(|errors| errors.iter().cloned().collect())
}

/// What a token would hear under the rule that covers `asked`.
pub fn judge(config: &Config, asked: Option<&Asked>, token: &str, now: Time) -> Judged {
    let rule: Option<(usize, &Rule)> = asked.and_then(|asked| explain::covering(config, asked));
    token::judge(config, rule, token, now)
}

/// The value of an environment variable as the filter would see it. Where it isn't set here, it
/// probably will be where the gateway runs, so something takes its place.
fn value_of(
    variable: &str,
    found: &Found,
    question: &Question<'_>,
    notes: &mut BTreeSet<String>,
) -> Option<String> {
    let own = (question.variables)(variable);
    let value = match &found.environment {
        None => own,
        Some(environment) => match environment.values.get(variable) {
            Some(value) => Some(value.clone()),
            None if environment.names.iter().any(|name| name == variable) => own,
            None => {
                notes.insert(format!("the environment variables named there (vm_config, vmConfig or env) lack {variable}, so Envoy won't hand it on"));
                if question.strict { None } else { own }
            }
        },
    };
    if value.is_some() || question.strict {
        return value;
    }
    notes.insert(format!("{variable} is not set here; something took its place"));
    let stand_in = || format!("{:-<64}", format!("in-place-of-{variable}-"));
    Some(stand_in::jwk(&found.document, variable).unwrap_or_else(stand_in))
}

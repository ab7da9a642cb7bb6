//! The command line of `make check` and `make schema`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use herdgate::config::{Config, HostKind};
use herdgate::testing::time::Time;
use herdgate_check::explain::{self, Asked};
use herdgate_check::find::{self, Found};
use herdgate_check::{envoy, guard, schema, stand_in, token};

const USAGE: &str = "\
herdgate-check [--host envoy|kong] [--strict] [--request 'GET /orders'] FILE
    Reads a configuration: JSON, or an envoy.yaml, a kong.yml or resources of Kubernetes that
    contain one.
    REQUEST and TOKEN in the environment name a request and a client's token to explain.
    --strict: a secret's environment variable that is not set is a mistake, not a warning.
herdgate-check --schema DIR
    Writes DIR/herdgate.schema.json and DIR/kong/herdgate.meta.json.
Exit code: 0 good, 1 mistakes, 2 not understood.";

#[derive(Default)]
struct Options {
    host: Option<HostKind>,
    strict: bool,
    request: Option<String>,
    token: Option<String>,
    schema: Option<String>,
    file: Option<String>,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(sentence) => {
            let _ = writeln!(std::io::stderr(), "{sentence}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let options = options(std::env::args().skip(1))?;
    if let Some(folder) = &options.schema {
        return write_schemas(Path::new(folder)).map(|()| true);
    }
    let file = options.file.as_deref().ok_or(USAGE)?;
    let asked = options.request.as_deref().map(Asked::parse).transpose()?;
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("{file} can't be read: {error}"))?;
    let mut good = true;
    let mut out = String::new();
    for found in find::configurations(file, &text)? {
        good &= check((file, &text), &found, &options, asked.as_ref(), &mut out);
    }
    guard::warnings(&text)
        .iter()
        .for_each(|warning| line(&mut out, &format!("{file}: warning: {warning}")));
    std::io::stdout().write_all(out.as_bytes()).map_err(|error| error.to_string())?;
    Ok(good)
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut options = Options {
        request: environment("REQUEST"),
        token: environment("TOKEN"),
        ..Options::default()
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--host" => {
                let named = arguments.next();
                options.host = named.as_deref().and_then(HostKind::parse);
                if options.host.is_none() {
                    return Err("--host is envoy or kong".to_owned());
                }
            }
            "--strict" => options.strict = true,
            "--request" => options.request = Some(arguments.next().ok_or(USAGE)?),
            "--schema" => options.schema = Some(arguments.next().ok_or(USAGE)?),
            "--help" | "-h" => return Err(USAGE.to_owned()),
            other if other.starts_with("--") => {
                return Err(format!("{other} is not known\n{USAGE}"));
            }
            _ if options.file.is_some() => return Err(USAGE.to_owned()),
            _ => options.file = Some(argument),
        }
    }
    Ok(options)
}

/// By this machine's clock: a token that has ended is said to have.
fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Time::from_s(since.map_or(0, |since| since.as_secs()))
}

fn check(
    (file, text): (&str, &str),
    found: &Found,
    options: &Options,
    asked: Option<&Asked>,
    out: &mut String,
) -> bool {
    let host = options.host.unwrap_or(found.host);
    let place = if found.place.is_empty() { String::new() } else { format!(", {}", found.place) };
    line(out, &format!("{file}{place} (for {})", host.name()));
    let mut notes = BTreeSet::new();
    let result = {
        let seen = RefCell::new(&mut notes);
        let env =
            |variable: &str| value_of(variable, found, options.strict, &mut seen.borrow_mut());
        Config::load(&found.document, &env, host)
    };
    let config = match result {
        Ok(config) => config,
        Err(errors) => {
            errors.iter().for_each(|error| line(out, &format!("  mistake: {error}")));
            notes.iter().for_each(|note| line(out, &format!("  warning: {note}")));
            return false;
        }
    };
    let around = match host {
        HostKind::Envoy => envoy::warnings(text, &found.place, &config),
        HostKind::Kong | HostKind::Stateless | HostKind::Unknown => Vec::new(),
    };
    notes
        .iter()
        .chain(&config.warnings)
        .chain(&around)
        .for_each(|warning| line(out, &format!("  warning: {warning}")));
    explain::summary(&config).iter().for_each(|said| line(out, &format!("  {said}")));
    if let Some(asked) = asked {
        line(out, &format!("  {}:", options.request.as_deref().unwrap_or_default()));
        explain::request(&config, asked).iter().for_each(|said| line(out, &format!("    {said}")));
    }
    if let Some(token) = &options.token {
        line(out, "  TOKEN:");
        let rule = asked.and_then(|asked| explain::covering(&config, asked));
        let judged = token::judge(&config, rule, token, now());
        judged.lines.iter().for_each(|said| line(out, &format!("    {said}")));
    }
    true
}

/// The value of an environment variable as the filter would see it. Where it isn't set here, it
/// probably will be where the gateway runs, so something takes its place.
fn value_of(
    variable: &str,
    found: &Found,
    strict: bool,
    notes: &mut BTreeSet<String>,
) -> Option<String> {
    let own = std::env::var(variable).ok();
    let value = match &found.environment {
        None => own,
        Some(environment) => match environment.values.get(variable) {
            Some(value) => Some(value.clone()),
            None if environment.names.iter().any(|name| name == variable) => own,
            None => {
                notes.insert(format!("the environment variables named there (vm_config, vmConfig or env) lack {variable}, so Envoy won't hand it on"));
                if strict { None } else { own }
            }
        },
    };
    if value.is_some() || strict {
        return value;
    }
    notes.insert(format!("{variable} is not set here; something took its place"));
    let stand_in = || format!("{:-<64}", format!("in-place-of-{variable}-"));
    Some(stand_in::jwk(&found.document, variable).unwrap_or_else(stand_in))
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn write_schemas(folder: &Path) -> Result<(), String> {
    for (name, schema) in
        [("herdgate.schema.json", schema::document()), ("kong/herdgate.meta.json", schema::kong())]
    {
        let path = folder.join(name);
        let write = || {
            std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
            std::fs::write(&path, schema::text(&schema))
        };
        write().map_err(|error: std::io::Error| {
            format!("{} can't be written: {error}", path.display())
        })?;
    }
    Ok(())
}

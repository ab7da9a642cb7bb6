//! The command line of `make check` and `make schema`.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use herdgate::config::HostKind;
use herdgate::testing::time::Time;
use herdgate_check::explain::{self, Asked};
use herdgate_check::find::{self, Found};
use herdgate_check::report::{self, Question, Report};
use herdgate_check::{guard, schema};

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
    let variables = |name: &str| std::env::var(name).ok();
    let question = Question { host: options.host, strict: options.strict, variables: &variables };
    let report = Report::of(text, found, &question);
    let place = if found.place.is_empty() { String::new() } else { format!(", {}", found.place) };
    line(out, &format!("{file}{place} (for {})", report.host.name()));
    if let Err(mistakes) = &report.config {
        mistakes.iter().for_each(|mistake| line(out, &format!("  mistake: {mistake}")));
    }
    report.warnings.iter().for_each(|warning| line(out, &format!("  warning: {warning}")));
    let Ok(config) = &report.config else { return false };
    explain::summary(config).iter().for_each(|said| line(out, &format!("  {said}")));
    if let Some(asked) = asked {
        line(out, &format!("  {}:", options.request.as_deref().unwrap_or_default()));
        explain::request(config, asked).iter().for_each(|said| line(out, &format!("    {said}")));
    }
    if let Some(token) = &options.token {
        line(out, "  TOKEN:");
        let judged = report::judge(config, asked, token, now());
        judged.lines.iter().for_each(|said| line(out, &format!("    {said}")));
    }
    true
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

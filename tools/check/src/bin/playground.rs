//! The playground's program: a question on standard input, its answer on standard output. In the
//! page it runs as WebAssembly, one instance a question, so that nothing of one question is left
//! for the next.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut question = String::new();
    if std::io::stdin().read_to_string(&mut question).is_err() {
        return ExitCode::from(2);
    }
    let answer = herdgate_check::play::answer(&question);
    match std::io::stdout().write_all(answer.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(2),
    }
}

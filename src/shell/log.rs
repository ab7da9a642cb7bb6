//! Lines for the host's log, from wherever in the code they come.

use log::{LevelFilter, Log, Metadata, Record};

use super::abi::{self, Level};

struct HostLog;

static HOST_LOG: HostLog = HostLog;

/// Has the host's log take them. To be called before anything is said.
pub fn open() {
    // There is one already where another root context came first.
    let _ = log::set_logger(&HOST_LOG);
    log::set_max_level(LevelFilter::Info);
}

impl Log for HostLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            log::Level::Error => Level::Error,
            log::Level::Warn => Level::Warn,
            log::Level::Info | log::Level::Debug | log::Level::Trace => Level::Info,
        };
        abi::log(level, &format!("herdgate: {}", record.args()));
    }

    fn flush(&self) {}
}

//! What is said to the log in this thread: tests read it.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Catching;

impl log::Log for Catching {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        SAID.with_borrow_mut(|said| said.push(record.args().to_string()));
    }
    fn flush(&self) {}
}

/// The lines that `work` says.
pub fn said(work: impl FnOnce()) -> Vec<String> {
    static OPEN: Once = Once::new();
    OPEN.call_once(|| {
        log::set_logger(&Catching).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
    SAID.take();
    work();
    SAID.take()
}

//! The inputs that once broke something, and the seeds of the fuzzers, through what is fuzzed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "../fuzz/targets.rs"]
mod targets;

use std::path::Path;

#[test]
fn every_input_that_is_kept() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut runs = 0;
    for (name, run) in targets::ALL {
        for folder in ["seeds", "regressions"] {
            let Ok(inputs) = std::fs::read_dir(fuzz.join(folder).join(name)) else { continue };
            for input in inputs {
                let path = input.unwrap().path();
                println!("{}", path.display());
                run(&std::fs::read(path).unwrap());
                runs += 1;
            }
        }
        run(b"");
    }
    assert!(runs >= targets::ALL.len(), "each target has a seed at least: {runs}");
}

#[test]
fn every_target_has_its_fuzzer_and_its_seeds() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (name, _) in targets::ALL {
        assert!(fuzz.join("fuzz_targets").join(format!("{name}.rs")).exists(), "{name}");
        assert!(fuzz.join("seeds").join(name).read_dir().unwrap().count() > 0, "{name}");
    }
    assert_eq!(fuzz.join("fuzz_targets").read_dir().unwrap().count(), targets::ALL.len());
}

//! The test of the test: small trees in which something is wrong, and ways to hide it.

use super::imports::{Files, read};
use super::{Imports, faults};

fn tree(files: &[(&str, &str)]) -> Imports {
    read(&files.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect::<Files>())
}

/// The faults of a tree of two modules, `top` above `floor`.
fn of_two(top: &str, floor: &str) -> Vec<String> {
    let found =
        tree(&[("lib.rs", "pub mod floor;\nmod top;\n"), ("top/mod.rs", top), ("floor.rs", floor)]);
    faults(&found, &["top", "floor"], &[])
}

const UP: &str = "floor.rs imports top, which is above floor";

#[test]
fn down_is_well() {
    assert_eq!(of_two("use crate::floor::Thing;", "pub struct Thing;"), [""; 0]);
}

#[test]
fn up_is_a_fault_however_it_is_written() {
    for floor in [
        "use crate::top::Thing;",
        "pub use crate::top;",
        "use crate::{floor::Own, top::{Thing, Other}};",
        "use crate::{\n    self::floor,\n    top as other,\n};",
        "fn f() -> crate::top::Thing { todo() }",
        "fn f() { let x = super::top::thing(); }",
        "mod inner { use super::super::top::Thing; }",
        "mod inner { fn f() {} } use super::top;",
        "const A: char = '\"'; use crate::top; const B: char = '\"';",
        "fn f<'a>(x: &'a str) { crate::top::f(x, '\\'', \"\\\"\", r#\"\"\"#) }",
        "/* a /* b */ */ use crate::top; // more",
        "#[cfg(test)]\nuse crate::floor::Test;\nuse crate::top::Thing;",
        "struct A { #[cfg(test)] seen: u32, at: crate::top::Thing }",
        "fn f() { #[cfg(test)] if seen() { panic!() } crate::top::f(); }",
        "#[cfg(test)] const fn f<A, B>() {} use crate::top;",
        "#[cfg(not(test))] use crate::top;",
        "macro_rules! m { () => { $crate::top::f() } }",
    ] {
        let found = of_two("", floor);
        assert!(found.contains(&UP.to_owned()), "{floor}: {found:?}");
    }
}

#[test]
fn what_only_looks_like_an_import_is_none() {
    for floor in [
        "// use crate::top;",
        "/* use crate::top; /* */ use crate::top; */",
        "/// See [`crate::top`].\npub fn f() {}",
        "const A: &str = \"crate::top\"; const B: &str = r#\"\"crate::top\"\"#;",
        "use other::top::Thing; use self::top::Thing; pub mod inner { use super::top::Thing; }",
        "#[cfg(test)]\nmod tests { use crate::top::Thing; }",
        "#[cfg(test)]\n#[allow(unused)]\nuse crate::{top, floor};",
        "#[cfg(all(test, unix))] fn f<A, B>() { crate::top::f() }",
        "enum E { A, #[cfg(test)] B(crate::top::Thing), C }",
        "pub(in crate::floor) struct Thing;",
    ] {
        let found = of_two("", floor);
        assert!(!found.contains(&UP.to_owned()), "{floor}: {found:?}");
    }
}

#[test]
fn files_of_tests_may_look_anywhere() {
    let files = [
        ("lib.rs", "mod top; mod floor; #[cfg(test)] mod simulation;"),
        ("top.rs", ""),
        (
            "floor/mod.rs",
            "mod part; #[cfg(test)] mod tests; #[cfg(test)] #[path = \"other_tests.rs\"] mod more;",
        ),
        ("floor/part.rs", ""),
        ("floor/tests.rs", "use crate::top;"),
        ("floor/other_tests.rs", "use crate::top;"),
        ("simulation.rs", "use crate::top;"),
    ];
    assert_eq!(faults(&tree(&files), &["top", "floor"], &[]), [""; 0]);
    // Down to the last file: a part of a part is read too.
    let mut files = files;
    files[3].1 = "use super::super::top;";
    assert_eq!(
        faults(&tree(&files), &["top", "floor"], &[]),
        ["floor/part.rs imports top, which is above floor"]
    );
}

#[test]
fn a_circle_is_a_fault() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b;"),
        ("b.rs", "use crate::c;"),
        ("c.rs", "use crate::a;"),
    ];
    let found = faults(&tree(&files), &["a", "b", "c"], &[]);
    assert_eq!(found, ["c.rs imports a, which is above c", "a circle: a -> b -> c -> a"]);
}

#[test]
fn a_known_arrow_is_passed_over_while_it_is_there_and_a_fault_when_it_is_gone() {
    let known = [("floor.rs", "top")];
    let with = |floor| {
        tree(&[
            ("lib.rs", "mod top; mod floor;"),
            ("top.rs", "use crate::floor;"),
            ("floor.rs", floor),
        ])
    };
    assert_eq!(faults(&with("use crate::top;"), &["top", "floor"], &known), [""; 0]);
    let gone = ["floor.rs doesn't import top any more: take it from the known ones"];
    assert_eq!(faults(&with(""), &["top", "floor"], &known), gone);
    // One that goes down was never an exception.
    assert_eq!(faults(&with(""), &["top", "floor"], &[("top.rs", "floor")]).len(), 1);
}

#[test]
fn every_module_has_its_place() {
    let files = [("lib.rs", "mod top; mod floor;"), ("top.rs", ""), ("floor.rs", "")];
    assert_eq!(faults(&tree(&files), &["top"], &[]), ["floor has no place in the order"]);
    assert_eq!(
        faults(&tree(&files), &["top", "roof", "floor"], &[]),
        ["the order names roof, which isn't there"]
    );
}

#[test]
fn what_cannot_be_read_is_a_fault() {
    for (floor, what) in [
        ("use crate::*;", "everything of the root is imported"),
        ("use super::*;", "everything of the root is imported"),
        ("use crate as root;", "the root is called root here"),
        ("use crate::Thing;", "names crate::Thing, which is no module of the order"),
        ("mod missing;", "no file of module floor::missing"),
    ] {
        let found = of_two("", floor).join("\n");
        assert!(found.contains(what), "{floor}: {found}");
    }
    assert_eq!(read(&Files::new()).unclear, ["there is no lib.rs"]);
}

#[test]
fn a_host_is_named_in_its_table_alone() {
    for floor in [
        "fn f(d: Dialect) -> bool { d == Dialect::Envoy }",
        "fn f(d: Dialect) -> bool { matches!(d, Dialect::Kong) }",
        "fn on_kong() {}",
        "use other::EnvoyVerify;",
    ] {
        let found = of_two("", floor);
        assert!(found.iter().any(|fault| fault.starts_with("floor.rs names a host")), "{floor}");
    }
    for floor in [
        "// Kong does.\nconst A: &str = \"envoy\";",
        "fn f(config: &Config) -> bool { config.kong.auth_plugin || style == ErrorStyle::Kong }",
        "#[cfg(test)] const KONG: u8 = 1;",
    ] {
        assert_eq!(of_two("", floor), [""; 0], "{floor}");
    }
}

//! The fuzzer: libFuzzer thinks up inputs for the target that `FLAGSTAFF_FUZZ_TARGET` names. With
//! `list` there it prints the names of all targets. `scripts/fuzz` builds and runs it.

#![no_main]

use std::process::exit;
use std::sync::OnceLock;

use flagstaff_fuzz::TARGETS;
use libfuzzer_sys::fuzz_target;

static CHECK: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("FLAGSTAFF_FUZZ_TARGET").unwrap_or_default();
        if name == "list" {
            TARGETS.iter().for_each(|target| println!("{}", target.name));
            exit(0);
        }
        let Some(target) = flagstaff_fuzz::target(&name) else {
            eprintln!("FLAGSTAFF_FUZZ_TARGET is `{name}`, which is no target");
            exit(2);
        };
        CHECK.get_or_init(|| target.check);
    },
    |input: &[u8]| {
        if let Some(check) = CHECK.get() {
            check(input);
        }
    }
);

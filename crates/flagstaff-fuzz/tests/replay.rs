//! Gives every target its corpus: what was found once stays mended.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use flagstaff_fuzz::TARGETS;

#[test]
fn what_is_kept_in_the_corpora_holds() {
    let mut folders: BTreeSet<PathBuf> = entries(&corpora());
    for target in TARGETS {
        let folder = corpora().join(target.name);
        assert!(folders.remove(&folder), "target `{}` has no corpus", target.name);
        let files = entries(&folder);
        assert!(!files.is_empty(), "the corpus of `{}` is empty", target.name);
        for file in files {
            // The name is all that is known of an input that fails.
            println!("{}", file.display());
            (target.check)(&fs::read(&file).expect("an input can be read"));
        }
    }
    assert!(folders.is_empty(), "there is no target for {folders:?}");
}

#[test]
fn no_input_at_all_holds_everywhere() {
    for target in TARGETS {
        (target.check)(b"");
        (target.check)(b"\0");
        (target.check)(b"\xff\xfe");
    }
}

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn entries(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("a folder entry can be read").path()).collect()
}

//! The configurations under `examples/` are good, and do what they say.

mod running;

use std::path::{Path, PathBuf};

use super::harness::wiregate;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

#[test]
fn configurations_among_the_examples_are_good_and_listed() {
    let files = std::fs::read_dir(folder()).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|end| end == "yaml"))
        .collect();
    assert!(!files.is_empty());
    let list = std::fs::read_to_string(folder().join("README.md")).unwrap();
    for file in files {
        let output = wiregate(&["check", "--config"]).arg(&file).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}: {output:?}", file.display());
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(list.contains(&format!("[{name}]({name})")), "{name}");
    }
}

//! The configurations under `examples/` are good.

use std::path::Path;

use super::harness::wiregate;

#[test]
fn configurations_among_the_examples_are_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = std::fs::read_dir(folder).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|end| end == "yaml"))
        .collect();
    assert!(!files.is_empty());
    for file in files {
        let output = wiregate(&["check", "--config"]).arg(&file).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}: {output:?}", file.display());
    }
}

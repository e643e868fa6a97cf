//! Any text as the files of a project: a plan or diagnostics, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let datasets = folder.path().join("datasets/fuzz");
    std::fs::create_dir_all(&datasets).expect("a folder");
    std::fs::write(folder.path().join("flowline.yaml"), &input.0).expect("a file");
    std::fs::write(datasets.join("things.yaml"), &input.1).expect("a file");
    if let Err(problems) = flowline_project::load(folder.path(), None) {
        assert!(!problems.is_empty());
        let _ = flowline_project::render(&problems, true);
    }
});
